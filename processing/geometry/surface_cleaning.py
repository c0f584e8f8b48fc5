"""Surfaces as scanners, converters and editors leave them: vertices doubled along seams, empty triangles, crumbs.

Vertices in one place are one corner of the surface, whatever their numbers; a triangle two of whose corners lie in one
place is none.
"""

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from common.array_types import Bools, Floats, Ints64
from processing.geometry.mesh import Mesh, edge_ends, edge_keys, submesh

SAME_PLACE = 1e-6  # of a surface's size: what float32 and six digits leave of a coordinate
CRUMB_AWAY = 0.25  # of the main piece's longest side, beyond its box
CRUMB_AREA, CRUMB_TRIANGLES = 0.05, 0.2  # crumbs are at most such a share of all
_MIX = np.array([0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9], np.uint64)


def coincident_vertices(points_mm: Floats, within_mm: float) -> Ints64:
    """(N,) the lowest number of a point in the same place as each of (N, 3), which may be off by about `within_mm`."""
    count = len(points_mm)
    if not count:
        return np.zeros(0, np.int64)
    cell = (points_mm - points_mm.min(axis=0)) / max(4 * within_mm, 1e-12)
    groups = [_same_cell(np.floor(cell + shift)) for shift in (0.0, 0.5)]  # whom a cell's wall divides shares another
    if np.array_equal(groups[0], groups[1]):
        return groups[0]
    rows = np.tile(np.arange(count), 2)
    graph = sparse.coo_array((np.ones(2 * count, np.int8), (rows, np.concatenate(groups))), shape=(count, count))
    _, label = connected_components(graph.tocsr(), directed=False)
    _, first = np.unique(label, return_index=True)
    return np.asarray(first[label], dtype=np.int64)


def _same_cell(cells: Floats) -> Ints64:
    """(N,) the lowest number of a row equal to each of (N, 3) whole numbers."""
    key = (cells.astype(np.int64).view(np.uint64) * _MIX).sum(axis=1, dtype=np.uint64)
    _, first, inverse = np.unique(key, return_index=True, return_inverse=True)
    return np.asarray(first[inverse.reshape(-1)], dtype=np.int64)


def edge_triangles(mesh: Mesh) -> Bools:
    """(T,) triangles with a corner on the surface's edge: on a side that no other triangle shares.

    A seam along which vertices are doubled is no edge; empty triangles, and triangles that are there twice, share
    nothing.
    """
    label = np.arange(len(mesh.vertices_mm))
    rim = _rim(mesh.triangles)
    if not len(rim):
        return np.zeros(len(mesh.triangles), np.bool_)
    points = mesh.vertices_mm[rim]
    label[rim] = rim[coincident_vertices(points, SAME_PLACE * float(np.ptp(points, axis=0).max()))]
    if (label[rim] != rim).any():
        rim = _rim(label[mesh.triangles])
    on_rim = np.zeros(len(label), np.bool_)
    on_rim[rim] = True
    return np.asarray(on_rim[label[mesh.triangles]].any(axis=1))


def _rim(triangles: NDArray[np.integer]) -> Ints64:
    """The vertices at sides of one triangle alone."""
    triangles = triangles[~_repeats(triangles)]
    keys = np.sort(edge_keys(triangles))
    if (keys[2:] == keys[:-2]).any():
        keys = np.sort(edge_keys(triangles[_first_of_each(triangles)]))
    single = np.ones(len(keys), np.bool_)
    again = keys[1:] == keys[:-1]
    single[1:] &= ~again
    single[:-1] &= ~again
    return np.unique(edge_ends(keys[single])).astype(np.int64)


def _repeats(triangles: NDArray[np.integer]) -> Bools:
    """(T,) triangles that name a vertex twice."""
    return np.asarray((triangles == np.roll(triangles, 1, axis=1)).any(axis=1))


def _first_of_each(triangles: NDArray[np.integer]) -> Ints64:
    """Numbers of triangles, in order, without those that have the three corners of an earlier one."""
    corners = np.sort(triangles, axis=1).astype(np.float64)
    return np.flatnonzero(_same_cell(corners) == np.arange(len(triangles)))


def cleaned_surface(mesh: Mesh) -> Mesh:
    """The mesh without empty and repeated triangles, crumbs far from its main piece, and vertices that are then unused.

    A crumb hangs together with nothing else, lies beyond the main piece's box by a quarter of that, and all crumbs are
    a small share of the surface; where they are not, everything is left as it is.
    """
    used = np.unique(mesh.triangles)
    points = mesh.vertices_mm[used]
    label = np.arange(len(mesh.vertices_mm))
    if len(used):
        label[used] = used[coincident_vertices(points, SAME_PLACE * float(np.ptp(points, axis=0).max()))]
    corners = label[mesh.triangles]
    keep = ~_repeats(corners)
    some = np.flatnonzero(keep)
    keep[:] = False
    keep[some[_first_of_each(corners[some])]] = True
    keep[keep] = ~_crumbs(mesh, np.flatnonzero(keep), corners)
    return submesh(mesh, keep)[0] if not keep.all() or len(used) < len(label) else mesh


def _crumbs(mesh: Mesh, which: Ints64, corners: Ints64) -> Bools:
    """(N,) which of some triangles belong to crumbs. corners: (T, 3) of all triangles, one number a place."""
    t, count = corners[which], len(mesh.vertices_mm)
    rows, columns = t[:, :2].ravel(), t[:, 1:].ravel()
    graph = sparse.coo_array((np.ones(len(rows), np.int8), (rows, columns)), shape=(count, count)).tocsr()
    _, piece_of = connected_components(graph, directed=False)
    names, piece = np.unique(piece_of[t[:, 0]], return_inverse=True)
    none = np.zeros(len(which), np.bool_)
    if len(names) < 2:
        return none
    area = np.linalg.norm(mesh.triangle_cross[which], axis=1)
    low, high = (np.full((len(names), 3), far) for far in (np.inf, -np.inf))
    for k in range(3):
        np.minimum.at(low, piece, mesh.vertices_mm[t[:, k]])
        np.maximum.at(high, piece, mesh.vertices_mm[t[:, k]])
    main = int(np.bincount(piece, area).argmax())
    gap = np.maximum(low - high[main], low[main] - high).max(axis=1)
    far = (gap > CRUMB_AWAY * float((high[main] - low[main]).max()))[piece]
    small = area[far].sum() <= CRUMB_AREA * area.sum() and far.mean() <= CRUMB_TRIANGLES
    return far if small else none
