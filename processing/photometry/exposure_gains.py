"""Exposure gains and vignetting of cameras, from what several of them saw of the same points."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.array_types import Bools, Floats

_ROUNDS = 12
_POINTS = 5000  # so many are enough
_VIGNETTE_SIGMAS = 4.0


@dataclass(frozen=True, eq=False)
class Gains:
    """What brings the photographs to the rig's common exposure and colour, in the photographs' own (encoded) values."""

    #: (V, 3) factors.
    gain: Floats
    #: (V,) whether the view shared enough points with others; the rest have gain 1.
    known: Bools
    #: Share by which the corner is darker than the centre, one figure for the rig; 0 where it cannot be told.
    vignetting: float
    #: (V,) robust relative spread of a view's values about the common ones, after its gain.
    spread: Floats

    def factors(self, view: int, radius2: Floats) -> Floats:
        """(n, 3) by which values at these squared radii (n,) (1 at the corners) are multiplied."""
        return np.asarray(self.gain[view] * ((1 - self.vignetting) ** -radius2)[:, None])


def solve_gains(
    log_values: NDArray[np.floating[Any]],
    radius2: NDArray[np.floating[Any]] | None = None,
    *,
    least: int = 30,
    limit: float = 3.0,
    most_vignetting: float = 0.5,
) -> Gains:
    """Robust matching: the gains under which views agree on what they see of the same points.

    log_values: (V, P, C) natural logarithms of what each view sees at each point, NaN where it does not.
    radius2: (V, P) squared distance from the image's centre, 1 at the corners; given, vignetting is sought too.
    least: points a view must share with others.  limit: gains stay within [1 / limit, limit].

    Robust least squares over views and points at once (Brown and Lowe 2007, section 6, with Tukey's weights): gradual
    differences around a rig come out as surely as those between neighbours. The median over the views of every
    channel's gain is 1. Vignetting is one coefficient, (1 - a) ** r^2, kept beyond four standard errors.
    """
    views, _, channels = log_values.shape
    known: Bools = np.asarray(np.isfinite(log_values).all(axis=2))
    known[:, known.sum(axis=0) < 2] = False
    enough = known.sum(axis=1) >= least
    known[~enough] = False
    used = np.flatnonzero(known.sum(axis=0) >= 2)
    used = used[:: max(1, len(used) // _POINTS)]
    known = known[:, used]
    spread = np.full(views, np.nan)
    if not known.any():
        return Gains(np.ones((views, channels)), enough, 0.0, spread)
    x = np.where(known[..., None], log_values[:, used], 0).astype(np.float64)
    r2 = np.zeros(known.shape) if radius2 is None else np.where(known, radius2[:, used], 0).astype(np.float64)
    gain, fall, rest = _least_squares_gains(x, r2, known, with_falloff=radius2 is not None)
    gain[enough] -= np.median(gain[enough], axis=0)
    gain[~enough] = 0
    spread[enough] = 1.4826 * _median(np.where(known, np.abs(rest), np.nan)[enough], 1)
    vignetting = float(np.clip(1 - np.exp(-fall), 0, most_vignetting))
    return Gains(np.clip(np.exp(gain), 1 / limit, limit), enough, vignetting, spread)


def _least_squares_gains(x: Floats, r2: Floats, known: Bools, *, with_falloff: bool) -> tuple[Floats, float, Floats]:
    """g (V, C) and a with x + g + a r2 alike over the views of a point; and what remains (V, P), mean of the channels.

    The points' own values are eliminated: what is left is one small system a channel.
    """
    views, channels = len(x), x.shape[2]
    gain: Floats = np.zeros((views, channels))
    fall = 0.0
    weight = known.astype(np.float64)
    rest = np.zeros(known.shape)
    falls, error = np.zeros(channels), np.inf
    for number in range(_ROUNDS):
        total = np.maximum(weight.sum(axis=0), 1e-12)
        share = weight / total
        off = x - (share[..., None] * x).sum(axis=0)
        lever = r2 - (share * r2).sum(axis=0)
        matrix = np.zeros((views + 1, views + 1))
        matrix[:views, :views] = np.diag(weight.sum(axis=1) + 1e-9) - share @ weight.T + 1e-3  # the gauge: sum g = 0
        matrix[:views, views] = matrix[views, :views] = (weight * lever).sum(axis=1)
        matrix[views, views] = (weight * lever * lever).sum()
        right = np.zeros((views + 1, channels))
        right[:views] = -(weight[..., None] * off).sum(axis=1)
        right[views] = -((weight * lever)[..., None] * off).sum(axis=(0, 1))
        free = np.arange(views + int(with_falloff and matrix[views, views] > 1e-6))
        solved = np.linalg.solve(matrix[np.ix_(free, free)], right[free])
        gain = np.asarray(solved[:views], dtype=np.float64)
        falls = solved[views] if len(free) > views else np.zeros(channels)
        fall = float(falls.mean())
        level = x + gain[:, None] + (fall * r2)[..., None]
        rest = np.asarray((level - (share[..., None] * level).sum(axis=0)).mean(axis=2))
        scale = max(1.4826 * float(np.median(np.abs(rest[known]))), 1e-3)
        if len(free) > views:
            error = scale * float(np.sqrt(np.linalg.inv(matrix[np.ix_(free, free)])[views, views]))
        wide = 3.0 if number < 3 else 1.0  # from a wide cut to the narrow one
        weight = known * (1 - np.minimum(np.abs(rest) / (4.685 * wide * scale), 1.0) ** 2) ** 2
    if fall > 0 and fall > _VIGNETTE_SIGMAS * error:
        return gain, fall, rest
    return _least_squares_gains(x, r2, known, with_falloff=False) if with_falloff else (gain, 0.0, rest)


def _median(values: Floats, axis: int) -> Floats:
    """Along an axis, of what is not NaN; NaN where nothing is. NumPy's own is some ten times slower."""
    ordered = np.sort(values, axis=axis)  # NaN come last
    count = np.isfinite(ordered).sum(axis=axis, keepdims=True)
    low = np.take_along_axis(ordered, np.maximum((count - 1) // 2, 0), axis)
    high = np.take_along_axis(ordered, np.minimum(count // 2, values.shape[axis] - 1), axis)
    return np.asarray(((low + high) / 2).squeeze(axis))
