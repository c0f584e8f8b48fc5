"""Surface separation: parts of one mesh that have gone through each other, as closed lips do, moved apart."""

import numpy as np
from scipy import sparse

from common.array_types import Bools, Floats, Ints64
from processing.geometry.mesh import Mesh, Surface
from processing.geometry.sparse_cholesky import Factor, graph_laplacian
from processing.geometry.vertex_rings import dilated
from processing.mesh_repair.mesh_defects import self_intersections

ROUNDS = 6
GAP_MM = 0.1
FOLLOWING_RINGS = 8  # around the vertices inside that may follow
SMOOTHNESS = 0.2  # smoothness of a separating motion, against one for what is inside
_OFF_MM = 0.002


def separate_surfaces(mesh: Mesh, among: Bools, deepest_mm: float = 3.0, rounds: int = ROUNDS) -> Floats:
    """(V, 3) with surfaces that pass through each other by less than deepest_mm moved apart, each by half.

    among: (V,) the vertices that may be found inside.  A vertex that sees the inside of the mesh when it looks along
    its normal lies within another part of it, as deep as that part's surface lies behind it: it goes back, and so does
    that part, whose own vertices find themselves inside this one. Their surroundings follow.
    """
    free = dilated(mesh.adjacency(), among, FOLLOWING_RINGS)
    moving = np.flatnonzero(free)
    laplacian = graph_laplacian(mesh.edges, len(mesh.vertices_mm))[moving][:, moving]
    vertices = mesh.vertices_mm.copy()
    for _ in range(rounds):
        posed = mesh.with_vertices(vertices)
        edge, triangle = self_intersections(posed, free)
        through = np.unique(np.concatenate([posed.edges[edge].ravel(), posed.triangles[triangle].ravel()]))
        if not among[through].any():
            break
        surface = Surface(posed)
        inside = np.flatnonzero(among)
        inside = inside[_exit_distances(surface, inside, 1.0) < np.inf]
        depth = _exit_distances(surface, inside, -1.0)
        depth[depth > deepest_mm] = 0.0
        back = np.zeros(len(vertices))
        back[through[among[through]]] = GAP_MM  # edges may cross where no vertex is inside
        back[inside] = np.maximum(back[inside], 0.5 * depth + GAP_MM * (depth > 0))
        back = back[moving]
        weight = (back > 0).astype(np.float64)
        matrix = sparse.diags_array(weight + 0.02) + SMOOTHNESS * laplacian
        vertices = vertices.copy()
        vertices[moving] -= Factor(matrix).solve(back[:, None] * posed.vertex_normals[moving])
    return vertices


def _exit_distances(surface: Surface, some: Ints64, sign: float) -> Floats:
    """(N,) how far along or against its normal each vertex meets the mesh from inside; inf where it does not."""
    along = sign * surface.mesh.vertex_normals[some]
    distance, triangle, _ = surface.cast(surface.mesh.vertices_mm[some] + _OFF_MM * along, along)
    facing = np.einsum("nd,nd->n", surface.mesh.triangle_normals[triangle], along)
    return np.asarray(np.where((triangle >= 0) & (facing > 0), distance, np.inf))
