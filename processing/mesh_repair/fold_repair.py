"""Folds and crossings taken out of a deformed mesh, without moving the rest of it."""

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from common.array_types import Bools, Floats
from processing.geometry.mesh import Mesh
from processing.geometry.sparse_cholesky import Factor, graph_laplacian
from processing.mesh_repair.mesh_defects import crossing, flipped_triangles, opposing_triangles
from processing.mesh_repair.surface_separation import separate_surfaces

ROUNDS = 8
SMOOTH_ROUNDS = 2  # a sheet that still crosses something after these is spanned taut
SHEET_RINGS = 4
CONTACT_ROUNDS, CONTACT_RINGS = 5, 6  # what cannot be drawn apart in so many rounds is left to harmonic motion
SPANNED_RINGS = (0, 1, 2, 3)  # around what is left after all
MOVED_MM = 0.05
MOST_SHARE = 0.05  # of the mesh that mending may move; more than this is no fold but a failed fit


def mend(source: Mesh, vertices_mm: Floats, sheets: Bools | None = None) -> tuple[Floats, Bools]:
    """Around triangles that turned over or cross others, the displacement from `source` becomes harmonic.

    Where that leaves some, surfaces that pass a little through each other (closed lips) are drawn apart before.

    vertices_mm: (V, 3) `source` deformed.  sheets: (V,) surfaces that stand in for what no scan shows (the eye between
    the lids): one that crosses the skin is spanned anew, as smooth as its surroundings.
    Returns the vertices, and (V,) which were moved.  Faults that `source` has itself may remain.
    """
    best: tuple[Bools, Floats, Bools] | None = None
    for contact in (False, True):
        mended, moved = _mended(source, vertices_mm, sheets, contact)
        bad = _bad(source, mended)
        if not bad.any():
            return mended, moved
        if best is None or bad.sum() < best[0].sum():
            best = bad, mended, moved
    assert best is not None
    return _spanned_over(source, *best)


def _spanned_over(source: Mesh, bad: Bools, vertices_mm: Floats, moved: Bools) -> tuple[Floats, Bools]:
    """What neither helped: the few vertices around it on the smoothest surface between those about them."""
    ring = source.adjacency()
    for rings in SPANNED_RINGS:
        patch = dilated(ring, source, bad, rings)
        if not bad.any() or patch.mean() > MOST_SHARE:
            break
        smooth = spanned(source, vertices_mm, patch)
        still = _bad(source, smooth)
        if still.sum() < bad.sum():
            bad, vertices_mm, moved = still, smooth, moved | patch
    return vertices_mm, moved


def _bad(source: Mesh, vertices_mm: Floats) -> Bools:
    """(T,) triangles that turned over or cross others."""
    return _turned(source, vertices_mm) | crossing(source.with_vertices(vertices_mm))


def _turned(source: Mesh, vertices_mm: Floats) -> Bools:
    """(T,) triangles that turned over, or face against their surroundings as they did not in `source`."""
    now = opposing_triangles(source.with_vertices(vertices_mm)) & ~opposing_triangles(source)
    return np.asarray(flipped_triangles(source, vertices_mm) | now)


def _mended(source: Mesh, vertices_mm: Floats, sheets: Bools | None, contact: bool) -> tuple[Floats, Bools]:
    """`mend` with or without drawing surfaces apart."""
    ring = source.adjacency()
    laplacian = graph_laplacian(source.edges, len(vertices_mm))
    patches = _patches(ring, np.zeros(len(vertices_mm), np.bool_) if sheets is None else sheets)
    moved = np.zeros(len(vertices_mm), dtype=np.bool_)
    near_sheets = _widened(ring, np.logical_or.reduce([moved, *patches]), SHEET_RINGS)
    given_up = np.zeros_like(moved)
    for number in range(ROUNDS):
        posed = source.with_vertices(vertices_mm)
        bad = _turned(source, vertices_mm)
        through = crossing(posed)
        if not (bad | through).any():
            break
        if contact and through.any():
            among = dilated(ring, source, through, CONTACT_RINGS) & ~near_sheets & ~given_up
            apart = separate_surfaces(posed, among)
            away = np.linalg.norm(apart - vertices_mm, axis=1) > MOVED_MM
            vertices_mm = np.where(_widened(ring, away, 1)[:, None], apart, vertices_mm)
            moved |= away
            through = crossing(source.with_vertices(vertices_mm))
            if number >= CONTACT_ROUNDS:
                given_up |= dilated(ring, source, through, CONTACT_RINGS)
        bad |= through
        at = dilated(ring, source, bad, 0)
        loose = np.zeros_like(moved)
        for patch in patches:
            wide = _widened(ring, patch, 1 + number)
            if (at & wide).any():
                vertices_mm = spanned(source, vertices_mm, wide, taut=number >= SMOOTH_ROUNDS)
                loose |= wide
        rest = dilated(ring, source, bad & ~loose[source.triangles].any(axis=1), 1 + number // 2)
        if rest.mean() > MOST_SHARE:
            break
        if rest.any():
            vertices_mm = source.vertices_mm + harmonic(laplacian, vertices_mm - source.vertices_mm, rest)
        moved |= rest | loose
    return vertices_mm, moved


def span_hidden_sheets(mesh: Mesh, sheets: Bools) -> Floats:
    """(V, 3) with each connected sheet (V,) and the ring around it spanned anew, whether or not it crosses anything."""
    vertices = mesh.vertices_mm
    for patch in _patches(mesh.adjacency(), sheets):
        vertices = spanned(mesh, vertices, _widened(mesh.adjacency(), patch, 1))
    return vertices


def spanned(source: Mesh, vertices_mm: Floats, inside: Bools, taut: bool = False) -> Floats:
    """(V, 3) with the vertices inside on the smoothest surface that goes on from those outside (biharmonic).

    taut: on the tightest one (harmonic): it has an edge where it begins, and no fold can come of those around it.
    """
    i, j = source.edges[:, 0], source.edges[:, 1]
    length = np.linalg.norm(source.vertices_mm[i] - source.vertices_mm[j], axis=1)
    laplacian = graph_laplacian(source.edges, len(vertices_mm), 1 / length.clip(0.05))
    return harmonic(laplacian if taut else sparse.csr_array(laplacian @ laplacian), vertices_mm, inside)


def harmonic(laplacian: sparse.csr_array, values: Floats, inside: Bools) -> Floats:
    """(V, K) with the values inside solved for between those outside."""
    free, held = np.flatnonzero(inside), np.flatnonzero(~inside)
    rows = sparse.csr_array(laplacian[free])
    matrix = sparse.csr_array(rows[:, free]) + 1e-9 * sparse.eye_array(len(free))
    out = values.copy()
    out[free] = Factor(matrix).solve(-(rows[:, held] @ values[held]))
    return out


def dilated(ring: sparse.csr_array, mesh: Mesh, triangles: Bools, rings: int) -> Bools:
    """(V,) the corners of some triangles and so many rings around them."""
    out = np.zeros(len(mesh.vertices_mm), dtype=np.bool_)
    out[mesh.triangles[triangles].ravel()] = True
    return _widened(ring, out, rings)


def _widened(ring: sparse.csr_array, vertices: Bools, rings: int) -> Bools:
    for _ in range(rings):
        vertices = vertices | (ring @ vertices.astype(np.float64) > 0)
    return vertices


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
