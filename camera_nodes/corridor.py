"""The corridor between two envelopes: every straight line that lies above all lower points and below all upper ones.

A line is (value at a moment, slope).  For a slope b its value is at most high(b), the least of the upper points moved
to that moment along b, a concave function of b; and at least low(b), convex.  The corridor's width at a slope is
high - low; the slopes where it is positive are an interval, and all extremes are found by bisection on subgradients.

Convex-hull skew estimation: Moon, Skelly and Towsley 1999; Zhang, Liu and Xia 2002; here over both directions, as the
support vectors of Geng et al. 2018 (Huygens) are: the widest margin between the two ways' messages.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

_EDGE_POINTS = 10  # how dense the fastest messages lie is read from this many
_EDGE_SHARE = 0.5  # where ten lie within a distance, the true edge is half of it farther off once in 150: exp(-5)
_PARTS = 3  # ways to share out the doubt between a corridor's direction and its edges
_SLOPE_STEPS = 30

Stamps = tuple[int, int, int, int]


@dataclass(frozen=True)
class Corridor:
    """What the points allow at the moment asked for, ns.

    bottom, top: least and greatest value over all lines that fit.  middle, slope, width: of the widest corridor's
    middle line, the likeliest when small delays are likelier than great ones.  spread: how far its value may lie from
    the truth for want of fast messages, unless the fastest of both ways differ.
    """

    bottom: float
    top: float
    middle: float
    slope: float
    width: float
    spread: float


def find_corridor(samples: Sequence[Stamps], at_ns: int, max_drift: float, wander: float) -> Corridor | None:
    """The corridor of four-stamp pings (clock.py) at the node's time `at_ns`; None when no line fits.

    wander: how much the slope may change over the samples: a point binds the line at at_ns less by that much of its
    distance in time.
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

    def middle(slope: float) -> float:
        return (high(slope)[0] - minus_low(slope)[0]) / 2

    best = _climb(width, -max_drift, max_drift)
    widest = width(best)[0]
    if widest < 0:
        return None
    first, last = _where(width, 0.0, best, max_drift)
    above, below = high(best)[0], minus_low(best)[0]
    slack = _EDGE_SHARE * max(
        _distance_of_fastest(y - best * t - above for t, y in uppers),
        _distance_of_fastest(y + best * t - below for t, y in lowers),
    )
    # Were delays exponential, a slope would be as likely as exp(density of the fastest * width): one whose corridor is
    # narrower by some nanoseconds is as unlikely as an edge that lies off by as many.  The slack is spent on either.
    spread = slack / 2
    for spent in (slack * part / _PARTS for part in range(1, _PARTS + 1)):
        sides = _where(width, max(0.0, widest - spent), best, max_drift)
        turned = max(abs(middle(side) - middle(best)) for side in sides)
        spread = max(spread, turned + (slack - spent) / 2)
    return Corridor(
        bottom=base - minus_low(_climb(minus_low, first, last))[0],
        top=base + high(_climb(high, first, last))[0],
        middle=base + middle(best),
        slope=best,
        width=widest,
        spread=spread,
    )


def _distance_of_fastest(distances: Iterable[float]) -> float:
    return sorted(distances)[:_EDGE_POINTS][-1]


class _Concave(Protocol):
    def __call__(self, slope: float, /) -> tuple[float, float]:
        """Value and a supergradient."""
        ...


def _where(function: _Concave, least: float, inside: float, limit: float) -> tuple[float, float]:
    """The ends of {function >= least}, which holds `inside`, within +-limit."""
    ends = []
    for outside in (-limit, limit):
        enough = function(outside)[0] >= least
        ends.append(outside if enough else _edge(function, least, outside=outside, inside=inside))
    return ends[0], ends[1]


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


def _edge(function: _Concave, least: float, *, outside: float, inside: float) -> float:
    """An end of {function >= least}, on its outer side so that a bound stays a bound."""
    for _ in range(_SLOPE_STEPS):
        middle = (outside + inside) / 2
        if function(middle)[0] >= least:
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
