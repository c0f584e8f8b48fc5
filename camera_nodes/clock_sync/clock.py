"""The node's clock against the controller's: offset, drift, and how wrong they can be.

Four stamps a ping: the node sends at t1 (node clock), the controller receives at t2 and answers at t3 (its clock), the
node receives at t4.  No message travels in negative time, so with theta(t) = controller - node:

    t3 - t4  <=  theta      (the way back)         theta  <=  t2 - t1      (the way there)

Over some minutes theta is a line, nearly.  A line that lies above all lower points and below all upper points is
possible, any other is not (offset_bounds.py).  Two figures say how wrong the estimate can be:

- the bound: the farther end of what all possible lines allow at that moment.  It is proven: it assumes nothing of the
  network, its load or its ways, only that the drift has changed by less than WANDER.  It cannot fall below half of
  what the fastest messages of both ways take together.  This is the interval of Marzullo and Owicki 1983 and of
  Cristian 1989, NTP's root distance, made narrower by taking each way's fastest messages apart and by following the
  drift;
- the uncertainty, which is what the node states.  It is the bound wherever that is within UNPROVEN_NS: always on a
  studio's network, but under heavy load.  On a line whose round trip is too long to prove that much it is how well
  the corridor's edges are determined by their fastest messages, plus a share of the round trip for ways that differ
  in length; never less than UNPROVEN_NS and never more than the bound.

Ways do differ: on a machine that does too much, the fastest message of a whole minute may have waited three times as
long there as back.  A smaller figure than the bound says nothing about that, so none is given where the bound will do.

The corridor of a clock that runs straight is about as wide as the shortest round trip.  One much narrower says that
the drift has changed within the window: then more wander is allowed, and where that does not do, the older half of
the pings is forgotten.

All pings of the last minute count.  Of the two minutes before, the fastest of each second stay: they tell the drift,
which one minute on an unsteady line leaves uncertain by some parts in a million.
"""

import time
from collections import deque
from dataclasses import dataclass
from typing import Protocol

from camera_nodes.clock_sync.offset_bounds import OffsetBounds, Stamps
from camera_nodes.errors import ClockUnknown

WINDOW_NS = 180_000_000_000
_RECENT_NS = 60_000_000_000  # of these every ping is kept
_CELL_NS = 1_000_000_000  # of older ones the fastest there and the fastest back in each cell
MAX_DRIFT = 500e-6  # the most a kernel lets its clock be steered, far above any crystal's error
WANDER = 2e-6  # a crystal changes by less within three minutes, unless the room does by ten degrees
_MORE_WANDER = (1e-5, 5e-5)  # what is allowed a clock that did not run straight: one that a daemon has steered
_STRAIGHT = 0.75  # a corridor narrower than this share of the shortest round trip may belong to such a clock
_BENT = 0.3  # and narrower than this even with more wander, to one that is being steered
UNPROVEN_NS = 250_000  # no less than this is stated unless it is proven; half of what arming usually wants
ASYMMETRY = 0.1  # the shortest way there and back may differ by this share of the shortest round trip
_CENTRED = 0.25  # how far from the middle of what is possible the estimate may lie: it makes the bound that much wider
_LEAST_FOR_DOUBT = 32  # with fewer pings than this the bound is all there is to say
_MAX_SAMPLES = 1200


class Clock(Protocol):
    """A monotonic clock that can be waited on."""

    def now_ns(self) -> int:
        """Now, in ns."""
        ...

    def sleep_until(self, at_ns: int, spin_ns: int = 0) -> int:
        """Wait until `at_ns`; busy for the last `spin_ns`.  Returns the time of waking."""
        ...

    def from_monotonic(self, monotonic_ns: int) -> int:
        """What this clock said when the machine's monotonic clock, by which the kernel stamps, said `monotonic_ns`."""
        ...


class MonotonicClock:
    """This machine's monotonic clock."""

    def now_ns(self) -> int:
        """Now, in ns since some fixed moment."""
        return time.monotonic_ns()

    def sleep_until(self, at_ns: int, spin_ns: int = 0) -> int:
        """Sleep, then spin for the last `spin_ns`.  Returns the time of waking, never before at_ns."""
        while (left := at_ns - spin_ns - time.monotonic_ns()) > 0:
            time.sleep(left / 1e9)
        while (now := time.monotonic_ns()) < at_ns:
            continue
        return now

    def from_monotonic(self, monotonic_ns: int) -> int:
        """The same."""
        return monotonic_ns


class EmulatedClock:
    """This machine's monotonic clock made wrong on purpose: ahead by `offset_ns`, from now on fast by `drift_ppm`."""

    def __init__(self, offset_ns: int, drift_ppm: float) -> None:
        self._offset = offset_ns
        self._ppb = round(drift_ppm * 1000)
        self._start = time.monotonic_ns()
        self._clock = MonotonicClock()

    def true_ns(self, at_ns: int) -> int:
        """What the machine's monotonic clock says when this one says `at_ns`."""
        return self._start + (at_ns - self._offset - self._start) * 1_000_000_000 // (1_000_000_000 + self._ppb)

    def _emulate(self, true_ns: int) -> int:
        return true_ns + self._offset + (true_ns - self._start) * self._ppb // 1_000_000_000

    def now_ns(self) -> int:
        """Now, by the wrong clock."""
        return self._emulate(time.monotonic_ns())

    def sleep_until(self, at_ns: int, spin_ns: int = 0) -> int:
        """As MonotonicClock, in the wrong clock's time."""
        woke = self._emulate(self._clock.sleep_until(self.true_ns(at_ns) + 1, spin_ns))
        return max(woke, at_ns)

    def from_monotonic(self, monotonic_ns: int) -> int:
        """The wrong clock's time at a moment of the right one."""
        return self._emulate(monotonic_ns)


