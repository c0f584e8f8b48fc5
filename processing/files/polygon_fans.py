"""Polygons of mesh files as fans of triangles."""

import numpy as np

from common.array_types import Ints64


def fan_corners(corner_counts: Ints64) -> tuple[Ints64, Ints64]:
    """The triangles of polygons whose corners lie one polygon after another: (T, 3) places among the corners, and (T,)
    the polygon of each, in their order. corner_counts: (F,) each at least 3.
    """
    each = corner_counts - 2
    polygon = np.repeat(np.arange(len(each)), each)
    first = np.cumsum(corner_counts) - corner_counts
    step = np.arange(len(polygon)) - np.repeat(np.cumsum(each) - each, each) + 1
    start = first[polygon]
    return np.stack([start, start + step, start + step + 1], axis=1), polygon
