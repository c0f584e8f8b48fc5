"""The machines' system time, kept together by chrony or PTP, in place of pings, while it agrees with them.

Where a daemon keeps the system clocks of studio and nodes on one time, the clocks' difference needs no pings:

    controller - node  =  (controller - real) there, in each Pong  +  (real - node) here

It is as wrong as the two daemons say together.  Pings go on all the same, and what they prove without assuming
anything of the network (Estimate.bound_ns) is the check: a system time outside of it is wrong, whatever its daemon
says, and pings are used.

chrony's limit of error is |offset| + root dispersion + root delay / 2 (chrony.conf(5), chronyc(1), tracking); for PTP
(linuxptp's pmc(8)) it is |offset from the master| + mean path delay / 2, while the kernel holds its clock to be
synchronised, which phc2sys or ptp4l tells it.
"""

import ctypes
import logging
import re
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

from camera_nodes.clock_sync.clock import Clock, Estimate
from camera_nodes.wire import ClockSource

log = logging.getLogger(__name__)

Source = Literal["chrony", "ptp"]
SOURCES: Final[tuple[Source, ...]] = ("chrony", "ptp")

STALE_S: Final = 30.0  # a daemon's word, or a mark, older than this counts no more
_ASK_EVERY_S: Final = 8.0
_TIMEOUT_S: Final = 3.0
_GOOD_ENOUGH_NS: Final = 250_000  # above this, and above what pings prove, system time is no help
_STA_UNSYNC: Final = 0x40


class SystemTimeError(Exception):
    """The system time is not what was asked for; the message says why and what to do."""


@dataclass(frozen=True)
class SystemTimeSample:
    """One moment by the controller's monotonic clock and by its system time."""

    mono_ns: int  # monotonic
    real_ns: int  # system time, UNIX
    error_ns: int  # how wrong the latter can be
    source: Source  # the daemon that keeps it


def read_error_ns(source: Source) -> int:
    """How wrong this machine's system time can be, as its daemon says now.  Raises SystemTimeError."""
    if source == "chrony":
        return chrony_error_ns(_ask("chronyc", "-c", "tracking"))
    if not kernel_synchronised():
        raise SystemTimeError("the kernel holds its clock to be unsynchronised: is phc2sys (or ptp4l -S) running?")
    return ptp_error_ns(_ask("pmc", "-u", "-b", "0", "GET CURRENT_DATA_SET", "GET TIME_STATUS_NP"))


def chrony_error_ns(tracking: str) -> int:
    """From `chronyc -c tracking`: one line of fourteen fields.  Raises SystemTimeError."""
    fields = tracking.strip().split(",")
    try:
        leap = fields[13]
        offset_s, delay_s, dispersion_s = float(fields[4]), float(fields[10]), float(fields[11])
    except (IndexError, ValueError):
        raise SystemTimeError(f"chronyc answered {tracking.strip()[:80]!r}, not its tracking report") from None
    if leap == "Not synchronised":
        raise SystemTimeError("chrony is not synchronised: `chronyc sources` shows why")
    return round((abs(offset_s) + dispersion_s + delay_s / 2) * 1e9)


def ptp_error_ns(answer: str) -> int:
    """From pmc's CURRENT_DATA_SET and TIME_STATUS_NP.  Raises SystemTimeError."""
    found = {
        key: match[1]
        for key in ("offsetFromMaster", "meanPathDelay", "stepsRemoved", "gmPresent")
        if (match := re.search(rf"^\s*{key}\s+(\S+)", answer, re.MULTILINE))
    }
    try:
        offset_ns, delay_ns, steps = (
            abs(float(found["offsetFromMaster"])), abs(float(found["meanPathDelay"])), int(found["stepsRemoved"]),
        )  # fmt: skip
    except (KeyError, ValueError):
        raise SystemTimeError("pmc gave no CURRENT_DATA_SET: is ptp4l running, and may this user ask it?") from None
    if steps > 0 and found.get("gmPresent") != "true":
        raise SystemTimeError("ptp4l sees no grandmaster: look at the network and at the other machines' ptp4l")
    return round(offset_ns + delay_ns / 2)


def kernel_synchronised() -> bool:
    """Whether a daemon has told the kernel that its clock is synchronised (adjtimex(2), STA_UNSYNC)."""
    # struct timex begins with modes (int) and four longs; the fifth field after modes is status.
    buffer = (ctypes.c_long * 64)()
    library = ctypes.CDLL(None, use_errno=True)
    if library.adjtimex(buffer) < 0:
        return False
    offset = 5 * ctypes.sizeof(ctypes.c_long)
    status = ctypes.c_int.from_buffer(buffer, offset).value
    return not status & _STA_UNSYNC


