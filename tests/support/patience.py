"""Waiting that depends on no machine's speed.

`until` and `Patience` count quiet seconds: while more processes want to run than there are processors, their clock goes
slower by as much. `run_patiently` has no limit in seconds at all: it ends a program whose processes neither compute nor
write.
"""

import contextlib
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import psutil

Value = TypeVar("Value")

POLL_S = 0.01
_CPUS = len(os.sched_getaffinity(0))
# Less is what a process spends that polls or keeps a connection alive.
_MOVING_CPU_S = 0.02


def share_of_the_machine() -> float:
    """Which part of a processor each process that wants to run has at this moment, at most 1."""
    try:
        text = Path("/proc/stat").read_text()
        wanting = int(text.partition("procs_running")[2].split(maxsplit=1)[0])
    except (OSError, ValueError, IndexError):
        wanting = round(os.getloadavg()[0])
    return min(1.0, _CPUS / max(1, wanting))


class Patience:
    """A deadline in quiet seconds.

    seconds: what a machine of its own would need, several times over. Ask `spent` often: each call looks how
    crowded it is.
    """

    def __init__(self, seconds: float) -> None:
        self._left = seconds
        self._asked = time.monotonic()

    def spent(self) -> bool:
        now = time.monotonic()
        self._left -= (now - self._asked) * share_of_the_machine()
        self._asked = now
        return self._left < 0

    def sleep(self, seconds: float = POLL_S) -> bool:
        """Wait a little; False once nothing is left."""
        time.sleep(seconds)
        return not self.spent()


def until(
    holds: Callable[[], Value],
    what: str | Callable[[], str] = "did not come to pass",
    seconds: float = 60,
    poll_s: float = POLL_S,
) -> Value:
    """What `holds` answers, once it is true. Fails with `what` after so many quiet seconds.

    poll_s: between two askings; longer where asking itself keeps what is waited for from coming.
    """
    patience = Patience(seconds)
    while not (found := holds()):
        if not patience.sleep(poll_s):
            raise AssertionError(what if isinstance(what, str) else what())
    return found


def run_patiently(
    command: Sequence[str | Path],
    *,
    input: str | None = None,
    text: bool = True,
    standstill_s: float = 120,
    **options: Any,
) -> "subprocess.CompletedProcess[Any]":
    """A program's end, output kept apart, as subprocess.run gives it; however long it takes while it moves.

    standstill_s: quiet seconds without any computing, by it or its children, and without output, after which it is
    killed and the test fails with what it said.
    """
    with contextlib.ExitStack() as stack:
        given, out, errors = (stack.enter_context(tempfile.TemporaryFile()) for _ in range(3))
        given.write((input or "").encode())
        given.seek(0)
        process = subprocess.Popen(
            [str(word) for word in command], stdin=given, stdout=out, stderr=errors, start_new_session=True, **options
        )
        try:
            moved = _wait_while_it_moves(process, (out.fileno(), errors.fileno()), standstill_s)
        finally:
            if process.poll() is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        said = []
        for file in (out, errors):
            file.seek(0)
            said.append(file.read().decode(errors="replace") if text else file.read())
        assert moved, f"{command} stood still and was ended; it said: {said[0][-2000:]!r} {said[1][-4000:]!r}"
        return subprocess.CompletedProcess(command, process.returncode, *said)


def _wait_while_it_moves(process: "subprocess.Popen[Any]", files: Sequence[int], standstill_s: float) -> bool:
    """Whether it ended by itself."""
    seen, patience = (0.0, 0), Patience(standstill_s)
    look_s = POLL_S
    while True:
        try:
            process.wait(timeout=look_s)
        except subprocess.TimeoutExpired:
            look_s = min(2 * look_s, 0.5)
        else:
            return True
        now = (_computed_s(process.pid), sum(os.fstat(file).st_size for file in files))
        if now[0] > seen[0] + _MOVING_CPU_S or now[0] < seen[0] or now[1] != seen[1]:
            seen, patience = now, Patience(standstill_s)
        elif patience.spent():
            return False


def _computed_s(pid: int) -> float:
    """Processor seconds of a process and of all under it that live, or that it has waited for."""
    total = 0.0
    with contextlib.suppress(psutil.Error):
        root = psutil.Process(pid)
        for one in (root, *root.children(recursive=True)):
            with contextlib.suppress(psutil.Error):
                total += sum(one.cpu_times()[:4])
    return total
