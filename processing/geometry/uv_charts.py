"""UV charts: the connected pieces of a mesh's UVs, and tiles of the plane beside the unit square (UDIM, repetition)."""

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from common.array_types import Floats, Ints32, Ints64


def uv_charts(uv_triangles: Ints32, count: int) -> Ints64:
    """(T,) the number of the connected chart of each triangle. count: of UVs."""
    i, j = uv_triangles[:, [0, 1]].ravel(), uv_triangles[:, [1, 2]].ravel()
    graph = sparse.csr_array((np.ones(len(i)), (i, j)), shape=(count, count))
    _, label = connected_components(graph, directed=False)
    _, charts = np.unique(label[uv_triangles[:, 0]], return_inverse=True)
    return np.asarray(charts.reshape(-1), dtype=np.int64)


def in_first_tile(uvs: Floats, uv_triangles: Ints32) -> Floats:
    """(U, 2) UVs with every chart moved by whole tiles so that its middle lies in the unit square."""
    charts = uv_charts(uv_triangles, len(uvs))
    of_uv = np.full(len(uvs), -1)
    of_uv[uv_triangles.ravel()] = np.repeat(charts, 3)
    used = of_uv >= 0
    sizes = np.bincount(of_uv[used]).clip(1)
    middle = np.stack([np.bincount(of_uv[used], uvs[used, k]) / sizes for k in (0, 1)], axis=1)
    moved = uvs.copy()
    moved[used] -= np.floor(middle)[of_uv[used]]
    return moved
