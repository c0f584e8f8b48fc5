"""The corridor between two envelopes: every straight line that lies above all lower points and below all upper ones.

A line is (value at a moment, slope).  For a slope b its value is at most high(b), the least of the upper points moved
to that moment along b, a concave function of b; and at least low(b), convex.  The corridor's width at a slope is
high - low; the slopes where it is positive are an interval, and all extremes are found by bisection on subgradients.

Convex-hull skew estimation: Moon, Skelly and Towsley 1999; Zhang, Liu and Xia 2002; here over both directions, as the
support vectors of Geng et al. 2018 (Huygens) are: the widest margin between the two ways' messages.
"""

from collections.abc import Sequence
from heapq import nsmallest
from typing import Protocol

_EDGE_POINTS = 10  # how dense the fastest messages lie is read from this many
_EDGE_SHARE = 0.5  # where ten lie within a distance, the true edge is half of it farther off once in 150: exp(-5)
_PARTS = 3  # ways to share out the doubt between a corridor's direction and its edges
_SLOPE_STEPS = 30  # a bound is found to a part in 10^12
_ROUGH_STEPS = 18  # a doubt to some parts in 10^9

Stamps = tuple[int, int, int, int]


class OffsetBounds:
    """The corridor of four-stamp pings (clock.py) at the node's time `at_ns`.

    wander: how much the slope may change over the samples: a point binds the line at at_ns less by that much of its
    distance in time.  width, slope, middle: of the widest corridor, ns, and its middle line's slope and value, the
    likeliest when small delays are likelier than great ones.  No line fits when the width is below zero.
    """

    def __init__(self, samples: Sequence[Stamps], at_ns: int, max_drift: float, wander: float) -> None:
        self._base = base = samples[-1][1] - samples[-1][0]  # keeps the numbers small enough for floats
        self._uppers: list[tuple[float, float]] = []
        self._lowers: list[tuple[float, float]] = []  # negated: both envelopes are lower hulls
        for t1, t2, t3, t4 in samples:
            self._uppers.append((float(t1 - at_ns), (t2 - t1 - base) + wander * abs(t1 - at_ns)))
            self._lowers.append((float(t4 - at_ns), -((t3 - t4 - base) - wander * abs(t4 - at_ns))))
        self._uppers.sort()
        self._lowers.sort()
        self._upper, self._lower = _lower_hull(self._uppers), _lower_hull(self._lowers)
        self._max_drift = max_drift
        self.slope = _climb(self._width, -max_drift, max_drift)
        self.width = self._width(self.slope)[0]
        self.middle = base + self._middle(self.slope)

    def extremes(self) -> tuple[float, float]:
        """Least and greatest value, ns, over all lines that fit."""
        first, last = self._where(0.0, _SLOPE_STEPS)
        bottom = self._base - self._minus_low(_climb(self._minus_low, first, last))[0]
        return bottom, self._base + self._high(_climb(self._high, first, last))[0]

    def doubt(self) -> float:
        """How far the middle may lie from the truth for want of fast messages, unless the ways' fastest differ, ns.

        Were delays exponential, a slope would be as likely as exp(density of the fastest * width): one whose corridor
        is narrower by some nanoseconds is as unlikely as an edge that lies off by as many.  The slack is spent on
        either.
        """
        above, below = self._high(self.slope)[0], self._minus_low(self.slope)[0]
        slack = _EDGE_SHARE * max(
            nsmallest(_EDGE_POINTS, (y - self.slope * t - above for t, y in self._uppers))[-1],
            nsmallest(_EDGE_POINTS, (y + self.slope * t - below for t, y in self._lowers))[-1],
        )
        doubt, middle = slack / 2, self._middle(self.slope)
        for spent in (slack * part / _PARTS for part in range(1, _PARTS + 1)):
            sides = self._where(max(0.0, self.width - spent), _ROUGH_STEPS)
            turned = max(abs(self._middle(side) - middle) for side in sides)
            doubt = max(doubt, turned + (slack - spent) / 2)
        return doubt

    def _high(self, slope: float) -> tuple[float, float]:
        value, moment = min((y - slope * t, t) for t, y in self._upper)
        return value, -moment

    def _minus_low(self, slope: float) -> tuple[float, float]:
        return min((y + slope * t, t) for t, y in self._lower)

    def _width(self, slope: float) -> tuple[float, float]:
        (above, rise), (below, fall) = self._high(slope), self._minus_low(slope)
        return above + below, rise + fall

    def _middle(self, slope: float) -> float:
        return (self._high(slope)[0] - self._minus_low(slope)[0]) / 2

    def _where(self, least: float, steps: int) -> tuple[float, float]:
        """The least and the greatest slope with a corridor at least this wide, on the outer side of both."""
        ends = []
        for outside in (-self._max_drift, self._max_drift):
            inside, end = self.slope, outside
            for _ in range(steps if self._width(outside)[0] < least else 0):
                between = (end + inside) / 2
                if self._width(between)[0] >= least:
                    inside = between
                else:
                    end = between
            ends.append(end)
        return ends[0], ends[1]


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
