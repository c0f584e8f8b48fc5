"""Fold repair: turned-over and intersecting triangles smoothed out of a deformed mesh, the rest of it unmoved."""

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from common.array_types import Bools, Floats
from processing.geometry.mesh import Mesh
from processing.geometry.sparse_cholesky import Factor, graph_laplacian
from processing.geometry.vertex_rings import dilated
from processing.mesh_repair.mesh_defects import flipped_triangles, opposing_triangles, self_intersecting
from processing.mesh_repair.surface_separation import separate_surfaces

ROUNDS = 8
SMOOTH_ROUNDS = 2  # a sheet that still crosses something after these is spanned taut
SHEET_RINGS = 4
SEPARATION_ROUNDS, SEPARATION_RINGS = 5, 6  # what is not separated in so many rounds is left to harmonic motion
PATCH_RINGS = (0, 1, 2, 3)  # around what is left after all
SETTLED_RINGS = (0, 1, 1, 2, 2, 3)  # around defects of what was placed anew
MOVED_MM = 0.05
MAX_SHARE = 0.05  # of the mesh that repair may move; more than this is no fold but a failed fit


def repair_folds(
    source: Mesh, vertices_mm: Floats, sheets: Bools | None = None, settled: Bools | None = None
) -> tuple[Floats, Bools]:
    """Around triangles that turned over or cross others, the displacement from `source` becomes harmonic.

    Where that leaves some, surfaces that pass a little through each other (closed lips) are separated before.

    vertices_mm: (V, 3) `source` deformed.  sheets: (V,) surfaces that stand in for what no scan shows (the eye between
    the lids): one that crosses the skin is spanned anew, as smooth as its surroundings.
    settled: (V,) placed anew after the deformation: they may face elsewhere than in `source`, and turned over is there
    what faces against its surroundings alone.
    Returns the vertices, and (V,) which were moved.  Defects that `source` has itself may remain.
    """
    none = np.zeros(len(vertices_mm), dtype=np.bool_)
    settled = none if settled is None else settled
    placed = np.asarray(settled[source.triangles].any(axis=1))
    vertices_mm, tightened = _tighten_settled(source, vertices_mm, settled, placed)
    best: tuple[Bools, Floats, Bools] | None = None
    for separate in (False, True):
        repaired, moved = _repair_rounds(source, vertices_mm, none if sheets is None else sheets, placed, separate)
        bad = _defective(source, repaired, placed)
        if not bad.any():
            return repaired, moved | tightened
        if best is None or bad.sum() < best[0].sum():
            best = bad, repaired, moved | tightened
    assert best is not None
    return _span_remaining(source, *best, placed)


def _tighten_settled(source: Mesh, vertices_mm: Floats, settled: Bools, placed: Bools) -> tuple[Floats, Bools]:
    """Defects among what was placed anew (V,): a few of its vertices on the tightest surface between those about them.

    They were placed for a reason: a harmonic displacement from `source` would undo it.
    """
    ring = source.adjacency()
    moved = np.zeros_like(settled)
    if not settled.any():
        return vertices_mm, moved
    bad = _defective(source, vertices_mm, placed)
    for rings in SETTLED_RINGS:
        patch = _around(ring, source, bad & placed, rings) & settled
        if not patch.any():
            break
        tight = smoothest_patch(source, vertices_mm, patch, taut=True)
        still = _defective(source, tight, placed)
        if still.sum() < bad.sum():
            bad, vertices_mm, moved = still, tight, moved | patch
    return vertices_mm, moved


def _span_remaining(source: Mesh, bad: Bools, vertices_mm: Floats, moved: Bools, placed: Bools) -> tuple[Floats, Bools]:
    """What neither helped: the few vertices around it on the smoothest surface between those about them."""
    ring = source.adjacency()
    for rings in PATCH_RINGS:
        patch = _around(ring, source, bad, rings)
        if not bad.any() or patch.mean() > MAX_SHARE:
            break
        smooth = smoothest_patch(source, vertices_mm, patch)
        still = _defective(source, smooth, placed)
        if still.sum() < bad.sum():
            bad, vertices_mm, moved = still, smooth, moved | patch
    return vertices_mm, moved


def _defective(source: Mesh, vertices_mm: Floats, placed: Bools) -> Bools:
    """(T,) triangles that turned over or cross others."""
    return _turned_over(source, vertices_mm, placed) | self_intersecting(source.with_vertices(vertices_mm))


def _turned_over(source: Mesh, vertices_mm: Floats, placed: Bools) -> Bools:
    """(T,) triangles that turned over (but those placed (T,) anew), or face against their surroundings as they did not
    in `source`."""
    now = opposing_triangles(source.with_vertices(vertices_mm)) & ~opposing_triangles(source)
    return np.asarray((flipped_triangles(source, vertices_mm) & ~placed) | now)


