"""Fewer keyframes: those between which nothing leaves the straight line by more than a tolerance."""

import numpy as np

from common.array_types import Bools, Floats, Ints64
from processing.errors import ShapeError
from processing.geometry.compilation import compiled


def thinned(times_s: Floats, values: Floats, tolerance: float) -> Ints64:
    """Which frames to keep, ascending, the first and the last among them.

    times_s: (T,) ascending.  values: (T, n).  Every value that is left out lies within the tolerance of the line
    through the kept ones beside it (Douglas and Peucker 1973, with the largest of n differences as the distance).
    """
    if values.ndim != 2 or len(values) != len(times_s):
        raise ShapeError("values", values.shape, f"({len(times_s)}, n)")
    if len(times_s) < 3:
        return np.arange(len(times_s))
    kept = _kept(np.ascontiguousarray(times_s, np.float64), np.ascontiguousarray(values, np.float64), float(tolerance))
    return np.flatnonzero(kept)


@compiled
def _kept(times: Floats, values: Floats, tolerance: float) -> Bools:
    count = len(times)
    kept = np.zeros(count, np.bool_)
    kept[0] = kept[count - 1] = True
    starts = np.empty(count, np.int64)
    ends = np.empty(count, np.int64)
    starts[0], ends[0], waiting = 0, count - 1, 1
    while waiting > 0:
        waiting -= 1
        start, end = starts[waiting], ends[waiting]
        worst, at = tolerance, -1
        for k in range(start + 1, end):
            share = (times[k] - times[start]) / (times[end] - times[start])
            for n in range(values.shape[1]):
                off = abs(values[k, n] - (values[start, n] + share * (values[end, n] - values[start, n])))
                if off > worst:
                    worst, at = off, k
        if at >= 0:
            kept[at] = True
            starts[waiting], ends[waiting] = start, at
            starts[waiting + 1], ends[waiting + 1] = at, end
            waiting += 2
    return kept


def turns_to_quaternions(turns: Floats) -> Floats:
    """(T, 4) x, y, z, w of yaw about y, then pitch about x, then roll about z, (T, 3) radians; no sign jumps."""
    yaw, pitch, roll = np.moveaxis(np.asarray(turns, np.float64) / 2, 1, 0)
    zero = np.zeros_like(yaw)
    about_y = np.stack([zero, np.sin(yaw), zero, np.cos(yaw)], axis=1)
    about_x = np.stack([np.sin(pitch), zero, zero, np.cos(pitch)], axis=1)
    about_z = np.stack([zero, zero, np.sin(roll), np.cos(roll)], axis=1)
    out = _times(_times(about_y, about_x), about_z)
    flips = np.cumprod(np.where((out[1:] * out[:-1]).sum(axis=1) < 0, -1.0, 1.0))
    out[1:] *= flips[:, None]
    return out


def _times(a: Floats, b: Floats) -> Floats:
    """Hamilton's products of quaternions (T, 4), x, y, z, w."""
    ax, ay, az, aw = a.T
    bx, by, bz, bw = b.T
    return np.stack(
        [
            aw * bx + ax * bw + ay * bz - az * by,
            aw * by - ax * bz + ay * bw + az * bx,
            aw * bz + ax * by - ay * bx + az * bw,
            aw * bw - ax * bx - ay * by - az * bz,
        ],
        axis=1,
    )


def rotation_of(turns: Floats) -> Floats:
    """(3, 3) of (3,) yaw, pitch, roll, as `turns_to_quaternions`."""
    x, y, z, w = turns_to_quaternions(np.asarray(turns, np.float64)[None])[0]
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )
