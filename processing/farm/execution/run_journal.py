"""What runs leave beside the store, by key: who computes it now, what was made but is not in the records yet, a log.

    runs/<key>.lock     held by the process that computes this key; no other begins it meanwhile
    runs/<key>.json     what a run filed in the store, until the database knows it
    runs/<key>.done     the same afterwards, for an hour: a run that was given up and begins late finds it
    runs/<key>.log      what the run said, until it ends well

A lease says who should compute a key; a daemon that died or was cut off leaves one that computes it still. The lock
makes the next one come again for that one's result instead of computing it anew.
"""

import json
import os
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

import fsspec

from common.files.atomic_write import write_whole
from common.files.locks import try_lock
from db.errors import RecordError
from db.stage_runs.artefacts import OutputFile
from db.stage_runs.run_logs import RUNS, run_log_file
from db.store import Store
from processing.farm.execution.scratch_folders import own_folder

POLL_S = 0.2
LOG_TAIL = 8000  # characters
LATE_S = 3600.0


class RunJournal(Protocol):
    """What one store's runs leave. patience_s: after so long in `alone`, a holder that has died would be known."""

    patience_s: float

    def alone(self, key: str, waiting: Callable[[], None]) -> Any:
        """A context in which no other process computes `key`; `waiting` is called again and again while one does.

        What it raises ends the waiting.
        """

    def write(self, key: str, outputs: Sequence[OutputFile]) -> None:
        """Note what a run has filed in the store."""

    def read(self, key: str) -> str | None:
        """What was noted, as JSON; None when nothing was."""

    def log_path(self, key: str) -> Path:
        """A file on this machine for what the run says."""

    def recorded(self, key: str) -> None:
        """The records have it all: what was noted is no longer needed, or only by who comes late."""

    def sweep(self, older_s: float = LATE_S) -> None:
        """Remove what is left of runs that were recorded so long ago."""


def run_journal_of(store_place: str) -> RunJournal:
    """The journal of the runs of a store."""
    folder = Store(store_place).folder
    return ObjectRunJournal(f"{store_place.rstrip('/')}/runs") if folder is None else FolderRunJournal(folder / RUNS)


def journalled_outputs(journal: RunJournal, key: str, store: Store) -> tuple[OutputFile, ...]:
    """The outputs of a run that were filed but not recorded, checked in the store; empty when there are none."""
    text = journal.read(key)
    if text is None:
        return ()
    try:
        outputs = tuple(OutputFile(*row) for row in json.loads(text))
        for output in outputs:
            store.verify(output.sha256)
    except (ValueError, TypeError, RecordError):
        return ()
    return outputs


def log_tail(journal: RunJournal, key: str) -> str:
    """The end of a run's log, where this machine can see it."""
    with suppress(OSError):
        return journal.log_path(key).read_text(encoding="utf-8", errors="replace")[-LOG_TAIL:]
    return ""


def _as_text(outputs: Sequence[OutputFile]) -> str:
    return json.dumps([[o.output, o.sha256, o.bytes, o.media] for o in outputs])


class FolderRunJournal:
    """Beside a store in a folder. The kernel drops a killed process's lock, also for other machines that share it."""

    patience_s = 0.5

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @contextmanager
    def alone(self, key: str, waiting: Callable[[], None]) -> Iterator[None]:
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / f"{key}.lock"
        while (held := try_lock(path)) is None:
            waiting()
            time.sleep(POLL_S)
        try:
            yield
        finally:
            path.unlink(missing_ok=True)  # before the lock goes: who opens it afterwards sees that it is gone
            os.close(held)

    def write(self, key: str, outputs: Sequence[OutputFile]) -> None:
        write_whole(self._folder / f"{key}.json", _as_text(outputs), durable=False)

    def read(self, key: str) -> str | None:
        for ending in ("json", "done"):
            with suppress(OSError):
                return (self._folder / f"{key}.{ending}").read_text()
        return None

    def log_path(self, key: str) -> Path:
        return run_log_file(self._folder, key)

    def recorded(self, key: str) -> None:
        with suppress(FileNotFoundError):
            (self._folder / f"{key}.json").replace(self._folder / f"{key}.done")
            os.utime(self._folder / f"{key}.done")
        self.log_path(key).unlink(missing_ok=True)

    def sweep(self, older_s: float = LATE_S) -> None:
        before = time.time() - older_s
        for path in self._folder.glob("*.done"):
            with suppress(FileNotFoundError):
                if path.stat().st_mtime < before:
                    path.unlink()


class ObjectRunJournal:
    """Beside a store of objects, which has no locks: a marker that its holder renews, stale when it no longer changes.

    Two that begin in the same moment would both pass; the leases in the database never let two begin so.
    """

    def __init__(self, place: str, beat_s: float = 5.0, beats: int = 4) -> None:
        self._fs, root = fsspec.core.url_to_fs(place)
        self._root = str(root).rstrip("/")
        self._beat_s, self._beats = beat_s, beats
        self.patience_s = beat_s * (beats + 1)

    @contextmanager
    def alone(self, key: str, waiting: Callable[[], None]) -> Iterator[None]:
        place, me = f"{self._root}/{key}.lock", uuid.uuid4().hex
        seen, since = self._text(place), time.monotonic()
        while seen is not None and time.monotonic() - since < self._beat_s * self._beats:
            waiting()
            time.sleep(min(POLL_S, self._beat_s))
            now = self._text(place)
            if now != seen:
                seen, since = now, time.monotonic()
        ended = threading.Event()
        self._fs.pipe_file(place, f"{me} 0".encode())
        beating = threading.Thread(target=self._beat, args=(place, me, ended), daemon=True)
        beating.start()
        try:
            yield
        finally:
            ended.set()
            beating.join()
            with suppress(FileNotFoundError):
                self._fs.rm_file(place)

    def _beat(self, place: str, me: str, ended: threading.Event) -> None:
        count = 0
        while not ended.wait(self._beat_s):
            count += 1
            with suppress(Exception):  # the next beat may get through
                self._fs.pipe_file(place, f"{me} {count}".encode())

    def write(self, key: str, outputs: Sequence[OutputFile]) -> None:
        self._fs.pipe_file(f"{self._root}/{key}.json", _as_text(outputs).encode())

    def read(self, key: str) -> str | None:
        return self._text(f"{self._root}/{key}.json") or self._text(f"{self._root}/{key}.done")

    def log_path(self, key: str) -> Path:
        return own_folder("runs") / f"{key}.log"

    def recorded(self, key: str) -> None:
        self.log_path(key).unlink(missing_ok=True)
        with suppress(FileNotFoundError):
            self._fs.mv(f"{self._root}/{key}.json", f"{self._root}/{key}.done")

    def sweep(self, older_s: float = LATE_S) -> None:
        before = datetime.now(UTC) - timedelta(seconds=older_s)
        with suppress(FileNotFoundError):
            for path in self._fs.find(self._root):
                if str(path).endswith(".done") and self._fs.modified(path) < before:
                    self._fs.rm_file(path)

    def _text(self, place: str) -> str | None:
        try:
            return bytes(self._fs.cat_file(place)).decode()
        except FileNotFoundError:
            return None
