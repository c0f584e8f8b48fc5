"""Loop's subdivision: four triangles for one, smoother."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from common.array_types import Floats
from processing.geometry.mesh import Mesh


def loop_subdivided(mesh: Mesh) -> Mesh:
    """The mesh after one step of Loop (1987): V + E vertices, 4 T triangles, without colours.

    A boundary becomes a cubic B-spline of its own; where more than one boundary passes through a vertex, it stays.
    An edge of more than two triangles counts as a boundary.
    """
    v, t = mesh.vertices_mm, mesh.triangles.astype(np.int64)
    count = len(v)
    sides = np.concatenate([t[:, [0, 1]], t[:, [1, 2]], t[:, [2, 0]]])
    opposite = np.concatenate([t[:, 2], t[:, 0], t[:, 1]])
    key = sides.min(axis=1) * count + sides.max(axis=1)
    edges, edge_of, faces = np.unique(key, return_inverse=True, return_counts=True)
    a, b = edges // count, edges % count
    middle = (v[a] + v[b]) / 2
    inner = faces == 2
    middle[inner] = 0.75 * middle[inner] + 0.125 * _summed(edge_of, v[opposite], len(edges))[inner]

    degree = np.bincount(np.concatenate([a, b]), minlength=count).clip(3)
    share = (0.625 - (0.375 + 0.25 * np.cos(2 * np.pi / degree)) ** 2) / degree
    around = _summed(np.concatenate([a, b]), np.concatenate([v[b], v[a]]), count)
    moved = v * (1 - degree * share)[:, None] + around * share[:, None]
    outer = ~inner
    ends, others = np.concatenate([a[outer], b[outer]]), np.concatenate([b[outer], a[outer]])
    on_boundary = np.bincount(ends, minlength=count)
    along = _summed(ends, v[others], count)
    moved = np.where((on_boundary == 0)[:, None], moved, v)
    curve = on_boundary == 2
    moved[curve] = 0.75 * v[curve] + 0.125 * along[curve]

    n = len(t)
    ab, bc, ca = (count + edge_of[k * n : (k + 1) * n] for k in range(3))
    corners = [(t[:, 0], ab, ca), (ab, t[:, 1], bc), (ca, bc, t[:, 2]), (ab, bc, ca)]
    triangles = np.concatenate([np.stack(c, axis=1) for c in corners])
    vertices_mm = np.concatenate([moved, middle])
    return replace(mesh, vertices_mm=vertices_mm, triangles=triangles.astype(np.int32), colors=None, confidence=None)


def _summed(index: NDArray[np.int64], rows: Floats, count: int) -> Floats:
    """(count, 3) sums of the rows with the same index."""
    return np.stack([np.bincount(index, weights=rows[:, k], minlength=count) for k in range(3)], axis=1)
