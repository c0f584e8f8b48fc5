"""What a process does so that it wakes on time: real-time priority, no garbage collection, no page swapped out."""

import ctypes
import gc
import os

PRIORITY = 50  # of SCHED_FIFO in the fire window
_MCL_CURRENT, _MCL_FUTURE, _MCL_ONFAULT = 1, 2, 4  # mlockall(2)


def realtime_permitted() -> bool:
    """Whether this process may run at real-time priority (root, or LimitRTPRIO in its unit)."""
    if not _set_fifo():
        return False
    _set_ordinary()
    return True


def lock_memory() -> bool:
    """Keep every page that is or will be in memory there, for good; False where that is not permitted.

    Permitted to root and where the unit has LimitMEMLOCK=infinity. Pages never touched cost nothing (MCL_ONFAULT).
    """
    try:
        library = ctypes.CDLL(None, use_errno=True)
        return bool(library.mlockall(_MCL_CURRENT | _MCL_FUTURE | _MCL_ONFAULT) == 0)
    except (OSError, AttributeError):  # no libc, or none that can
        return False


class RealtimeWindow:
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
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(PRIORITY))
    except (OSError, AttributeError):
        return False
    return True


def _set_ordinary() -> None:
    os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
