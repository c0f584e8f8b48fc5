"""Photographs come in: asked for by credit, resumed by byte, verified; then filed and committed
(controller.ingest.file_commit).

One thread owns the bulk socket and writes chunks to disk. At most `transfers` files are under way, each with `credit`
chunks in flight, so memory stays flat whatever a photograph weighs. Photographs go before raw files. Nothing of this
runs while a fire is in its window: see hold().
"""

import hashlib
import logging
import os
import queue
import shutil
import socket
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import zmq

from camera_nodes import wire
from camera_nodes.transport import BadMessage, receive, send_to
from common.photograph_facts import FileKind
from controller.errors import FrameRejected
from controller.ingest.file_commit import RETRY_S, CommitLog, CommitOutcome, FileCommitter
from controller.node_links.connection_guard import NodePort
from controller.rig_file import TransferLimits
from db.errors import RecordError
from db.store import Store

log = logging.getLogger(__name__)

UNCOMMITTED = 6  # whole files that may wait for the filing threads
STALL_NS = 2_000_000_000
GIVE_UP_NS = 7_000_000_000  # less than the node takes to offer it again
QUEUE_LIMIT = 20_000
UNDELIVERED, ALL_UNDELIVERED = 16_000_000, 128_000_000  # bytes: more than credit lets any node have under way
RATE = 50_000.0  # messages a second of a node: credit bounds them well below
STALE_S = 14 * 86_400.0  # a part that nobody has asked to go on with for so long


