"""Mutual exclusion of everything that uses the rig's shutters: fires, lag measurements, preflights, recoveries."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from controller.errors import SessionError

FIRING = "A take is being fired; wait for it"


class FiringLock:
    """The right to use the shutters; one holder at a time, and whoever comes second is refused, not kept waiting."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._beside = ""

    @contextmanager
    def hold(self, beside: str = "") -> Iterator[None]:
        """Hold the right for a while. Raises SessionError while another holds it.

        beside: what it is held for, when it is not for a take: "the preflight is running".
        """
        if not self._lock.acquire(blocking=False):
            raise SessionError(FIRING)
        self._beside = beside
        try:
            yield
        finally:
            self._beside = ""
            self._lock.release()

    @property
    def beside(self) -> str:
        """What it is held for now, when it is not for a take; "" otherwise."""
        return self._beside

    @property
    def held(self) -> bool:
        """Whether anybody holds it now."""
        return self._lock.locked()