def _repair_rounds(
    source: Mesh, vertices_mm: Floats, sheets: Bools, placed: Bools, separate: bool
) -> tuple[Floats, Bools]:
    """`repair_folds`, with or without separating surfaces."""
    ring = source.adjacency()
    laplacian = graph_laplacian(source.edges, len(vertices_mm))
    patches = _patches(ring, sheets)
    moved = np.zeros(len(vertices_mm), dtype=np.bool_)
    near_sheets = dilated(ring, np.logical_or.reduce([moved, *patches]), SHEET_RINGS)
    not_separable = np.zeros_like(moved)
    for number in range(ROUNDS):
        posed = source.with_vertices(vertices_mm)
        bad = _turned_over(source, vertices_mm, placed)
        through = self_intersecting(posed)
        if not (bad | through).any():
            break
        if separate and through.any():
            among = _around(ring, source, through, SEPARATION_RINGS) & ~near_sheets & ~not_separable
            separated = separate_surfaces(posed, among)
            away = np.linalg.norm(separated - vertices_mm, axis=1) > MOVED_MM
            vertices_mm = np.where(dilated(ring, away, 1)[:, None], separated, vertices_mm)
            moved |= away
            through = self_intersecting(source.with_vertices(vertices_mm))
            if number >= SEPARATION_ROUNDS:
                not_separable |= _around(ring, source, through, SEPARATION_RINGS)
        bad |= through
        at = _around(ring, source, bad, 0)
        faired = np.zeros_like(moved)
        for patch in patches:
            wide = dilated(ring, patch, 1 + number)
            if (at & wide).any():
                vertices_mm = smoothest_patch(source, vertices_mm, wide, taut=number >= SMOOTH_ROUNDS)
                faired |= wide
        rest = _around(ring, source, bad & ~faired[source.triangles].any(axis=1), 1 + number // 2)
        if rest.mean() > MAX_SHARE:
            break
        if rest.any():
            vertices_mm = source.vertices_mm + solve_harmonic(laplacian, vertices_mm - source.vertices_mm, rest)
        moved |= rest | faired
    return vertices_mm, moved


def span_hidden_sheets(mesh: Mesh, sheets: Bools) -> Floats:
    """(V, 3) with each connected sheet (V,) and the ring around it spanned anew, whether or not it crosses anything."""
    vertices = mesh.vertices_mm
    for patch in _patches(mesh.adjacency(), sheets):
        vertices = smoothest_patch(mesh, vertices, dilated(mesh.adjacency(), patch, 1))
    return vertices


def smoothest_patch(source: Mesh, vertices_mm: Floats, inside: Bools, taut: bool = False) -> Floats:
    """(V, 3) with the vertices inside on the smoothest surface that goes on from those outside (biharmonic).

    taut: on the tightest one (harmonic): it has an edge where it begins, and no fold can come of those around it.
    """
    i, j = source.edges[:, 0], source.edges[:, 1]
    length = np.linalg.norm(source.vertices_mm[i] - source.vertices_mm[j], axis=1)
    laplacian = graph_laplacian(source.edges, len(vertices_mm), 1 / length.clip(0.05))
    return solve_harmonic(laplacian if taut else sparse.csr_array(laplacian @ laplacian), vertices_mm, inside)


def solve_harmonic(laplacian: sparse.csr_array, values: Floats, inside: Bools) -> Floats:
    """(V, K) with the values inside solved for between those outside."""
    free, held = np.flatnonzero(inside), np.flatnonzero(~inside)
    rows = sparse.csr_array(laplacian[free])
    matrix = sparse.csr_array(rows[:, free]) + 1e-9 * sparse.eye_array(len(free))
    out = values.copy()
    out[free] = Factor(matrix).solve(-(rows[:, held] @ values[held]))
    return out


def _around(ring: sparse.csr_array, mesh: Mesh, triangles: Bools, rings: int) -> Bools:
    """(V,) the corners of some triangles and so many rings around them."""
    corners = np.zeros(len(mesh.vertices_mm), dtype=np.bool_)
    corners[mesh.triangles[triangles].ravel()] = True
    return dilated(ring, corners, rings)


def _patches(ring: sparse.csr_array, sheets: Bools) -> list[Bools]:
    """The connected pieces of some vertices, each (V,)."""
    members = np.flatnonzero(sheets)
    if not len(members):
        return []
    count, label = connected_components(sparse.csr_array(ring[members][:, members]), directed=False)
    out = []
    for piece in range(count):
        mask = np.zeros(len(sheets), dtype=np.bool_)
        mask[members[label == piece]] = True
        out.append(mask)
    return out
