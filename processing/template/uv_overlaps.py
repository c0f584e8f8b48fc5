"""Overlapping UV charts, as when every material has the whole square: laid side by side."""

from dataclasses import replace

import cv2
import numpy as np

from common.array_types import Bools, Floats
from processing.geometry.mesh import Mesh, submesh
from processing.geometry.uv_charts import in_first_tile, uv_charts

RASTER_PX = 1024
LEAST_SIDE = 5  # tiles along the square, of which the margin takes one
SHARED = 0.05  # of a chart's texels may touch its neighbours'
CLEAR_PX = 16  # of the raster around the point of triangles without UVs: more than maps grow their charts by
BARE_MARGIN = 0.04  # of a full square is made free for it


def without_overlaps(mesh: Mesh, important: Floats) -> Mesh:
    """The mesh with UVs in the unit square in which no chart covers another; as it is if that is so already.

    important: (T,) by how much the square's larger part should go to a triangle's chart.
    Charts are gathered in layers without overlaps; the most important layer keeps all but a margin of the square, the
    others become small tiles in the margin. Charts in other tiles than the first (UDIM) are brought into it before.
    Triangles without UVs (NaN) get a point where nothing else is.
    """
    if mesh.uvs is None or mesh.uv_triangles is None:
        return mesh
    if (bare := mesh.without_uvs).any():
        return _with_bare(mesh, bare, important)
    charts = uv_charts(mesh.uv_triangles, len(mesh.uvs))
    inside = mesh.uvs.min() >= 0 and mesh.uvs.max() <= 1
    uvs = in_first_tile(mesh.uvs, mesh.uv_triangles)
    of_uv = np.zeros(len(uvs), dtype=np.int64)
    of_uv[mesh.uv_triangles.ravel()] = np.repeat(charts, 3)
    weight = np.bincount(charts, important)
    layers: list[Bools] = []
    layer_of = np.zeros(len(weight), dtype=np.int64)
    for chart in np.argsort(-weight, kind="stable"):
        covered = _raster(uvs[mesh.uv_triangles[charts == chart]])
        free = (k for k, layer in enumerate(layers) if (layer & covered).sum() <= SHARED * covered.sum())
        layer_of[chart] = next(free, len(layers))
        if layer_of[chart] == len(layers):
            layers.append(np.zeros_like(covered))
        layers[layer_of[chart]] |= covered
    if len(layers) == 1 and inside:
        return mesh
    side = max(LEAST_SIDE, len(layers) // 2)
    margin = 1 / side if len(layers) > 1 else 0.0
    slots = [(x * margin, 0.0) for x in range(side)] + [(1 - margin, y * margin) for y in range(1, side)]
    placed = uvs.clip(0, 1)
    layer = layer_of[of_uv]
    placed[layer == 0] = placed[layer == 0] * (1 - margin) + [0.0, margin]
    for k in range(1, len(layers)):
        placed[layer == k] = placed[layer == k] * 0.96 * margin + 0.02 * margin + slots[k - 1]
    return replace(mesh, uvs=placed)


def _with_bare(mesh: Mesh, bare: Bools, important: Floats) -> Mesh:
    """Triangles without UVs (T,) share a point in the emptiest place of the others' layout, where a map shows nothing
    and its relief is flat; a full layout shrinks a little.
    """
    dressed, _ = submesh(mesh, ~bare)
    dressed = without_overlaps(dressed, important[~bare])
    if dressed.uvs is None or dressed.uv_triangles is None:
        return replace(mesh, uvs=None, uv_triangles=None)
    uvs = dressed.uvs
    empty = np.pad(~_raster(uvs[dressed.uv_triangles]), 1).astype(np.uint8)
    distance = cv2.distanceTransform(empty, cv2.DIST_L2, 5)
    row, column = np.unravel_index(int(distance.argmax()), distance.shape)
    point = np.array([column - 1, row - 1]) / (RASTER_PX - 1)
    if distance[row, column] < CLEAR_PX:
        uvs, point = uvs * (1 - BARE_MARGIN) + [0, BARE_MARGIN], np.array([0.5, BARE_MARGIN / 2])
    corners = np.full((len(bare), 3), len(uvs), dtype=np.int32)
    corners[~bare] = dressed.uv_triangles
    return replace(mesh, uvs=np.concatenate([uvs, point[None]]), uv_triangles=corners)


def _raster(corners: Floats) -> Bools:
    """(N, 3, 2) triangles in the unit square -> the texels that they cover."""
    image = np.zeros((RASTER_PX, RASTER_PX), dtype=np.uint8)
    for triangle in np.rint(corners * (RASTER_PX - 1) * 16).astype(np.int32):
        cv2.fillConvexPoly(image, triangle, 1, cv2.LINE_8, 4)
    return image.astype(np.bool_)
