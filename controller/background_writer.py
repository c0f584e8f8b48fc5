"""Background writer: small entries for the records, from threads that must not wait for a database."""

import logging
import queue
import threading
import time
from collections.abc import Callable

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from db.audit.acting_person import carried
from db.engine import transaction
from db.errors import DatabaseUnavailable, RecordError

log = logging.getLogger(__name__)

WAITING = 500  # entries that wait for a database that is away; beyond them the log alone has what happens
RETRY_S = 2.0


class BackgroundWriter:
    """One thread that writes, in order, what it is given. start() and stop() once."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._entries: queue.Queue[Callable[[Session], None] | None] = queue.Queue(WAITING)
        self._thread = threading.Thread(target=self._run, name="mien-writer", daemon=True)
        self._stopping = threading.Event()

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Write what waits, unless the database is away."""
        self._stopping.set()
        if self._thread.is_alive():
            try:
                self._entries.put(None, timeout=5.0)
            except queue.Full:
                return
            self._thread.join(15)

    def write(self, entry: Callable[[Session], None]) -> None:
        """Have this run in a transaction of its own, soon, for the person who acts now. Returns at once."""
        try:
            self._entries.put_nowait(carried(entry))
        except queue.Full:
            log.error("too much waits to be written: an entry about a camera is lost to the records")

    def settle(self) -> None:
        """Wait until everything given so far is written, or given up."""
        self._entries.join()

    def _run(self) -> None:
        while True:
            entry = self._entries.get()
            try:
                if entry is None:
                    return
                self._write(entry)
            finally:
                self._entries.task_done()

    def _write(self, entry: Callable[[Session], None]) -> None:
        while True:
            try:
                with transaction(self._engine) as tx:
                    entry(tx)
            except DatabaseUnavailable as error:
                if self._stopping.is_set():
                    log.error("not written, as the studio ends: %s", error)
                    return
                time.sleep(RETRY_S)
            except RecordError as error:
                log.error("not written: %s", error)
                return
            except Exception:  # one entry that cannot be written must not lose those after it
                log.exception("not written")
                return
            else:
                return
