"""Photographs come in: asked for by credit, verified, decoded, filed, committed; only then the node may forget them.

One thread owns the bulk socket and writes chunks to disk; two more verify, decode and file. At most `transfers`
photographs are under way, each with `credit` chunks in flight, so memory stays flat whatever a photograph weighs.
Nothing of this runs while a fire is in its window: see hold().
"""

import hashlib
import logging
import queue
import socket
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

import zmq

from camera_nodes import wire
from camera_nodes.transport import AllowList, BadMessage, Context, KeyPair, bind_router, receive, send_to
from controller.errors import FrameRejected
from controller.photo import Photo, read_photo
from controller.rig_file import TransferLimits
from db.errors import RecordError
from db.store import Store

log = logging.getLogger(__name__)

FILING_THREADS = 2
STALL_NS = 2_000_000_000
GIVE_UP_NS = 7_000_000_000  # less than the node takes to offer it again
RETRY_S = 2.0
QUEUE_LIMIT = 20_000


@dataclass(frozen=True)
class Arrival:
    """A photograph that was verified, decoded and filed in the store."""

    take_id: str
    fire_id: str
    camera: str
    name: str
    sha256: str
    bytes: int
    photo: Photo


class Book(Protocol):
    """Where arrivals are written. Called from ingest threads."""

    def judge(self, offer: wire.Offer) -> Literal["want", "stored"]:
        """Whether the photograph is wanted. Raises FrameRejected when it never will be."""
        ...

    def commit(self, arrival: Arrival) -> None:
        """ONE transaction for the frame. Raises FrameRejected, or RecordError when it may be tried again."""
        ...

    def rejected(self, offer: wire.Offer, reason: str) -> None:
        """The photograph cannot be used: name the problem on its take."""
        ...


@dataclass
class _Transfer:
    offer: wire.Offer
    route: bytes
    node: str
    part: Path
    offset: int = 0
    credit_left: int = 0
    asked_ns: int = 0
    moved_ns: int = field(default_factory=time.monotonic_ns)
    attempts: int = 0
    digest: "hashlib._Hash" = field(default_factory=hashlib.sha256)


