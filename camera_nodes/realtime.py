"""What a process does so that it wakes on time in the fire window: real-time priority and no garbage collection."""

import gc
import os

_PRIORITY = 50


def realtime_permitted() -> bool:
    """Whether this process may run at real-time priority (root, or LimitRTPRIO in its unit)."""
    if not _set_fifo():
        return False
    _set_ordinary()
    return True


class Window:
    """Entered when the camera is armed, left when the stamps are reported.  Acts on the calling thread."""

    def __init__(self, realtime: bool) -> None:
        self._realtime = realtime
        self._inside = False
        self._fifo = False
        # What is loaded by now stays for good. Walking it before every fire would cost 0.1 s, and copy every page that
        # the processes of a machine's cameras share.
        gc.freeze()

    def enter(self) -> None:
        """No collections from here on, and real-time priority where it is permitted."""
        if not self._inside:
            self._inside = True
            gc.collect()
            gc.disable()
            self._fifo = self._realtime and _set_fifo()

    def leave(self) -> None:
        """Back to ordinary."""
        if self._inside:
            self._inside = False
            if self._fifo:
                _set_ordinary()
            gc.enable()


def _set_fifo() -> bool:
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(_PRIORITY))
    except (OSError, AttributeError):
        return False
    return True


def _set_ordinary() -> None:
    os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
