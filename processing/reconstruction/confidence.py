"""Confidence: which places of a surface photographs have measured, and how far the others lie from one."""

import numpy as np
from scipy.spatial import cKDTree

from common.array_types import Floats32
from processing.geometry.compiled_meshes import vertex_normals
from processing.geometry.mesh import MEASURED, Mesh
from processing.reconstruction.depth_fusion import OrientedPoints
from processing.reconstruction.point_cells import PointCells, support

REACH_CELLS = 3.0  # points so near a vertex, in their cells, measure it
HALF_SUPPORT = 2.0  # their weight where a vertex is just measured; each view gives up to 1 a pixel
FADED_MM = 3.0  # from a measured place: there confidence has fallen to 1/e of what it is beside it


def confidence(mesh: Mesh, points: OrientedPoints, cell_mm: float) -> Floats32:
    """(V,) 0 to 1: from 0.5 where points measure a vertex, the more, the more of them; below, where the surface spans
    what none measures, the farther from a measured vertex the less.

    points: fused, merged in cells of side cell_mm; weak ones weigh little.
    """
    at = mesh.vertices_mm.astype(np.float32)
    cells = PointCells.of(points.points_mm, REACH_CELLS * cell_mm)
    weight = support(at, vertex_normals(at, mesh.triangles).astype(np.float32), points, cells)
    sure = np.asarray(weight / (weight + np.float32(HALF_SUPPORT)), dtype=np.float32)
    open_ = np.flatnonzero(sure < MEASURED)
    if len(open_) == 0 or len(open_) == len(at):
        return sure
    measured = cKDTree(at[sure >= MEASURED], balanced_tree=False, compact_nodes=False)
    far, _ = measured.query(at[open_], workers=1)
    estimated = np.minimum(sure[open_], MEASURED * np.exp(-far / FADED_MM))
    sure[open_] = np.minimum(estimated, np.nextafter(np.float32(MEASURED), np.float32(0)))
    return sure