class Ingest:
    """Owns the bulk ROUTER. start() binds and runs; stop() ends the threads after the photograph in hand."""

    def __init__(
        self,
        context: Context,
        address: str,
        keys: KeyPair,
        allowed: AllowList,
        folder: Path,
        store: Store,
        book: Book,
        owner: Callable[[str], str | None],
        limits: TransferLimits,
    ) -> None:
        self._context = context
        self._address = address
        self._keys = keys
        self._allowed = allowed
        self._folder = folder
        self._store = store
        self._book = book
        self._owner = owner
        self._limits = limits
        self._waiting: OrderedDict[str, tuple[bytes, str, wire.Offer]] = OrderedDict()
        self._active: dict[str, _Transfer] = {}
        self._filing: dict[str, _Transfer] = {}
        self._results: queue.SimpleQueue[tuple[_Transfer, wire.Stored | wire.Rejected | None]] = queue.SimpleQueue()
        self._wake_read, self._wake_write = socket.socketpair()
        self._wake_read.setblocking(False)
        self._open = threading.Event()
        self._open.set()
        self._pool = ThreadPoolExecutor(FILING_THREADS, thread_name_prefix="mien-filing")
        self._thread = threading.Thread(target=self._run, name="mien-ingest", daemon=True)
        self._running = False
        self.endpoint = ""
        self.stored = 0
        self.trouble = ""  # why filing does not go on (disk full, database away); empty when it does

    def start(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        self._socket, self.endpoint = bind_router(self._context, self._address, self._keys, limit=wire.BULK_LIMIT)
        self._running = True
        self._thread.start()

    def stop(self) -> None:
        self._running = False
        self._open.set()
        self._wake()
        if self._thread.is_alive():
            self._thread.join(30)
        self._pool.shutdown(wait=True)
        self._wake_read.close()
        self._wake_write.close()

    def hold(self) -> None:
        """Ask for nothing and decode nothing until go_on()."""
        self._open.clear()

    def go_on(self) -> None:
        self._open.set()
        self._wake()

    def _wake(self) -> None:
        with suppress(OSError):
            self._wake_write.send(b"\0")

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
                while self._running:
                    received = receive(self._socket, wire.NODE_BULK, self._allowed, limit=wire.BULK_LIMIT)
                    if received is None:
                        break
                    if isinstance(received, BadMessage):
                        log.warning("refused a bulk message from %s: %s", received.node or "nobody", received.error)
                    elif isinstance(received.message, wire.Offer):
                        self._take_offer(received.route, received.node, received.message)
                    else:
                        self._take_chunk(received.route, received.message)
                self._answer_finished()
                if self._open.is_set():
                    self._unstall()
                    self._begin_transfers()
        except Exception:
            log.exception("the ingest thread stopped")
            raise
        finally:
            self._running = False
            self._socket.close()

    def _take_offer(self, route: bytes, node: str, offer: wire.Offer) -> None:
        if self._owner(offer.camera) != node:
            return  # its Hello is still under way, or it speaks for another's camera; an offer is repeated
        if offer.entry in self._filing:
            self._filing[offer.entry].route = route
        elif offer.entry in self._active:
            transfer = self._active[offer.entry]
            if transfer.route != route:
                transfer.route = route
                self._ask(transfer)
        elif len(self._waiting) < QUEUE_LIMIT:
            self._waiting[offer.entry] = (route, node, offer)

    def _begin_transfers(self) -> None:
        while self._waiting and len(self._active) + len(self._filing) < self._limits.transfers + FILING_THREADS:
            if len(self._active) >= self._limits.transfers:
                return
            _, (route, node, offer) = self._waiting.popitem(last=False)
            try:
                verdict = self._book.judge(offer)
                if offer.bytes > self._limits.max_frame_mb * 1e6:
                    raise FrameRejected(f"{offer.bytes / 1e6:.0f} MB is over {self._limits.max_frame_mb:g} MB")
                if offer.bytes == 0:
                    raise FrameRejected("the photograph is empty")
            except FrameRejected as rejection:
                self._reject(route, offer, str(rejection))
                continue
            except RecordError as error:
                self._stumble(error)
                return
            if verdict == "stored":
                send_to(self._socket, route, wire.Stored(entry=offer.entry, sha256=offer.sha256), limit=wire.BULK_LIMIT)
            else:
                transfer = _Transfer(offer, route, node, self._folder / f"{offer.entry}.{offer.sha256[:16]}.part")
                self._active[offer.entry] = transfer
                self._resume(transfer)
                self._ask(transfer)

    def _resume(self, transfer: _Transfer) -> None:
        """Go on from the bytes that an earlier, broken transfer has left."""
        if not transfer.part.exists():
            return
        if transfer.part.stat().st_size >= transfer.offer.bytes:
            transfer.part.unlink()
            return
        with transfer.part.open("rb") as file:
            while block := file.read(1 << 20):
                transfer.digest.update(block)
                transfer.offset += len(block)

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
            with transfer.part.open("ab") as file:
                file.write(chunk.data)
        except OSError as error:
            self._stumble(error)
            del self._active[chunk.entry]
            return
        transfer.digest.update(chunk.data)
        transfer.offset = end
        if end == transfer.offer.bytes:
            del self._active[chunk.entry]
            if transfer.digest.hexdigest() != transfer.offer.sha256:
                self._restart(transfer, "the hash of the bytes that came is not the one announced")
                return
            self._filing[chunk.entry] = transfer
            self._pool.submit(self._file, transfer)
        elif transfer.credit_left <= 0 and self._open.is_set():
            self._ask(transfer)

    def _restart(self, transfer: _Transfer, reason: str) -> None:
        """Once more from the first byte; a second time the photograph is given up."""
        transfer.part.unlink(missing_ok=True)
        transfer.offset, transfer.digest = 0, hashlib.sha256()
        transfer.attempts += 1
        if transfer.attempts > 1:
            self._active.pop(transfer.offer.entry, None)
            self._reject(transfer.route, transfer.offer, reason)
            return
        log.warning("%s of %s: %s; asked for again", transfer.offer.camera, transfer.offer.take_id, reason)
        self._active[transfer.offer.entry] = transfer
        self._ask(transfer)

    def _unstall(self) -> None:
        """Ask again where nothing moves; forget a transfer that still does not: the node will offer it again."""
        now = time.monotonic_ns()
        for entry, transfer in list(self._active.items()):
            if now - transfer.moved_ns > GIVE_UP_NS:
                del self._active[entry]
            elif transfer.credit_left <= 0 or now - max(transfer.moved_ns, transfer.asked_ns) > STALL_NS:
                self._ask(transfer)

    def _reject(self, route: bytes, offer: wire.Offer, reason: str) -> None:
        log.warning("rejected the photograph of %s for %s: %s", offer.camera, offer.take_id, reason)
        self._book.rejected(offer, reason)
        send_to(self._socket, route, wire.Rejected(entry=offer.entry, reason=reason[:1000]), limit=wire.BULK_LIMIT)

    def _stumble(self, error: Exception) -> None:
        """Something on this side is wrong: nothing is lost, the node keeps its copy and offers it again."""
        if self.trouble != str(error):
            log.error("photographs cannot be filed now: %s", error)
        self.trouble = str(error)

    def _answer_finished(self) -> None:
        while True:
            try:
                transfer, answer = self._results.get_nowait()
            except queue.Empty:
                return
            self._filing.pop(transfer.offer.entry, None)
            if isinstance(answer, wire.Rejected):
                self._reject(transfer.route, transfer.offer, answer.reason)
            elif answer is not None:
                self.stored += 1
                self.trouble = ""
                send_to(self._socket, transfer.route, answer, limit=wire.BULK_LIMIT)

    # --- the filing threads ---

    def _file(self, transfer: _Transfer) -> None:
        self._open.wait()
        offer = transfer.offer
        answer: wire.Stored | wire.Rejected | None
        try:
            photo = read_photo(transfer.part)
            self._store.put_file(transfer.part, expected=offer.sha256)
            self._book.commit(
                Arrival(
                    take_id=offer.take_id,
                    fire_id=offer.fire_id,
                    camera=offer.camera,
                    name=offer.name,
                    sha256=offer.sha256,
                    bytes=offer.bytes,
                    photo=photo,
                )
            )
            answer = wire.Stored(entry=offer.entry, sha256=offer.sha256)
        except FrameRejected as rejection:
            answer = wire.Rejected(entry=offer.entry, reason=str(rejection)[:1000])
        except (RecordError, OSError) as error:
            self._stumble(error)
            time.sleep(RETRY_S)
            answer = None
        except Exception:
            log.exception("filing %s failed", offer.entry)
            answer = None
        with suppress(OSError):
            transfer.part.unlink(missing_ok=True)
        self._results.put((transfer, answer))
        self._wake()
