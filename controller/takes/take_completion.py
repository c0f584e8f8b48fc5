"""Completion of takes whose photographs are still coming in: each is settled in the background, and the next may fire.

A take is given up when nothing has come for a while; but not while photographs cannot be filed for a reason on this
side (disk full, database locked): they are safe on the nodes, the operator is told, and the take waits.
"""

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Generic, TypeVar

from controller.errors import ControllerError
from controller.takes.take_progress import TakeProgress
from db.audit.acting_person import carried
from db.errors import DatabaseUnavailable

log = logging.getLogger(__name__)

RETRY_S = 2.0
GLANCE_S = 0.25
R = TypeVar("R")


class TakeCompletion(Generic[R]):
    """One thread a take under way.

    trouble: why photographs cannot be filed now, or "". stopped: whether the controller is ending. quiet_s: a take is
    settled without the photographs of which nothing has come for so long.
    """

    def __init__(self, trouble: Callable[[], str], stopped: Callable[[], bool], quiet_s: float) -> None:
        self._trouble = trouble
        self._stopped = stopped
        self._quiet_s = quiet_s
        self._settling = threading.Lock()
        self._lock = threading.Lock()
        self._threads: dict[str, threading.Thread] = {}

    @property
    def takes(self) -> list[str]:
        """The takes that are still coming in, oldest first."""
        with self._lock:
            return list(self._threads)

    def begin(self, progress: TakeProgress, settle: Callable[[], R]) -> "Future[R]":
        """Wait for the take's photographs and settle it, in a thread of its own."""
        future: Future[R] = Future()
        thread = threading.Thread(
            target=carried(self._complete), args=(progress, settle, future), name=f"mien-complete-{progress.take}",
            daemon=True,
        )  # fmt: skip
        with self._lock:
            self._threads[progress.take] = thread
            thread.start()  # here, so that join() never meets one that has not begun
        return future

    def wait(self, future: "Future[R]") -> R | None:
        """What was settled; None when photographs could not be filed for so long that somebody must see to it."""
        since = time.monotonic()
        while True:
            try:
                return future.result(GLANCE_S)
            except TimeoutError:
                now = time.monotonic()
                if not self._trouble():
                    since = now
                elif now - since > self._quiet_s:
                    return None

    def join(self, timeout_s: float) -> None:
        """Wait for the threads once the tallies were told to stop waiting."""
        end = time.monotonic() + timeout_s
        with self._lock:
            threads = list(self._threads.values())
        for thread in threads:
            thread.join(max(0.0, end - time.monotonic()))

    def _complete(self, progress: TakeProgress, settle: Callable[[], R], future: "Future[R]") -> None:
        try:
            while not progress.wait(self._quiet_s) and not self._stopped() and self._trouble():
                log.warning("%s waits: %s", progress.take, self._trouble(), extra={"take": progress.take})
            result = self._settle(progress.take, settle)
        except Exception as error:
            if not self._stopped():
                log.exception("take %s could not be settled", progress.take, extra={"take": progress.take})
            self._end(progress.take)
            future.set_exception(error)
        else:
            self._end(progress.take)
            future.set_result(result)

    def _settle(self, take: str, settle: Callable[[], R]) -> R:
        while True:
            if self._stopped():
                raise ControllerError(f"The studio was stopped; {take} is settled at the next start")
            try:
                with self._settling:  # takes are compared with the one before
                    return settle()
            except DatabaseUnavailable as error:
                log.error("%s cannot be settled now: %s", take, error, extra={"take": take})
                time.sleep(RETRY_S)

    def _end(self, take: str) -> None:
        with self._lock:
            self._threads.pop(take, None)