@dataclass
class _Transfer:
    """A file under way from a node."""

    offer: wire.Offer  # which file
    route: bytes  # of the node's connection
    node: str  # that it comes from
    part: Path  # what has come of it
    offset: int = 0  # bytes that have come
    credit_left: int = 0  # chunks that were asked for and have not come
    asked_ns: int = 0  # when the first of them was asked for, monotonic
    moved_ns: int = field(default_factory=time.monotonic_ns)  # when it last got on
    attempts: int = 0  # how often all of it came with another hash
    digest: "hashlib._Hash" = field(default_factory=hashlib.sha256)  # of what has come
    file: int = -1  # descriptor of the part; -1: not open

    def append(self, data: bytes) -> None:
        """Raises OSError; then the part has some of the data or none, and a new transfer goes on from there."""
        if self.file < 0:
            self.file = os.open(self.part, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        view = memoryview(data)
        while view:
            view = view[os.write(self.file, view) :]
        self.digest.update(data)
        self.offset += len(data)

    def close(self) -> None:
        if self.file >= 0:
            os.close(self.file)
            self.file = -1


class Ingest:
    """Owns the bulk ROUTER. start() binds and runs; stop() ends the threads after the photograph in hand."""

    def __init__(
        self,
        port: NodePort,
        folder: Path,
        store: Store,
        commit_log: CommitLog,
        owner: Callable[[str], str | None],
        limits: TransferLimits,
        preview: Callable[[wire.Preview], None] = lambda _: None,
    ) -> None:
        self._where = port
        self._folder = folder
        self._commit_log = commit_log
        self._owner = owner
        self._limits = limits
        self._preview = preview
        self._refused = 0
        self._waiting: dict[FileKind, OrderedDict[str, tuple[bytes, str, wire.Offer]]] = {
            "jpeg": OrderedDict(),
            "raw": OrderedDict(),
        }
        self._active: dict[str, _Transfer] = {}
        self._filing: dict[str, _Transfer] = {}
        self._outcomes: queue.SimpleQueue[CommitOutcome] = queue.SimpleQueue()
        self._wake_read, self._wake_write = socket.socketpair()
        self._wake_read.setblocking(False)
        self._open = threading.Event()
        self._open.set()
        self._reopened = False
        self._files = FileCommitter(store, commit_log, self._filed)
        self._thread = threading.Thread(target=self._run, name="mien-ingest", daemon=True)
        self._running = False
        self._trouble = ""
        self._try_again_ns = 0
        self.endpoint = ""
        self.received_bytes = 0  # of chunks that were written
        self.stored = 0
        self.proven_on_nodes = 0  # of those stored

    @property
    def trouble(self) -> str:
        """Why photographs do not come in or cannot be filed (disk full, database away); empty when all is well."""
        return self._trouble or self._files.trouble

    def start(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        self._sweep()
        self._socket, self.endpoint, self._port = self._where.bind(
            "bulk", limit=wire.BULK_LIMIT, most_bytes=(UNDELIVERED, ALL_UNDELIVERED), rate=RATE
        )
        self._running = True
        self._files.start()
        self._thread.start()

    def stop(self) -> None:
        self._running = False
        self._open.set()
        self._wake()
        if self._thread.is_alive():
            self._thread.join(30)
        self._files.stop()
        self._wake_read.close()
        self._wake_write.close()

    def hold(self) -> None:
        """Ask for nothing and decode nothing until go_on()."""
        self._open.clear()
        self._files.hold()

    def go_on(self) -> None:
        self._reopened = True
        self._open.set()
        self._files.go_on()
        self._wake()

    def _wake(self) -> None:
        with suppress(OSError):
            self._wake_write.send(b"\0")

    def _filed(self, outcome: CommitOutcome) -> None:
        self._outcomes.put(outcome)
        self._wake()

    def _sweep(self) -> None:
        """Remove parts of transfers that were never gone on with; their photographs are on the nodes or long filed."""
        for part in self._folder.glob("*.part"):
            with suppress(OSError):
                if time.time() - part.stat().st_mtime > STALE_S:
                    part.unlink()

    # --- the ingest thread ---

    def _run(self) -> None:
        poller = zmq.Poller()
        poller.register(self._socket, zmq.POLLIN)
        poller.register(self._wake_read.fileno(), zmq.POLLIN)
        try:
            while self._running:
                events = dict(poller.poll(250))
                if self._wake_read.fileno() in events:
                    with suppress(BlockingIOError):
                        self._wake_read.recv(4096)
                self._receive()
                self._answer_finished()
                if self._open.is_set():
                    self._unstall()
                    self._begin_transfers()
        except Exception:
            log.exception("the ingest thread stopped")
            self._trouble = "the ingest thread stopped; see the log, then start the studio again"
            raise
        finally:
            self._running = False
            for transfer in self._active.values():
                transfer.close()
            self._socket.close()

    def _receive(self) -> None:
        """What has come, but not without end: a flood of chunks must not keep answers waiting."""
        for _ in range(64):
            if not self._running:
                return
            received = receive(
                self._socket, wire.NODE_BULK, self._where.allowed, limit=wire.BULK_LIMIT, hear=self._port.hear
            )
            if received is None:
                return
            if isinstance(received, BadMessage):
                self._refused += 1
                if self._refused < 100 or self._refused % 1000 == 0:
                    log.warning("refused a bulk message from %s: %s", received.node or "nobody", received.error)
            elif isinstance(received.message, wire.Offer):
                self._take_offer(received.route, received.node, received.message)
            elif isinstance(received.message, wire.Preview):
                if self._owner(received.message.camera) == received.node:
                    self._preview(received.message)
            else:
                self._take_chunk(received.route, received.message)

    def _take_offer(self, route: bytes, node: str, offer: wire.Offer) -> None:
        if self._owner(offer.camera) != node:
            return  # its Hello is still under way, or it speaks for another's camera; an offer is repeated
        if offer.entry in self._filing:
            self._filing[offer.entry].route = route
        elif offer.entry in self._active:
            transfer = self._active[offer.entry]
            if offer.sha256 == transfer.offer.sha256:
                transfer.offer = offer  # it may say now that the photograph was proven
            if transfer.route != route:
                transfer.route = route
                self._ask(transfer)
        elif sum(map(len, self._waiting.values())) < QUEUE_LIMIT:
            self._waiting[offer.kind][offer.entry] = (route, node, offer)

    # --- transfers ---

    def _begin_transfers(self) -> None:
        while len(self._active) < self._limits.transfers and len(self._filing) < UNCOMMITTED:
            line = self._waiting["jpeg"] or self._waiting["raw"]
            if not line:
                self._trouble = ""  # nothing waits: whatever stood in the way does not any more
                return
            if time.monotonic_ns() < self._try_again_ns:
                return
            # Those that need not be read here first: the others' nodes may have proven them by then.
            entry = next((key for key, (_, _, waiting) in line.items() if waiting.proof), next(iter(line)))
            route, node, offer = line.pop(entry)
            try:
                verdict = self._judge(offer)
            except FrameRejected as rejection:
                self._reject(route, offer, str(rejection))
                continue
            except (RecordError, OSError) as error:
                line[entry] = (route, node, offer)
                line.move_to_end(entry, last=False)
                self._stumble(str(error))
                return
            self._trouble = ""
            if verdict == "stored":
                send_to(self._socket, route, wire.Stored(entry=offer.entry, sha256=offer.sha256), limit=wire.BULK_LIMIT)
                continue
            transfer = _Transfer(offer, route, node, self._folder / f"{offer.entry}.{offer.sha256[:16]}.part")
            if self._resume(transfer):
                self._submit(transfer)
            else:
                self._active[offer.entry] = transfer
                self._ask(transfer)

    def _judge(self, offer: wire.Offer) -> str:
        verdict = self._commit_log.judge(offer)
        if offer.bytes > self._limits.max_frame_mb * 1e6:
            raise FrameRejected(f"{offer.bytes / 1e6:.0f} MB is over {self._limits.max_frame_mb:g} MB")
        if offer.bytes == 0:
            raise FrameRejected("the photograph is empty")
        coming = sum(other.offer.bytes - other.offset for other in self._active.values())
        free = shutil.disk_usage(self._folder).free - coming - offer.bytes
        if verdict == "want" and free < self._limits.min_free_mb * 1e6:
            limit = f"less than {self._limits.min_free_mb:g} MB would stay free"
            raise OSError(f"the disk of {self._folder} is full: {limit}; make room")
        return verdict

    def _resume(self, transfer: _Transfer) -> bool:
        """Go on from the bytes that an earlier, broken transfer has left; True when they are all there."""
        if not transfer.part.exists():
            return False
        with transfer.part.open("rb") as file:
            while block := file.read(1 << 20):
                transfer.digest.update(block)
                transfer.offset += len(block)
        if transfer.offset < transfer.offer.bytes:
            return False
        if transfer.offset == transfer.offer.bytes and transfer.digest.hexdigest() == transfer.offer.sha256:
            return True
        transfer.part.unlink()
        transfer.offset, transfer.digest = 0, hashlib.sha256()
        return False

    def _ask(self, transfer: _Transfer) -> None:
        transfer.credit_left = self._limits.credit
        transfer.asked_ns = time.monotonic_ns()
        want = wire.Want(entry=transfer.offer.entry, offset=transfer.offset, credit=self._limits.credit)
        send_to(self._socket, transfer.route, want, limit=wire.BULK_LIMIT)

    def _take_chunk(self, route: bytes, chunk: wire.Chunk) -> None:
        transfer = self._active.get(chunk.entry)
        if transfer is None or transfer.route != route or chunk.offset != transfer.offset:
            return  # of an earlier Want; what is missing is asked for again when the transfer stalls
        transfer.moved_ns = time.monotonic_ns()
        transfer.credit_left -= 1
        end = transfer.offset + len(chunk.data)
        if end > transfer.offer.bytes or (chunk.last and end < transfer.offer.bytes):
            self._restart(transfer, f"{end} bytes came instead of {transfer.offer.bytes}")
            return
        try:
            transfer.append(chunk.data)
            self.received_bytes += len(chunk.data)
        except OSError as error:
            self._put_back(transfer)
            self._stumble(f"{self._folder} cannot be written: {error.strerror}; make room")
            return
        if end == transfer.offer.bytes:
            transfer.close()
            del self._active[chunk.entry]
            if transfer.digest.hexdigest() != transfer.offer.sha256:
                self._restart(transfer, "the hash of the bytes that came is not the one announced")
                return
            self._submit(transfer)
        elif transfer.credit_left <= 0 and self._open.is_set():
            self._ask(transfer)

    def _submit(self, transfer: _Transfer) -> None:
        self._filing[transfer.offer.entry] = transfer
        self._files.submit(transfer.offer, transfer.part)

    def _put_back(self, transfer: _Transfer) -> None:
        """To the head of its line again; what is written of it stays."""
        transfer.close()
        del self._active[transfer.offer.entry]
        line = self._waiting[transfer.offer.kind]
        line[transfer.offer.entry] = (transfer.route, transfer.node, transfer.offer)
        line.move_to_end(transfer.offer.entry, last=False)

    def _restart(self, transfer: _Transfer, reason: str) -> None:
        """Once more from the first byte; a second time the photograph is given up."""
        transfer.close()
        transfer.part.unlink(missing_ok=True)
        transfer.offset, transfer.digest = 0, hashlib.sha256()
        transfer.attempts += 1
        if transfer.attempts > 1:
            self._active.pop(transfer.offer.entry, None)
            self._reject(transfer.route, transfer.offer, reason)
            return
        offer = transfer.offer
        log.warning("%s of %s: %s; asked for again", offer.camera, offer.take_id, reason, extra=_about(offer))
        self._active[transfer.offer.entry] = transfer
        self._ask(transfer)

    def _unstall(self) -> None:
        """Ask again where nothing moves; forget a transfer that still does not: the node will offer it again."""
        now = time.monotonic_ns()
        if self._reopened:  # a hold is no stall
            self._reopened = False
            for transfer in self._active.values():
                transfer.moved_ns = now
        for entry, transfer in list(self._active.items()):
            if now - transfer.moved_ns > GIVE_UP_NS:
                transfer.close()
                del self._active[entry]
            elif transfer.credit_left <= 0 or now - max(transfer.moved_ns, transfer.asked_ns) > STALL_NS:
                self._ask(transfer)

    def _reject(self, route: bytes, offer: wire.Offer, reason: str) -> None:
        said = (offer.kind, offer.camera, offer.take_id, reason)
        log.warning("rejected the %s of %s for %s: %s", *said, extra=_about(offer))
        self._commit_log.rejected(offer, reason)
        send_to(self._socket, route, wire.Rejected(entry=offer.entry, reason=reason[:1000]), limit=wire.BULK_LIMIT)

    def _stumble(self, reason: str) -> None:
        """Something on this side is wrong: nothing is lost, the node keeps its copy, and it is tried again soon."""
        if self._trouble != reason:
            log.error("photographs cannot be taken in now: %s", reason)
        self._trouble = reason
        self._try_again_ns = time.monotonic_ns() + round(RETRY_S * 1e9)

    def _answer_finished(self) -> None:
        while True:
            try:
                outcome = self._outcomes.get_nowait()
            except queue.Empty:
                return
            transfer = self._filing.pop(outcome.offer.entry)
            if isinstance(outcome.answer, wire.Rejected):
                self._reject(transfer.route, transfer.offer, outcome.answer.reason)
            elif outcome.answer is not None:
                self.stored += 1
                self.proven_on_nodes += outcome.offer.proof is not None
                send_to(self._socket, transfer.route, outcome.answer, limit=wire.BULK_LIMIT)


def _about(offer: wire.Offer) -> dict[str, str]:
    """For the log: which photograph it is."""
    return {"camera": offer.camera, "take": offer.take_id, "fire": offer.fire_id}
