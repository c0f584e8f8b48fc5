"""UV rasterization: which point of a mesh's surface each texel of its UV square shows."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from common.array_types import Bools, Floats32, Ints32, Ints64
from processing.errors import MeshError
from processing.geometry.mesh import Mesh
from processing.geometry.open3d_core import o3d

_CHUNK = 1 << 20


@dataclass(frozen=True, eq=False)
class Texels:
    """The texels that a mesh covers, and a margin around its charts that shows the nearest edge."""

    #: S, the side of the map.
    size_px: int
    #: (N,) row * S + column; row 0 is the top (v = 1), texel centres at (column + 1/2) / S.
    index: Ints64
    #: (N,) the triangle that each shows,
    triangle: Ints32
    #: (N, 3) and which point of it.
    barycentric: Floats32
    #: (N,) False in the margin.
    inside: Bools

    def interpolate(self, mesh: Mesh, values: NDArray[np.floating]) -> Floats32:
        """(V,) or (V, K) values of the vertices -> (N,) or (N, K) at the texels."""
        corners = mesh.triangles[self.triangle]
        flat = values.astype(np.float32, copy=False)
        weight = self.barycentric if values.ndim == 1 else self.barycentric[:, :, None]
        total = flat[corners[:, 0]] * weight[:, 0]
        for k in (1, 2):
            total += flat[corners[:, k]] * weight[:, k]
        return np.asarray(total, dtype=np.float32)

    def image(self, values: NDArray[np.generic], background: float = 0) -> NDArray[np.generic]:
        """(N,) or (N, K) -> (S, S) or (S, S, K), `background` where there is no texel."""
        out = np.full((self.size_px * self.size_px, *values.shape[1:]), background, dtype=values.dtype)
        out[self.index] = values
        return out.reshape(self.size_px, self.size_px, *values.shape[1:])


def texels_of(mesh: Mesh, size_px: int, margin_px: int = 6) -> Texels:
    """Rasterise the mesh's UV charts by casting a ray through each texel's centre.

    Raises MeshError for a mesh without UVs or a size below 8.
    """
    if mesh.uvs is None or mesh.uv_triangles is None:
        raise MeshError("the mesh has no UVs: a texture or a displacement map needs them")
    if size_px < 8:
        raise MeshError(f"a map of {size_px} texels a side is too small; use 8 or more")
    scene = o3d.t.geometry.RaycastingScene()
    # In units of texels: float32 then keeps the texel centres apart at any size in use.
    flat = np.c_[mesh.uvs[:, 0] * size_px, (1 - mesh.uvs[:, 1]) * size_px, np.zeros(len(mesh.uvs))].astype(np.float32)
    scene.add_triangles(o3d.core.Tensor(flat), o3d.core.Tensor(mesh.uv_triangles.astype(np.uint32)))
    count = size_px * size_px
    triangle = np.full(count, -1, dtype=np.int32)
    uv = np.zeros((count, 2), dtype=np.float32)
    rows = max(1, _CHUNK // size_px)
    rays = np.zeros((rows, size_px, 6), dtype=np.float32)
    rays[..., 0], rays[..., 2], rays[..., 5] = np.arange(size_px) + 0.5, 1.0, -1.0
    for top in range(0, size_px, rows):
        some = min(rows, size_px - top)
        rays[:some, :, 1] = (np.arange(top, top + some) + 0.5)[:, None]
        answer = scene.cast_rays(o3d.core.Tensor.from_numpy(rays[:some]))
        here = slice(top * size_px, (top + some) * size_px)
        hit = np.isfinite(answer["t_hit"].numpy().ravel())
        triangle[here] = np.where(hit, answer["primitive_ids"].numpy().ravel().astype(np.int32), -1)
        uv[here] = answer["primitive_uvs"].numpy().reshape(-1, 2)
    covered = triangle >= 0
    if margin_px > 0:
        mask = covered.reshape(size_px, size_px).astype(np.uint8)
        grown = cv2.dilate(mask, np.ones((2 * margin_px + 1, 2 * margin_px + 1), np.uint8)).ravel().astype(np.bool_)
        margin = np.flatnonzero(grown & ~covered)
        points = np.zeros((len(margin), 3), dtype=np.float32)
        points[:, 0], points[:, 1] = margin % size_px + 0.5, margin // size_px + 0.5
        if len(margin):
            answer = scene.compute_closest_points(o3d.core.Tensor(points))
            triangle[margin] = answer["primitive_ids"].numpy().astype(np.int32)
            uv[margin] = answer["primitive_uvs"].numpy().clip(0, 1)
            # The texels next to a chart take part in what is read at its edge: they go on beyond it in its plane.
            next_to = np.linalg.norm(answer["points"].numpy() - points, axis=1) < 1.5
            uv[margin[next_to]] = _beyond(flat[mesh.uv_triangles[triangle[margin[next_to]]]], points[next_to])
    index = np.flatnonzero(triangle >= 0)
    barycentric = np.empty((len(index), 3), dtype=np.float32)
    barycentric[:, 1:] = uv[index]
    barycentric[:, 0] = 1 - barycentric[:, 1] - barycentric[:, 2]
    return Texels(size_px, index, triangle[index], barycentric, covered[index])


def _beyond(corners: Floats32, points: Floats32) -> Floats32:
    """(N, 2) last two barycentric coordinates of points near triangles (N, 3, 3) in the plane, at most half outside."""
    origin = corners[:, 0, :2].astype(np.float64)
    a, b = corners[:, 1, :2] - origin, corners[:, 2, :2] - origin
    p = points[:, :2] - origin
    area = a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]
    area = np.where(np.abs(area) < 1e-9, 1e-9, area)
    u = (p[:, 0] * b[:, 1] - p[:, 1] * b[:, 0]) / area
    v = (a[:, 0] * p[:, 1] - a[:, 1] * p[:, 0]) / area
    return np.stack([u, v], axis=1).clip(-0.5, 1.5).astype(np.float32)
