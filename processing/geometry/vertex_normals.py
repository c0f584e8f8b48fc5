"""Normals of triangles and vertices, on plain arrays."""

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from common.array_types import Floats, Ints32

Real = TypeVar("Real", np.float32, np.float64)


def triangle_cross(vertices_mm: NDArray[Real], triangles: Ints32) -> NDArray[Real]:
    """(T, 3) normals with the length of twice the area, mm^2, in the precision of the vertices.

    vertices_mm: (V, 3).  triangles: (T, 3), counter-clockwise from outside.
    """
    a, b, c = (vertices_mm[triangles[:, k]] for k in range(3))
    return np.cross(b - a, c - a)


def area_weighted_normals(cross: NDArray[np.floating], triangles: Ints32, count: int) -> Floats:
    """(count, 3) unit normals of the vertices, the mean of their triangles' weighted by area; zero without any area.

    cross: (T, 3) as of `triangle_cross`. NumPy alone, as holders of releases have it; compiled in `compiled_meshes`.
    """
    corners = triangles.ravel().astype(np.intp)
    total = np.stack([np.bincount(corners, np.repeat(cross[:, axis], 3), count) for axis in range(3)], axis=1)
    return np.asarray(total / np.linalg.norm(total, axis=1, keepdims=True).clip(1e-20))
