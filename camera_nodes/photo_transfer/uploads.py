"""Empties the spool over the bulk socket: offer, send what is wanted, delete what is stored.

The controller says how much it takes (Want: offset and chunks); the node sends no more than that, and nothing at all
while `allowed` is False.  A Want names its offset, so an upload goes on where it stopped after any interruption.

While the node is `idle`, photographs that wait are proven whole (jpeg_verifier.py) and their Offers say so; no Offer
waits for that, and one that was made without it is made again.
"""

import logging
import math
import time
from collections.abc import Callable
from pathlib import Path

import zmq

from camera_nodes import transport, wire
from camera_nodes.curve_keys import KeyPair
from camera_nodes.errors import SpoolError, WireError
from camera_nodes.photo_transfer.jpeg_verifier import JpegVerifier, was_verified
from camera_nodes.photo_transfer.spool import Spool
from camera_nodes.transport import Context
from common.photograph_facts import PhotographFacts

log = logging.getLogger(__name__)

_OFFER_AGAIN_S = 10.0
_OFFERS_AT_ONCE = 8
_CHUNKS_A_TURN = 4  # then the control socket is looked at


class Uploads:
    """One node's bulk socket.

    `on_stored` is told each entry that the studio has stored, before the spool lets go of it; `on_rejected` (entry,
    reason, where it is kept) each that was refused.
    """

    def __init__(
        self, context: Context, endpoint: str, keys: KeyPair, controller_public: str, spool: Spool,
        on_stored: Callable[[PhotographFacts], None], on_rejected: Callable[[PhotographFacts, str, Path | None], None],
    ) -> None:  # fmt: skip
        self.socket = transport.connect_dealer(context, endpoint, keys, controller_public, limit=wire.BULK_LIMIT)
        self.monitor = transport.Monitor(self.socket)
        self.allowed = False
        self.idle = False
        self.utc_ns: int | None = None  # this machine's UTC minus the controller's clock
        self._spool = spool
        self._on_stored = on_stored
        self._verifier = JpegVerifier()
        self._proofs: dict[str, wire.Proof | None] = {}  # entry -> what was found; None: nothing that can be told
        self._on_rejected = on_rejected
        self._endpoint = endpoint
        self._knock_at = math.inf
        self._connected = False
        self._touched: dict[str, float] = {}  # entry -> when it was offered or its last chunk sent
        self._wants: dict[str, tuple[int, int]] = {}  # entry -> next offset, chunks still wanted
        self._full = False

    @property
    def wants_to_write(self) -> bool:
        """Whether the socket was full with chunks still to send: poll it for writing."""
        return self._full and self.allowed

    def close(self) -> None:
        """Close the socket; what was not stored stays in the spool."""
        self._verifier.close()
        self.monitor.close()
        self.socket.close()

    def restart(self) -> None:
        """Offer everything again: the controller may have forgotten."""
        self._touched.clear()
        self._wants.clear()

    def read(self) -> None:
        """Take in what has arrived."""
        for event in self.monitor.events():
            self._connected = event == "up"
            if event == "refused":
                self._knock_at = time.monotonic() + transport.REFUSED_S
            self.restart()
        while True:
            try:
                message = transport.receive_reply(self.socket, wire.CONTROLLER_BULK, limit=wire.BULK_LIMIT)
            except WireError as error:
                log.error("bulk: ignored a bad message: %s", error)
                continue
            if message is None:
                return
            self._handle(message)

    def _handle(self, message: wire.ControllerBulk) -> None:
        entry = self._spool.get(message.entry)
        if entry is None:
            return  # an answer to an older offer
        if isinstance(message, wire.Want):
            if message.offset > entry.bytes:
                log.error("bulk: %s was wanted from byte %d of %d", entry.entry, message.offset, entry.bytes)
                return
            self._wants[entry.entry] = (message.offset, message.credit)
            return
        self._wants.pop(entry.entry, None)
        self._touched.pop(entry.entry, None)
        self._proofs.pop(entry.entry, None)
        if isinstance(message, wire.Rejected):
            kept = self._spool.reject(entry.entry)
            log.error("the controller rejected %s: %s (kept in %s)", entry.entry, message.reason, kept)
            self._on_rejected(entry, message.reason, kept)
        elif message.sha256 != entry.sha256:
            log.error("bulk: %s was stored with another hash; kept", entry.entry)
        else:
            self._on_stored(entry)
            self._spool.remove(entry.entry, message.sha256)

    def write(self) -> None:
        """Send offers and at most a few chunks."""
        self._full = False
        now = time.monotonic()
        if now >= self._knock_at:
            self._knock_at = math.inf
            transport.reconnect(self.socket, self._endpoint)
        self._verify()
        if not (self.allowed and self._connected):
            return
        entries = self._spool.entries()
        stale = now - _OFFER_AGAIN_S
        idle = [e for e in entries if e.entry not in self._wants and self._touched.get(e.entry, stale) <= stale]
        idle.sort(key=lambda e: self._touched.get(e.entry, 0.0))  # one that is never answered does not block the rest
        for entry in idle[: max(0, _OFFERS_AT_ONCE - (len(entries) - len(idle)))]:
            offer = wire.Offer(**entry.facts(), utc_ns=self.utc_ns, proof=self._proofs.get(entry.entry))
            if not transport.send(self.socket, offer, limit=wire.BULK_LIMIT):
                return
            self._touched[entry.entry] = now
        for _ in range(_CHUNKS_A_TURN):
            if not self._wants:
                return
            if not self._send_chunk(next(iter(self._wants)), now):
                self._full = True
                return

    def _verify(self) -> None:
        """Take in what the verifier has found, and ask it about the next photograph. Never waits."""
        if (found := self._verifier.answer()) is not None:
            path, answer, flaw = found
            entry = self._spool.get(path.parent.name)
            if entry is not None:
                self._proofs[entry.entry] = "strict" if answer == "whole" else None
                if answer == "damaged":
                    log.warning("%s is damaged: %s; the studio will refuse it", entry.entry, flaw)
                elif answer == "whole" and entry.entry not in self._wants:
                    self._touched.pop(entry.entry, None)  # offered without its proof: once more
        if self.idle and not self._verifier.busy and (entry := self._unverified()) is not None:
            self._verifier.ask(self._path(entry))

    def _unverified(self) -> PhotographFacts | None:
        for entry in self._spool.entries():
            if entry.kind == "jpeg" and entry.entry not in self._proofs and entry.entry not in self._wants:
                if not was_verified(self._path(entry)):
                    return entry
                self._proofs[entry.entry] = "strict"
        return None

    def _path(self, entry: PhotographFacts) -> Path:
        return self._spool.folder / entry.entry / "photo"

    def _send_chunk(self, key: str, now: float) -> bool:
        offset, credit = self._wants.pop(key)
        entry = self._spool.get(key)
        if entry is None:
            return True
        try:
            data = self._spool.read(key, offset, wire.CHUNK_BYTES)
        except SpoolError as error:
            log.error("%s", error)
            return True
        last = offset + len(data) >= entry.bytes
        chunk = wire.Chunk(entry=key, offset=offset, data=data, last=last)
        if not transport.send(self.socket, chunk, limit=wire.BULK_LIMIT):
            self._wants[key] = (offset, credit)
            return False
        self._touched[key] = now
        if credit > 1 and not last:
            self._wants[key] = (offset + len(data), credit - 1)  # at the end of the line: entries take turns
        return True

    def send(self, message: wire.Message) -> bool:
        """Send something of its own on this socket now, or not at all: live view."""
        return self.allowed and self._connected and transport.send(self.socket, message, limit=wire.BULK_LIMIT)

    def timeout_s(self) -> float:
        """How long the loop may sleep as far as uploads go."""
        if not (self.allowed and self._connected and len(self._spool)):
            return max(0.0, self._knock_at - time.monotonic())
        if self._wants:
            return 60.0 if self._full else 0.0
        next_s = min(self._touched.get(e.entry, 0.0) for e in self._spool.entries()) + _OFFER_AGAIN_S
        return max(0.0, next_s - time.monotonic())

    def register(self, poller: zmq.Poller) -> None:
        """Have a poller watch the socket for what it needs now."""
        poller.register(self.socket, zmq.POLLIN | (zmq.POLLOUT if self.wants_to_write else 0))
        poller.register(self.monitor.socket, zmq.POLLIN)
        if (verifier := self._verifier.fileno()) is not None:
            poller.register(verifier, zmq.POLLIN)
