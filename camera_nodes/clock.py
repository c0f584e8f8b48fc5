"""The node's clock against the controller's: offset, drift, and how wrong they can be.

Four stamps a ping: the node sends at t1 (node clock), the controller receives at t2 and answers at t3 (its clock), the
node receives at t4.  No message travels in negative time, so with theta(t) = controller - node:

    t3 - t4  <=  theta      (the way back)         theta  <=  t2 - t1      (the way there)

Over some minutes theta is a line.  A line that lies above all lower points and below all upper points is possible, any
other is not.  The estimate is the middle of the widest straight corridor between the two: jitter only adds points away
from these envelopes.  Two figures say how wrong it can be:

- the bound: what all possible lines allow at that moment.  It assumes nothing of the network, and one ping gives it
  (half a round trip), but it cannot fall below half the shortest round trip;
- the uncertainty: with enough pings, how well the corridor's two edges are determined (by their fastest few
  messages), plus a share of the round trip for ways that differ in length.  Never more than the bound.

All pings of the last minute count.  Of the two minutes before, the fastest of each second stay: they tell the drift,
which one minute on an unsteady line leaves uncertain by some parts in a million.

Convex-hull skew estimation: Moon, Skelly and Towsley 1999; Zhang, Liu and Xia 2002; here over both directions.
"""

import math
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from camera_nodes.errors import ClockUnknown

WINDOW_NS = 180_000_000_000
_RECENT_NS = 60_000_000_000  # of these every ping is kept
_CELL_NS = 1_000_000_000  # of older ones the fastest there and the fastest back in each cell
MAX_DRIFT = 500e-6  # the most a kernel lets its clock be steered, far above any crystal's error
WANDER = 2e-7  # a real drift is not quite constant: older points bind less, by this much of their age
ASYMMETRY = 0.1  # the shortest way there and back may differ by this share of the shortest round trip
_EDGE_POINTS = 6  # an envelope is as uncertain as its sixth-fastest message is slower than its fastest
_LEAST_FOR_EDGE = 16  # with fewer pings than this the bound is all there is to say
_MAX_SAMPLES = 1200
_SLOPE_STEPS = 30


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

    def _emulate(self, true_ns: int) -> int:
        return true_ns + self._offset + (true_ns - self._start) * self._ppb // 1_000_000_000

    def now_ns(self) -> int:
        """Now, by the wrong clock."""
        return self._emulate(time.monotonic_ns())

    def sleep_until(self, at_ns: int, spin_ns: int = 0) -> int:
        """As MonotonicClock, in the wrong clock's time."""
        true = self._start + (at_ns - self._offset - self._start) * 1_000_000_000 // (1_000_000_000 + self._ppb)
        woke = self._emulate(self._clock.sleep_until(true + 1, spin_ns))
        return max(woke, at_ns)

    def from_monotonic(self, monotonic_ns: int) -> int:
        """The wrong clock's time at a moment of the right one."""
        return self._emulate(monotonic_ns)


@dataclass(frozen=True)
class Estimate:
    """theta(t) = controller - node = offset_ns + drift (t - at_ns), t by the node's clock.

    uncertainty_ns: expected limit of the error of offset_ns at at_ns, see above.  bound_ns: its limit whatever the
    network does.  round_trip_ns: the shortest in the window, without the controller's own time.
    """

    at_ns: int
    offset_ns: int
    drift: float
    uncertainty_ns: int
    bound_ns: int
    round_trip_ns: int
    samples: int

    def to_controller(self, node_ns: int) -> int:
        """The controller's time at the node's time."""
        return node_ns + self.offset_ns + round((node_ns - self.at_ns) * self.drift)

    def to_node(self, controller_ns: int) -> int:
        """The node's time at the controller's time."""
        since = controller_ns - self.at_ns - self.offset_ns
        return self.at_ns + round(since / (1 + self.drift)) if self.drift else self.at_ns + since


_Stamps = tuple[int, int, int, int]


