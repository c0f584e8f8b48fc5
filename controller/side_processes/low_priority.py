"""A side process before it becomes a command of Mien: last in every queue, ended with the studio, without a core dump.

Run as `python -m controller.side_processes.low_priority PARENT WORD...`.
"""

import ctypes
import os
import resource
import signal
import sys
from contextlib import suppress
from pathlib import Path

NICE = 19
_PR_SET_PDEATHSIG = 1


def become(parent: int, words: list[str]) -> None:
    """Turn into `mien WORD...`; the parent's death is the end of it. Does not return."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before that
        os._exit(1)
    os.nice(NICE - os.nice(0))
    with suppress(OSError):  # where memory runs out, this goes first
        Path("/proc/self/oom_score_adj").write_text("1000")
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # it would hold photographs
    os.execv(sys.executable, [sys.executable, "-P", "-m", "mien", *words])


if __name__ == "__main__":
    become(int(sys.argv[1]), sys.argv[2:])
