"""What a command costs: its own seconds, processor seconds and memory, and how busy the machine was beside it."""

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

POLL_SECONDS = 0.1


@dataclass(frozen=True)
class Spent:
    """seconds: wall.  cpu_seconds: of the command and its children.  peak_rss_gb: of the command alone.

    beside: processors that other work kept busy meanwhile, on average.
    """

    seconds: float
    cpu_seconds: float
    peak_rss_gb: float
    beside: float


def spend(command: Sequence[str | Path], log: Path | None = None) -> Spent:
    """Run a command to its end. log: file for its output (else it goes to stderr). Raises RuntimeError if it fails."""
    words = [str(word) for word in command]
    out = log.open("wb") if log else sys.stderr
    try:
        begun, busy = time.perf_counter(), _machine_seconds()
        child = subprocess.Popen(words, stdout=out, stderr=subprocess.STDOUT)
        peak, ended = 0.0, 0
        while not ended:
            peak = max(peak, peak_rss_gb(child.pid))
            time.sleep(POLL_SECONDS)
            ended, status, used = os.wait4(child.pid, os.WNOHANG)
        child.returncode = os.waitstatus_to_exitcode(status)
    finally:
        if log:
            out.close()
    seconds = time.perf_counter() - begun
    cpu = used.ru_utime + used.ru_stime
    if child.returncode:
        told = "" if log is None else f"; its output is in {log}"
        raise RuntimeError(f"{Path(words[0]).name} ended with {child.returncode}{told}")
    beside = max(0.0, (_machine_seconds() - busy - cpu) / seconds)
    return Spent(round(seconds, 1), round(cpu, 1), round(peak, 2), round(beside, 2))


def peak_rss_gb(process: int | str) -> float:
    """The most memory that a running process has held, 0 once it has ended.

    Not ru_maxrss, which counts what the parent held when it started the process.
    """
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) * 1024 / 1e9 for line in lines if line.startswith("VmHWM")), 0.0)


def _machine_seconds() -> float:
    """Processor seconds that all processes have used since the machine started."""
    user, nice, system, _idle, _wait, irq, softirq = map(int, Path("/proc/stat").read_text().split()[1:8])
    return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")