def _ask(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
    except FileNotFoundError:
        package = "chrony" if command[0] == "chronyc" else "linuxptp"
        raise SystemTimeError(f"{command[0]} is not installed (package {package})") from None
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SystemTimeError(f"{command[0]} does not answer: {error}") from None
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise SystemTimeError(f"{command[0]} failed: {said[0] if said else f'exit code {done.returncode}'}")
    return done.stdout


def read_pair(now_ns: Callable[[], int], real_ns: Callable[[], int] = time.time_ns) -> tuple[int, int, int]:
    """A moment by a clock and by the system time, and how far the two readings may lie apart: the best of five."""
    best: tuple[int, int, int] | None = None
    for _ in range(5):
        before, real, after = now_ns(), real_ns(), now_ns()
        if best is None or after - before < best[2]:
            best = (before + (after - before) // 2, real, after - before)
    assert best is not None
    return best


class ClockDaemonMonitor:
    """Asks the daemon every few seconds in a thread of its own, while `quiet` does not forbid it.

    `error_ns` is the latest answer, None while there is none; `problem` says why.
    """

    def __init__(
        self, source: Source, quiet: Callable[[], bool] = lambda: False,
        read: Callable[[Source], int] = read_error_ns,
    ) -> None:  # fmt: skip
        self.source: Source = source
        self.problem = f"{source} has not answered yet"
        self._quiet = quiet
        self._read = read
        self._answer: tuple[int, float] | None = None
        self._stop = threading.Event()
        self.asked = threading.Event()  # the daemon was asked at least once
        self._thread = threading.Thread(target=self._work, name="system-time", daemon=True)
        self._thread.start()

    @property
    def error_ns(self) -> int | None:
        """How wrong the system time can be; None when that is not known, or no longer."""
        answer = self._answer
        if answer is None or time.monotonic() - answer[1] > STALE_S:
            return None
        return answer[0]

    def stop(self) -> None:
        """Ask no more."""
        self._stop.set()
        self._thread.join(2 * _TIMEOUT_S)

    def _work(self) -> None:
        while True:
            if not self._quiet():
                try:
                    self._answer, self.problem = (self._read(self.source), time.monotonic()), ""
                except SystemTimeError as error:
                    if str(error) != self.problem:
                        log.error("%s: %s", self.source, error)
                    self._answer, self.problem = None, str(error)
                self.asked.set()
            if self._stop.wait(_ASK_EVERY_S if self._answer else _ASK_EVERY_S / 4):
                return


@dataclass(frozen=True)
class OffsetChoice:
    """The clocks' difference that is used."""

    estimate: Estimate  # it
    source: ClockSource  # where it is from
    problem: str = ""  # why it is not from the daemon that was asked for; empty: it is


def choose_offset(
    pings: Estimate,
    clock: Clock,
    mark: SystemTimeSample | None,
    watch: ClockDaemonMonitor,
    real_ns: Callable[[], int] = time.time_ns,
) -> OffsetChoice:
    """The system time's word on the clocks' difference when it is sound and agrees with the pings, else theirs."""
    source = watch.source
    if mark is None or mark.source != source:
        return OffsetChoice(pings, "pings", f"{source}: the studio's system time is not known")
    error_ns = watch.error_ns
    if error_ns is None:
        return OffsetChoice(pings, "pings", f"{source}: {watch.problem or 'its last answer is too old'}")
    node_ns, here_ns, width_ns = read_pair(clock.now_ns, real_ns)
    offset_ns = (mark.mono_ns - mark.real_ns) + (here_ns - node_ns)
    limit_ns = mark.error_ns + error_ns + width_ns
    expected_ns = pings.to_controller(node_ns) - node_ns
    if (apart_ns := abs(offset_ns - expected_ns)) > pings.bound_ns + limit_ns:
        text = (
            f"{source} and the pings disagree by {apart_ns / 1e6:.2f} ms, which is more than both can be wrong"
            f" ({limit_ns / 1e6:.2f} and {pings.bound_ns / 1e6:.2f} ms): do both machines follow the same source?"
        )
        return OffsetChoice(pings, "pings", text)
    if limit_ns > max(_GOOD_ENOUGH_NS, pings.bound_ns):
        text = f"{source} vouches for {limit_ns / 1e6:.2f} ms only; the pings prove {pings.bound_ns / 1e6:.2f} ms"
        return OffsetChoice(pings, "pings", text)
    accepted = Estimate(
        at_ns=node_ns,
        offset_ns=offset_ns,
        drift=pings.drift,
        uncertainty_ns=limit_ns,
        bound_ns=min(limit_ns, pings.bound_ns + apart_ns),
        round_trip_ns=pings.round_trip_ns,
        samples=pings.samples,
    )
    return OffsetChoice(accepted, source)
