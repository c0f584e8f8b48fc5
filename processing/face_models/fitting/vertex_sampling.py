"""Vertices spread evenly over a face, some to look at in place of all."""

import numpy as np

from common.array_types import Bools, Floats, Ints32


def spread_vertices(points_mm: Floats, among: Bools, cell_mm: float) -> Ints32:
    """Numbers of about one vertex a cube of `cell_mm`, of those marked in `among` (V,): the one nearest its middle."""
    marked = np.flatnonzero(among)
    if not len(marked):
        return np.zeros(0, dtype=np.int32)
    points = points_mm[marked]
    cell = np.floor((points - points.min(axis=0)) / cell_mm)
    off = np.square(points - points.min(axis=0) - (cell + 0.5) * cell_mm).sum(axis=1)
    numbered = cell.astype(np.int64) @ np.array([1 << 40, 1 << 20, 1])
    order = np.lexsort((off, numbered))
    first = np.r_[True, np.diff(numbered[order]) != 0]
    return np.sort(marked[order[first]]).astype(np.int32)
