"""Whole files become photographs: proven, moved into the store, committed; only then the node may forget its copy.

Threads of their own, because reading a photograph's codes takes longer than its transfer. A node that has done so
already says it in its offer, and the hash says that these are the same bytes
(controller.image_files.photograph_reader). What fails for a
reason on this side (database away or locked, disk full) is tried again until it succeeds: nothing is thrown away, and
`trouble` says why it waits.
"""

import logging
import queue
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from camera_nodes import wire
from common.photograph_facts import PhotographFacts
from controller.errors import FrameRejected
from controller.image_files.photograph_reader import PhotographHeader, read_photo
from controller.image_files.raw_file import RawHeader, read_raw
from db.errors import RecordError
from db.store import Store

log = logging.getLogger(__name__)

FILING_THREADS = 3  # one more than cores of a small server: each waits for the disk in turn
RETRY_S = 2.0
FORGOTTEN_S = 15.0  # whoever still meets a trouble meets it again by then: a retry after 2 s, a node's offer after 10 s


class ReceivedPhotograph(PhotographFacts, frozen=True, kw_only=True):
    """A file that was verified and read, to be filed: a photograph, or the raw file of one.

    Its body_clock_error_ms is against the studio's UTC, at its node's word.
    """

    content: PhotographHeader | RawHeader  # what the file itself says


class CommitLog(Protocol):
    """Where arrivals are written. Called from ingest threads."""

    def judge(self, offer: wire.Offer) -> Literal["want", "stored"]:
        """Whether the file is wanted. Raises FrameRejected when it never will be."""
        ...

    def prove(self, arrival: ReceivedPhotograph) -> None:
        """Before the file goes into the store. Raises FrameRejected when it is not of its take."""
        ...

    def put_elsewhere(self, arrival: ReceivedPhotograph, path: Path) -> bool:
        """File a photograph that is no take's, which the store never has; False for a take's. Raises OSError."""
        ...

    def commit(self, arrival: ReceivedPhotograph) -> None:
        """ONE transaction for the file. Raises FrameRejected, or RecordError when it may be tried again."""
        ...

    def rejected(self, offer: wire.Offer, reason: str) -> None:
        """The file cannot be used: name the problem on its take."""
        ...


@dataclass(frozen=True)
class CommitOutcome:
    """What became of a file."""

    offer: wire.Offer  # the one that it came by
    # what the node is told; None: the controller stopped first, and the file waits in its folder
    answer: wire.Stored | wire.Rejected | None


class FileCommitter:
    """A few threads that file what they are given, in order. `done` is called from them with each Outcome."""

    def __init__(self, store: Store, commit_log: CommitLog, done: Callable[[CommitOutcome], None]) -> None:
        self._store = store
        self._commit_log = commit_log
        self._done = done
        self._jobs: queue.SimpleQueue[tuple[wire.Offer, Path] | None] = queue.SimpleQueue()
        self._open = threading.Event()
        self._open.set()
        self._stopping = threading.Event()
        self._threads = [
            threading.Thread(target=self._work, name=f"mien-filing-{number}", daemon=True)
            for number in range(FILING_THREADS)
        ]
        self._trouble = ("", 0.0)  # what, and when it was met last, monotonic s

    @property
    def trouble(self) -> str:
        """Why files cannot be filed; "" once a file was, or when none has met it for a while: its node may be gone."""
        text, at = self._trouble
        return text if time.monotonic() - at < FORGOTTEN_S else ""

    @trouble.setter
    def trouble(self, text: str) -> None:
        self._trouble = text, time.monotonic()

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End after the files in hand; what waits stays where it is."""
        self._stopping.set()
        self._open.set()
        for _ in self._threads:
            self._jobs.put(None)
        for thread in self._threads:
            if thread.is_alive():
                thread.join(60)

    def hold(self) -> None:
        """Begin no file until go_on(): a fire is near."""
        self._open.clear()

    def go_on(self) -> None:
        self._open.set()

    def submit(self, offer: wire.Offer, path: Path) -> None:
        """File `path`, whose bytes were found to have the hash announced. It may be moved or removed from now on."""
        self._jobs.put((offer, path))

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            self._open.wait()
            offer, path = job
            try:
                answer = None if self._stopping.is_set() else self._file(offer, path)
            except Exception as error:
                log.exception("filing %s failed", offer.entry, extra={"camera": offer.camera, "take": offer.take_id})
                self.trouble = f"filing {offer.entry} failed: {error}"
                answer = None
            self._done(CommitOutcome(offer, answer))

    @staticmethod
    def _read(offer: wire.Offer, path: Path) -> ReceivedPhotograph:
        content = read_raw(path) if offer.kind == "raw" else read_photo(path, proven=offer.proof is not None)
        facts = offer.facts() | {"body_clock_error_ms": _body_clock_error_ms(offer)}
        return ReceivedPhotograph(**facts, content=content)

    def _file(self, offer: wire.Offer, path: Path) -> wire.Stored | wire.Rejected | None:
        arrival: ReceivedPhotograph | None = None
        adopted = False
        while True:
            try:
                if arrival is None:
                    arrival = self._read(offer, path)
                if adopted or not self._commit_log.put_elsewhere(arrival, path):
                    if not adopted:
                        self._commit_log.prove(arrival)
                        self._store.adopt_file(path, offer.sha256)
                        adopted = True
                    self._commit_log.commit(arrival)
            except FrameRejected as rejection:
                with suppress(OSError):
                    path.unlink(missing_ok=True)
                return wire.Rejected(entry=offer.entry, reason=str(rejection)[:1000])
            except (RecordError, OSError) as error:
                if self.trouble != str(error):
                    log.error("photographs cannot be filed now: %s", error)
                self.trouble = str(error)
                if self._stopping.wait(RETRY_S):
                    return None
                self._open.wait()
            else:
                if self.trouble:
                    log.info("photographs are filed again")
                self.trouble = ""
                return wire.Stored(entry=offer.entry, sha256=offer.sha256)


def _body_clock_error_ms(offer: wire.Offer) -> int | None:
    """The body's clock minus this machine's UTC: the node's own may be off by as much as it likes."""
    if offer.body_clock_error_ms is None or offer.utc_ns is None:
        return None
    here_ns = time.time_ns() - time.monotonic_ns()
    return offer.body_clock_error_ms + (offer.utc_ns - here_ns) // 1_000_000
