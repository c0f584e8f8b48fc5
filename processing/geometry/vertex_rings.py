"""Rings of neighbours: a set of vertices dilated along a mesh's edges."""

from scipy import sparse

from common.array_types import Bools


def dilated(adjacency: sparse.csr_array, vertices: Bools, rings: int) -> Bools:
    """(V,) the vertices and those at most `rings` edges away. adjacency: (V, V) of Mesh.adjacency."""
    for _ in range(rings):
        vertices = vertices | (adjacency @ vertices.astype("float64") > 0)
    return vertices
