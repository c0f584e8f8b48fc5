"""Cells of a grid in a hash table, for millions of points; read the loops with `geometry/compilation.py` in mind."""

import numpy as np

from common.array_types import Floats, Gray, Ints32, Ints64
from processing.geometry.compilation import compiled

EMPTY = -1  # no cell: keys are not negative


@compiled
def cell_key(x: float, y: float, z: float, origin: Floats, cell: float) -> np.int64:
    i, j, k = np.floor((x - origin[0]) / cell), np.floor((y - origin[1]) / cell), np.floor((z - origin[2]) / cell)
    if not (0 <= i < 2097151 and 0 <= j < 2097151 and 0 <= k < 2097151):
        return np.int64(-1)
    return (np.int64(i) << 42) | (np.int64(j) << 21) | np.int64(k)


@compiled
def place_of(key: np.int64, keys: Ints64) -> np.int64:
    """Where a key is in the table, or would be."""
    mask = len(keys) - 1
    at = np.int64((np.uint64(key) * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(20)) & mask
    while keys[at] != -1 and keys[at] != key:
        at = (at + 1) & mask
    return at


@compiled
def _numbered(points: Gray, origin: Floats, cell: float, size: int) -> tuple[Ints32, Ints64]:
    keys, numbers = np.full(size, -1, np.int64), np.zeros(size, np.int32)
    found, cell_of, count = np.empty(len(points), np.int64), np.empty(len(points), np.int32), 0
    for n in range(len(points)):
        key = cell_key(points[n, 0], points[n, 1], points[n, 2], origin, cell)
        at = place_of(key, keys)
        if keys[at] == -1:
            keys[at], numbers[at], found[count] = key, count, key
            count += 1
        cell_of[n] = numbers[at]
    return cell_of, found[:count].copy()


@compiled
def _sums(points: Gray, normals: Gray, weight: Gray, cell_of: Ints32, count: int) -> Floats:
    total = np.zeros((count, 7))
    for n in range(len(points)):
        w, c = np.float64(weight[n]), cell_of[n]
        total[c, 6] += w
        for k in range(3):
            total[c, k] += points[n, k] * w
            total[c, 3 + k] += normals[n, k] * w
    return total


def cell_sums(points_mm: Gray, normals: Gray, weight: Gray, cell_mm: float) -> Floats:
    """(C, 7) of each cell that holds a point: sums of w x, w n and w; in the order of the cells of a grid about zero.

    points_mm, normals: (N, 3), within 2^20 cells of zero.  weight: (N,).
    """
    size = 1 << max(4, int(2 * len(points_mm)).bit_length())
    origin = np.full(3, -float(1 << 20) * cell_mm)
    cell_of, keys = _numbered(points_mm, origin, cell_mm, size)
    order = np.argsort(keys)
    rank = np.empty(len(keys), np.int32)
    rank[order] = np.arange(len(keys), dtype=np.int32)
    return np.asarray(_sums(points_mm, normals, weight, rank[cell_of], len(keys)))