class ClockEstimator:
    """Collects pings and answers with an Estimate for any moment.  Pure: it reads no clock."""

    def __init__(self, window_ns: int = WINDOW_NS, max_drift: float = MAX_DRIFT, wander: float = WANDER) -> None:
        self._window_ns = window_ns
        self._max_drift = max_drift
        self._wander = wander
        self._samples: deque[_Stamps] = deque(maxlen=_MAX_SAMPLES)
        self._older: deque[tuple[_Stamps, _Stamps]] = deque()  # by cell: fastest there, fastest back

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

    def _set_aside(self, stamps: _Stamps) -> None:
        there = back = stamps
        if self._older and self._older[-1][0][3] // _CELL_NS == stamps[3] // _CELL_NS:
            there, back = self._older.pop()
            there = min(there, stamps, key=lambda s: s[1] - s[0])
            back = max(back, stamps, key=lambda s: s[2] - s[3])
        self._older.append((there, back))

    def estimate(self, at_ns: int) -> Estimate:
        """The estimate for the node's time `at_ns`.  Raises ClockUnknown before the first ping.

        When no line fits all points (the clock was steered), the older half is forgotten until one does.
        """
        if not self._samples:
            raise ClockUnknown("no ping has come back from the controller yet")
        older = dict.fromkeys(sorted(stamps for cell in self._older for stamps in cell))
        samples = [*older, *self._samples]
        while True:
            found = _corridor(samples, at_ns, self._max_drift, self._wander)
            if found is not None:
                break
            samples = samples[(len(samples) + 1) // 2 :]
            self._samples = deque(samples, maxlen=_MAX_SAMPLES)
            self._older.clear()
        round_trip_ns = min((s[3] - s[0]) - (s[2] - s[1]) for s in samples)
        bound_ns = int(max(found.top - found.middle, found.middle - found.bottom)) + 1
        uncertainty_ns = bound_ns
        if len(samples) >= _LEAST_FOR_EDGE:
            # The corridor's direction is as uncertain as its edges at both ends: that adds away from its middle.
            span = max(samples[-1][0] - samples[0][0], 1)
            lever = abs(at_ns - (samples[-1][0] + samples[0][0]) / 2) / span
            edge_ns = found.edge_ns * math.sqrt(1 + (2 * lever) ** 2)
            uncertainty_ns = min(bound_ns, int(edge_ns + ASYMMETRY / 2 * round_trip_ns) + 1)
        return Estimate(
            at_ns=at_ns,
            offset_ns=round(found.middle),
            drift=found.slope,
            uncertainty_ns=uncertainty_ns,
            bound_ns=bound_ns,
            round_trip_ns=round_trip_ns,
            samples=len(samples),
        )


class _Corridor(NamedTuple):
    middle: float  # theta at at_ns, of the widest corridor's middle line
    slope: float
    bottom: float  # least and greatest theta at at_ns over all possible lines
    top: float
    edge_ns: float  # how far the fastest few messages of either way lie from its edge, the greater of the two


def _corridor(samples: Sequence[_Stamps], at_ns: int, max_drift: float, wander: float) -> _Corridor | None:
    """The widest corridor between the envelopes, and the extremes over all lines that fit; None if none does.

    A line is (value at at_ns, slope).  For a slope b its value is at most high(b), the least of the upper points moved
    to at_ns along b, a concave function of b; and at least low(b), convex.  The corridor's width is high - low; the
    slopes where it is positive are an interval, and all extremes are found by bisection on subgradients.
    """
    base = samples[-1][1] - samples[-1][0]  # keeps the numbers small enough for floats
    uppers: list[tuple[float, float]] = []
    lowers: list[tuple[float, float]] = []  # negated: both envelopes are lower hulls
    for t1, t2, t3, t4 in samples:
        uppers.append((float(t1 - at_ns), (t2 - t1 - base) + wander * abs(t1 - at_ns)))
        lowers.append((float(t4 - at_ns), -((t3 - t4 - base) - wander * abs(t4 - at_ns))))
    uppers.sort()
    lowers.sort()
    upper, lower = _lower_hull(uppers), _lower_hull(lowers)

    def high(slope: float) -> tuple[float, float]:
        value, moment = min((y - slope * t, t) for t, y in upper)
        return value, -moment

    def minus_low(slope: float) -> tuple[float, float]:
        return min((y + slope * t, t) for t, y in lower)

    def width(slope: float) -> tuple[float, float]:
        (above, rise), (below, fall) = high(slope), minus_low(slope)
        return above + below, rise + fall

    left, right = -max_drift, max_drift
    best = _climb(width, left, right)
    if width(best)[0] < 0:
        return None
    first = left if width(left)[0] >= 0 else _edge(width, outside=left, inside=best)
    last = right if width(right)[0] >= 0 else _edge(width, outside=right, inside=best)
    above, below = high(best)[0], minus_low(best)[0]
    edges = [
        sorted(y - best * t - above for t, y in uppers)[:_EDGE_POINTS],
        sorted(y + best * t - below for t, y in lowers)[:_EDGE_POINTS],
    ]
    return _Corridor(
        middle=base + (above - below) / 2,
        slope=best,
        bottom=base - minus_low(_climb(minus_low, first, last))[0],
        top=base + high(_climb(high, first, last))[0],
        edge_ns=max(edge[-1] for edge in edges),
    )


class _Concave(Protocol):
    def __call__(self, slope: float, /) -> tuple[float, float]:
        """Value and a supergradient."""
        ...


def _climb(function: _Concave, left: float, right: float) -> float:
    """Where a concave function is greatest in [left, right]."""
    if function(left)[1] <= 0:
        return left
    if function(right)[1] >= 0:
        return right
    for _ in range(_SLOPE_STEPS):
        middle = (left + right) / 2
        if function(middle)[1] > 0:
            left = middle
        else:
            right = middle
    return left if function(left)[0] > function(right)[0] else right


def _edge(function: _Concave, *, outside: float, inside: float) -> float:
    """The edge of {function >= 0}, on its outer side so that a bound stays a bound."""
    for _ in range(_SLOPE_STEPS):
        middle = (outside + inside) / 2
        if function(middle)[0] >= 0:
            inside = middle
        else:
            outside = middle
    return outside


def _lower_hull(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """The corners of the lower convex hull of points sorted by their first coordinate (Andrew's monotone chain)."""
    hull: list[tuple[float, float]] = []
    for t, y in points:
        if hull and hull[-1][0] == t:
            if hull[-1][1] <= y:
                continue
            hull.pop()
        while len(hull) >= 2:
            (t0, y0), (t1, y1) = hull[-2], hull[-1]
            if (y1 - y0) * (t - t0) >= (y - y0) * (t1 - t0):
                hull.pop()
            else:
                break
        hull.append((t, y))
    return hull
