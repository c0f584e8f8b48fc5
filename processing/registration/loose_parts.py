"""Loose parts: components of a template apart from the skin (eyeballs, teeth), moved with it and kept behind it."""

import numpy as np
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from common.array_types import Bools, Floats, Ints32, Ints64
from processing.geometry.mesh import Mesh, submesh
from processing.geometry.procrustes import fit_motion
from processing.mesh_repair.mesh_defects import self_intersections
from processing.template.template import EYE, SKIN

# An eye that came through its lids is moved back by the first of these that is enough.
SET_BACK_MM = (0.1, 0.2, 0.4, 0.7, 1.0, 1.5, 2.0)
NEAR_MM = 4.0
ONE_EYE_MM = 5.0


def largest_part(mesh: Mesh) -> tuple[Mesh, Ints32]:
    """The connected piece with the most triangles, without UVs, and the number of each of its vertices."""
    _, piece = connected_components(mesh.adjacency(), directed=False)
    largest = np.bincount(piece[mesh.triangles[:, 0]]).argmax()
    return submesh(Mesh(mesh.vertices_mm, mesh.triangles), piece[mesh.triangles[:, 0]] == largest)


def move_loose_parts(
    mesh: Mesh, parts: NDArray[np.int8], before: Floats, after: Floats, main: Ints32, neighbours: int = 150
) -> Floats:
    """Move each connected piece other than `main` by the similarity of the main piece's motion around it.

    parts: (V,) as a template has them.  before, after: (V, 3); after is right at `main` only.  Returns after with the
    loose pieces (eyeballs, teeth) right: they keep their shape, and eyeballs that would come through the lids sink.
    """
    loose = np.ones(len(before), dtype=np.bool_)
    loose[main] = False
    if not loose.any():
        return after
    after = after.copy()
    _, piece = connected_components(mesh.adjacency(), directed=False)
    tree = cKDTree(before[main])
    for one in np.unique(piece[loose]):
        members = np.flatnonzero(piece == one)
        distance, _ = tree.query(before[members])
        reach = tree.query(before[members].mean(axis=0), k=min(neighbours, len(main)))[1]
        near = main[np.unique(np.r_[tree.query(before[members])[1], reach])]
        weight = 1.0 / (1.0 + np.square(cKDTree(before[members]).query(before[near])[0] / max(distance.mean(), 1e-6)))
        after[members] = fit_motion(before[near], after[near], weight)(before[members])
    skin: Bools = (parts == SKIN) & ~loose
    for eye in _eyes(piece, loose & (parts == EYE), after):
        after = _moved_behind_lids(mesh, after, eye, skin)
    return after


def _eyes(piece: Ints32, loose_eyes: Bools, vertices: Floats) -> list[Bools]:
    """(V,) each: loose pieces that are eyes; those around one place (a cornea over its eyeball) are one."""
    found = np.unique(piece[loose_eyes])
    if not len(found):
        return []
    centres = np.array([vertices[piece == one].mean(axis=0) for one in found])
    _, label = connected_components(cKDTree(centres).sparse_distance_matrix(cKDTree(centres), ONE_EYE_MM) > 0)
    return [np.isin(piece, found[label == number]) for number in range(label.max() + 1)]


def _moved_behind_lids(mesh: Mesh, vertices: Floats, eye: Bools, skin: Bools) -> Floats:
    """(V, 3) with an eye moved back until it passes through no skin; as it was where no small motion is enough."""
    near = eye | skin
    near[skin] = cKDTree(vertices[eye]).query(vertices[skin], distance_upper_bound=NEAR_MM)[0] < np.inf
    on_skin: Bools = np.asarray(skin[mesh.triangles].all(axis=1))
    posed = mesh.with_vertices(vertices)
    through = _penetrated_triangles(posed, eye, near, on_skin)
    if not len(through):
        return vertices
    outwards = posed.triangle_normals[through].mean(axis=0)
    outwards /= np.linalg.norm(outwards).clip(1e-9)
    for back_mm in SET_BACK_MM:
        moved = vertices.copy()
        moved[eye] -= back_mm * outwards
        if not len(_penetrated_triangles(mesh.with_vertices(moved), eye, near, on_skin)):
            return moved
    return vertices


def _penetrated_triangles(mesh: Mesh, eye: Bools, near: Bools, on_skin: Bools) -> Ints64:
    """Triangles of the skin that the eye's edges pass through, or whose edges pass through its triangles."""
    edges, triangles = self_intersections(mesh, near)
    edge_in, triangle_in = eye[mesh.edges[edges]].all(axis=1), eye[mesh.triangles[triangles]].all(axis=1)
    hit = np.zeros(len(mesh.triangles), dtype=np.bool_)
    hit[triangles[edge_in]] = True
    ends = np.zeros(len(eye), dtype=np.bool_)
    ends[mesh.edges[edges[~edge_in & triangle_in]]] = True
    return np.flatnonzero((hit | (ends[mesh.triangles].sum(axis=1) >= 2)) & on_skin)
