"""Holes of a surface: what a closed surface spans between measured places, as far as it stays near them."""

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from common.array_types import Bools
from processing.geometry.mesh import Mesh

SPANNED_SHARE = 0.06  # of the measured area that a hole may have


def enclosed_faces(closed: Mesh, measured: Bools) -> Bools:
    """(F,) which triangles of a closed surface span a hole between measured ones.

    measured: (F,) which triangles lie near measured points. The others fall into connected pieces; a piece of at most
    SPANNED_SHARE of the measured area is a hole (a patch of hair without texture). A larger one is where the subject
    was not photographed: the back of a head, below the neck.
    """
    open_ = np.flatnonzero(~measured)
    spanned = np.zeros(len(measured), np.bool_)
    if len(open_) == 0 or len(open_) == len(measured):
        return spanned
    corners = closed.triangles[open_]
    count = len(closed.vertices_mm)
    rows, columns = corners[:, :2].ravel(), corners[:, 1:].ravel()
    graph = sparse.coo_array((np.ones(len(rows), np.int8), (rows, columns)), shape=(count, count)).tocsr()
    _, piece = connected_components(graph, directed=False)
    label = piece[corners[:, 0]]
    area = np.linalg.norm(closed.triangle_cross, axis=1)
    sizes = np.bincount(label, weights=area[open_])
    spanned[open_] = sizes[label] <= SPANNED_SHARE * area[measured].sum()
    return spanned
