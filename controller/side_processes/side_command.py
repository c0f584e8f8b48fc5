"""A command of Mien as a side process: bounded in time and memory, paused while a fire is near, ended at any moment."""

import itertools
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

import controller

LOOK_S = 0.2  # between two looks at a running command
MEMORY_LOOKS = 5  # its memory is looked at so seldom: that costs some milliseconds
LARGEST_ANSWER = 1 << 20  # bytes that are read of what it prints
_TOLD = 600  # letters of an error that are passed on
_PRIVATE = (
    "MIEN_",
    "PG",
    "AWS_",
    "NOTIFY_",
    "WATCHDOG_",
)  # of the environment: nothing of it is a side process' business


@dataclass(frozen=True)
class SideResult:
    """How a command ended."""

    code: int  # as it left it; negative: by which signal
    printed: str = ""  # on its standard output
    trouble: str = ""  # why it was ended from here, or the last it said where it failed; "" when it ended well

    @property
    def well(self) -> bool:
        return self.code == 0 and not self.trouble


class SideCommand:
    """A command in a session of its own. run() blocks; the others may be called from any thread."""

    def __init__(self, words: Sequence[str], folder: Path, memory_gb: float, timeout_s: float) -> None:
        """folder: private to it; it runs there, and its temporary files and what it prints lie there."""
        self._words, self._folder = list(words), folder
        self._memory, self._timeout_s = memory_gb * 1e9, timeout_s
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._paused = False
        self._ended = ""

    def run(self, unwanted: Callable[[], str]) -> SideResult:
        """Run it to its end. unwanted: asked at every look; why it is to be ended, or "" for going on."""
        with (self._folder / "out").open("wb") as out, (self._folder / "err").open("wb") as err:
            with self._lock:
                if self._ended:
                    return SideResult(-signal.SIGKILL, trouble=self._ended)
                self._process = process = self._start(out.fileno(), err.fileno())
                if self._paused:
                    self._signal(signal.SIGSTOP)
            try:
                self._watch(process, unwanted)
            finally:
                self.end("the studio went on without it")
                process.wait()
        return self._result(process.returncode)

    def pause(self) -> None:
        """Do nothing until go_on()."""
        with self._lock:
            self._paused = True
            self._signal(signal.SIGSTOP)

    def go_on(self) -> None:
        with self._lock:
            self._paused = False
            self._signal(signal.SIGCONT)

    def end(self, why: str) -> None:
        """End it and all that it has started, at once."""
        with self._lock:
            if self._process is None or self._process.poll() is None:
                self._ended = self._ended or why
            self._signal(signal.SIGKILL)

    def _start(self, out: int, err: int) -> "subprocess.Popen[bytes]":
        words = [sys.executable, "-P", "-m", "controller.side_processes.low_priority", str(os.getpid()), *self._words]
        return subprocess.Popen(
            words,
            cwd=self._folder,
            env=_environment(os.environ, self._folder),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            start_new_session=True,
        )

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)

    def _watch(self, process: "subprocess.Popen[bytes]", unwanted: Callable[[], str]) -> None:
        """Until it has ended, or one of the bounds is passed. Time in which it is paused does not count."""
        worked, last = 0.0, time.monotonic()
        for look in itertools.count():
            with suppress(subprocess.TimeoutExpired):
                process.wait(LOOK_S)
                return
            now = time.monotonic()
            worked, last = worked + (0.0 if self._paused else now - last), now
            if why := unwanted():
                self.end(why)
            elif worked > self._timeout_s:
                self.end(f"not done within {self._timeout_s:g} s")
            elif not self._paused and look % MEMORY_LOOKS == 0 and _memory(process.pid) > self._memory:
                self.end(f"it wanted more than {self._memory / 1e9:g} GB of memory")

    def _result(self, code: int) -> SideResult:
        with (self._folder / "out").open("rb") as out, (self._folder / "err").open("rb") as err:
            printed = out.read(LARGEST_ANSWER).decode(errors="replace")
            err.seek(max(0, err.seek(0, os.SEEK_END) - 4 * _TOLD))
            said = err.read().decode(errors="replace").strip()
        if self._ended:
            return SideResult(code, printed, self._ended)
        if code < 0:
            return SideResult(code, printed, f"its process was ended by signal {-code}: out of memory?")
        return SideResult(code, printed, "" if code == 0 else said[-_TOLD:] or f"it ended with exit code {code}")


def _environment(given: Mapping[str, str], folder: Path) -> dict[str, str]:
    """Without what is private to the studio; temporary files in the folder; this Mien, wherever it was started from."""
    kept = {name: value for name, value in given.items() if not name.startswith(_PRIVATE)}
    source = str(Path(controller.__path__[0]).parent)
    path = os.pathsep.join(filter(None, (source, given.get("PYTHONPATH"))))
    return kept | {"TMPDIR": str(folder), "PYTHONPATH": path, "TERM": "dumb"}


def _memory(pid: int) -> float:
    """Bytes that a process and its children hold."""
    try:
        first = psutil.Process(pid)
        found = [first, *first.children(recursive=True)]
    except psutil.Error:
        return 0.0
    total = 0.0
    for one in found:
        with suppress(psutil.Error):
            total += one.memory_info().rss
    return total