@dataclass(frozen=True)
class Estimate:
    """The clocks: theta(t) = controller - node = offset_ns + drift (t - at_ns), t by the node's clock."""

    at_ns: int  # the moment that it is made for
    offset_ns: int  # at that moment
    drift: float  # of the difference, dimensionless
    uncertainty_ns: int  # stated limit of the error of offset_ns at at_ns, see above
    bound_ns: int  # its limit whatever the network does
    round_trip_ns: int  # the shortest in the window, without the controller's own time
    samples: int  # pings that it is made from

    def to_controller(self, node_ns: int) -> int:
        """The controller's time at the node's time."""
        return node_ns + self.offset_ns + round((node_ns - self.at_ns) * self.drift)

    def to_node(self, controller_ns: int) -> int:
        """The node's time at the controller's time."""
        since = controller_ns - self.at_ns - self.offset_ns
        return self.at_ns + round(since / (1 + self.drift)) if self.drift else self.at_ns + since


class ClockEstimator:
    """Collects pings and answers with an Estimate for any moment.  Pure: it reads no clock."""

    def __init__(self, window_ns: int = WINDOW_NS, max_drift: float = MAX_DRIFT, wander: float = WANDER) -> None:
        self._window_ns = window_ns
        self._max_drift = max_drift
        self._wander = wander
        self._samples: deque[Stamps] = deque(maxlen=_MAX_SAMPLES)
        self._older: deque[tuple[Stamps, Stamps]] = deque()  # by cell: fastest there, fastest back

    def __len__(self) -> int:
        return len(self._samples) + len(self._older)

    def clear(self) -> None:
        """Forget everything (the controller has a new clock)."""
        self._samples.clear()
        self._older.clear()

    def add(self, t1_ns: int, t2_ns: int, t3_ns: int, t4_ns: int) -> bool:
        """A ping's four stamps, in the order of their arrival.  False when they are impossible and were left out."""
        if t4_ns < t1_ns or t3_ns < t2_ns or (t4_ns - t1_ns) < (t3_ns - t2_ns):
            return False
        if self._samples and t4_ns < self._samples[-1][3]:
            return False
        self._samples.append((t1_ns, t2_ns, t3_ns, t4_ns))
        while self._samples[0][3] < t4_ns - min(_RECENT_NS, self._window_ns):
            self._set_aside(self._samples.popleft())
        while self._older and self._older[0][1][3] < t4_ns - self._window_ns:
            self._older.popleft()
        return True

    def _set_aside(self, stamps: Stamps) -> None:
        there = back = stamps
        if self._older and self._older[-1][0][3] // _CELL_NS == stamps[3] // _CELL_NS:
            there, back = self._older.pop()
            there = min(there, stamps, key=lambda s: s[1] - s[0])
            back = max(back, stamps, key=lambda s: s[2] - s[3])
        self._older.append((there, back))

    def estimate(self, at_ns: int) -> Estimate:
        """The estimate for the node's time `at_ns`.  Raises ClockUnknown before the first ping.

        When the pings contradict a straight line (the clock was steered), the older half is forgotten until one does.
        """
        if not self._samples:
            raise ClockUnknown("no ping has come back from the controller yet")
        older = dict.fromkeys(sorted(stamps for cell in self._older for stamps in cell))
        samples = [*older, *self._samples]
        while (corridors := self._corridors(samples, at_ns)) is None:
            samples = samples[(len(samples) + 1) // 2 :]
            self._samples = deque(samples, maxlen=_MAX_SAMPLES)
            self._older.clear()
        straight, found = corridors
        round_trip_ns = _shortest_ns(samples)
        bottom, top = found.extremes()
        centre, half = (top + bottom) / 2, (top - bottom) / 2
        offset = min(max(found.middle, centre - _CENTRED * half), centre + _CENTRED * half)
        bound_ns = uncertainty_ns = int(max(top - offset, offset - bottom)) + 1
        if bound_ns > UNPROVEN_NS and len(samples) >= _LEAST_FOR_DOUBT:
            likely_ns = found.doubt() + abs(offset - straight.middle) + ASYMMETRY / 2 * round_trip_ns
            uncertainty_ns = min(bound_ns, max(UNPROVEN_NS, int(likely_ns) + 1))
        return Estimate(
            at_ns=at_ns,
            offset_ns=round(offset),
            drift=found.slope,
            uncertainty_ns=uncertainty_ns,
            bound_ns=bound_ns,
            round_trip_ns=round_trip_ns,
            samples=len(samples),
        )

    def _corridors(self, samples: list[Stamps], at_ns: int) -> tuple[OffsetBounds, OffsetBounds] | None:
        """With the least wander that any line fits, and with as much as it takes to be as wide as one should be.

        None when no line fits with any wander of a crystal: some of the samples are of another past.
        """
        shortest_ns = _shortest_ns(samples)
        straight = None
        for wander in (self._wander, *(more for more in _MORE_WANDER if more > self._wander)):
            found = OffsetBounds(samples, at_ns, self._max_drift, wander)
            if straight is None and found.width >= 0:
                straight = found
            if found.width >= _STRAIGHT * shortest_ns:
                break
        if straight is None:
            return None
        if found.width < _BENT * shortest_ns:
            found = OffsetBounds(samples, at_ns, self._max_drift, self._max_drift)
        return straight, found


def _shortest_ns(samples: list[Stamps]) -> int:
    """The shortest round trip, without the controller's own time."""
    return min((t4 - t1) - (t3 - t2) for t1, t2, t3, t4 in samples)
