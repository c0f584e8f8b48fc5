"""Places of a face that a photograph shows: what its pixels are compared at."""

from dataclasses import dataclass

import cv2
import numpy as np

from common.array_types import Bools, Floats, Ints32
from processing.errors import ShapeError
from processing.geometry.cameras import Camera
from processing.geometry.mesh import Mesh, Surface

LEAST_COSINE = 0.35  # between a surface and who looks at it: beyond, a pixel shows too much of it, and its edge
_JUMP_MM = 6.0  # in depth between neighbours: one lies behind the other
_JUMP_STEPS = 3.0  # and so many steps of the grid besides, as surfaces seen at an angle do
_WIDEST = 400  # rays a side of the grid at most


@dataclass(frozen=True, eq=False)
class VisibleSamples:
    """M places of a mesh's surface, evenly over the picture.

    Each stays the same place of the skin while the face moves: its pixel moves with its triangle's corners, and the
    photograph is sampled where it comes to lie. (The other way about, a pixel that stays and a place that moves over
    the surface, needs the gradient of the albedo, which is blunter than the photograph's, and a new ray a step.)
    """

    triangle: Ints32  # (M,)
    barycentric: Floats  # (M, 3)
    pixel: Floats  # (M, 2) px, where it was seen
    cosine: Floats  # (M,) between its triangle's normal and the direction to the camera
    step_px: float  # between neighbours
    area_mm2: Floats  # (M,) of the surface that each stands for

    def __len__(self) -> int:
        return len(self.triangle)

    def kept(self, which: Bools) -> "VisibleSamples":
        """Some of them."""
        t, b, p = self.triangle[which], self.barycentric[which], self.pixel[which]
        return VisibleSamples(t, b, p, self.cosine[which], self.step_px, self.area_mm2[which])


def visible_samples(
    mesh: Mesh,
    camera: Camera,
    counted: Bools,
    *,
    count: int,
    rng: np.random.Generator,
    margin_mm: float = 0.0,
    least_cosine: float = LEAST_COSINE,
) -> VisibleSamples:
    """About `count` places of the triangles `counted` (T,) that the camera sees before all others.

    mesh: mm, any frame; all of it hides what lies behind.  camera: from that frame; its distortion is honoured.
    margin_mm: so near to what is not counted, or to an edge behind which the sample lies, none is taken: a picture
    blurred so far shows something else there.  rng: shifts the grid, nothing else.
    One ray a pixel of a grid by Open3D (Embree, on the CPU); the same samples for the same mesh and rng.
    """
    if counted.shape != (len(mesh.triangles),):
        raise ShapeError("counted", counted.shape, f"({len(mesh.triangles)},)")
    pixels = camera.project(mesh.vertices_mm)
    corners = mesh.triangles[counted]
    facing = corners[np.einsum("nd,nd->n", mesh.triangle_normals[counted], _towards(camera, mesh, corners)) > 0]
    facing = facing[np.isfinite(pixels[facing]).all(axis=(1, 2))]
    if not len(facing):
        return _none()
    a, b, c = (pixels[facing[:, k]] for k in range(3))
    area = 0.5 * np.abs((b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0]).sum()
    low, high = pixels[facing].min(axis=(0, 1)), pixels[facing].max(axis=(0, 1))
    low, high = low.clip(-0.5), np.minimum(high, np.array([camera.width, camera.height]) - 0.5)
    if (high <= low).any():
        return _none()
    step = max(float(np.sqrt(area / count)), float((high - low).max()) / _WIDEST)
    x, y = (np.arange(low[k] + step * rng.uniform(), high[k], step) for k in range(2))
    if not len(x) or not len(y):
        return _none()
    grid = np.stack(np.meshgrid(x, y), axis=-1)
    return _seen(mesh, camera, counted, grid, step, margin_mm, least_cosine)


def _seen(
    mesh: Mesh, camera: Camera, counted: Bools, grid: Floats, step: float, margin_mm: float, least_cosine: float
) -> VisibleSamples:
    """Samples at pixels (h, w, 2) of a grid of this step."""
    pixels = grid.reshape(-1, 2)
    directions = camera.rays(pixels)
    ahead = directions @ camera.viewing_direction
    used = np.zeros(len(mesh.vertices_mm), np.bool_)
    used[mesh.triangles[counted]] = True
    near = float(camera.depth(mesh.vertices_mm[used]).min()) - 300.0
    origins = camera.centre + directions * (max(near, 1.0) / ahead)[:, None]  # near the face: float32 rays
    distance, triangle, barycentric = Surface(mesh).cast(origins, directions)
    hit = triangle >= 0
    depth = np.where(hit, max(near, 1.0) + distance * ahead, np.inf)
    good = hit & counted[triangle]
    if not good.any():
        return _none()
    cosine = -np.einsum("nd,nd->n", mesh.triangle_normals[triangle], directions)
    step_mm = step * float(np.median(depth[good])) / float(np.sqrt(camera.K[0, 0] * camera.K[1, 1]))
    use = good & (cosine > least_cosine)
    if (rings := round(margin_mm / step_mm)) > 0:
        shape, kernel = grid.shape[:2], np.ones((2 * rings + 1, 2 * rings + 1), np.uint8)
        whole = cv2.erode(good.reshape(shape).astype(np.uint8), kernel, borderType=cv2.BORDER_REPLICATE).ravel()
        far = np.where(hit, depth, depth[good].max())
        nearest = cv2.erode(far.reshape(shape), kernel).ravel()
        use &= (whole > 0) & (depth - nearest < _JUMP_MM + _JUMP_STEPS * step_mm * rings)
    area = step_mm**2 / cosine.clip(least_cosine)
    at = np.flatnonzero(use)
    return VisibleSamples(triangle[at], barycentric[at], pixels[at], cosine[at], step, area[at])


def _towards(camera: Camera, mesh: Mesh, corners: Ints32) -> Floats:
    """(T, 3) from each triangle to the camera."""
    return np.asarray(camera.centre - mesh.vertices_mm[corners[:, 0]])


def _none() -> VisibleSamples:
    empty = np.zeros(0)
    return VisibleSamples(np.zeros(0, np.int32), empty.reshape(0, 3), empty.reshape(0, 2), empty, 1.0, empty)
