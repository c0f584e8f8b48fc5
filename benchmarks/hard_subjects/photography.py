"""Photographs of a textured mesh as a studio takes them: one ray a sample, lights that may follow the camera, unequal
cameras, a soft lens and a noisy sensor.

Light and noise are those of the held-out subject that Mien's figures are taken on (soft boxes all around, read noise
of 0.4 % of full scale), so that cases differ in what is photographed, not in how.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import cv2
import numpy as np

from common.array_types import Floats, Floats32, Image
from processing.geometry.cameras import Camera
from processing.geometry.mesh import Mesh, Surface

BACKGROUND, AMBIENT = 0.05, 0.18
#: Soft boxes: direction towards the light in the head frame, and its strength.
LIGHTS = np.array(
    [
        [0, 0.3, 1, 0.30], [0.8, 0.2, 0.55, 0.22], [-0.8, 0.2, 0.55, 0.22], [0, 1, 0.1, 0.20],
        [0, -0.7, 0.7, 0.14], [0.7, 0.1, -0.7, 0.20], [-0.7, 0.1, -0.7, 0.20],
    ],
    dtype=np.float32,
)  # fmt: skip
DIRECTIONS = LIGHTS[:, :3] / np.linalg.norm(LIGHTS[:, :3], axis=1, keepdims=True)
STRENGTHS = LIGHTS[:, 3]
#: The share of each light that every surface mirrors, and how sharply (Blinn's exponent).
SHEEN, SHEEN_POWER = 0.05, 24
#: The share of the light that glass holds back.
GLASS = 0.08


@dataclass(frozen=True)
class Hits:
    """Where (n,) rays met the mesh."""

    triangle: np.ndarray  # (n,)
    barycentric: Floats32  # (n, 3)
    points_mm: Floats32  # (n, 3)
    #: (n, 3) unit, interpolated over the triangle, on the viewer's side.
    normals: Floats32
    #: (n, 3) unit, towards the camera.
    view: Floats32
    #: (n,) bool: the triangle is seen from its outer side.
    outside: np.ndarray


@dataclass(frozen=True, eq=False)
class Sitter:
    """Somebody to be photographed.

    truth: the visible skin alone, in mm.  colour: linear RGB (n, 3) of hits.  shine: (n, 2) strength and exponent of
    what else than SHEEN mirrors the lights at hits, None for nothing.
    """

    mesh: Mesh
    colour: Callable[[Hits], Floats32]
    skin: np.ndarray  # (T,) bool: which triangles are skin
    shine: Callable[[Hits], Floats32] | None = None
    #: (T,) bool: which triangles are glass, which mirrors the lights and shows what lies behind it.
    clear: np.ndarray | None = None


@dataclass(frozen=True)
class Bench:
    """How unequal the rig's cameras are, and how soft and noisy."""

    blur_px: float = 0.6
    noise: float = 0.004
    exposures: tuple[float, float] = (0.75, 1.2)
    colours: float = 0.05
    jpeg_quality: int = 93


class Studio:
    """Photographs a sitter with any camera."""

    def __init__(self, sitter: Sitter, bench: Bench = Bench()) -> None:
        self.sitter, self.bench = sitter, bench
        self._surface = Surface(sitter.mesh)
        self._normals = sitter.mesh.vertex_normals.astype(np.float32)

    def photograph(self, camera: Camera, rng: np.random.Generator) -> Image:
        """(H, W, 3) BGR, gamma 2.2; what differs between cameras and the noise come from `rng`."""
        bench = self.bench
        image = self._linear(camera)
        if bench.blur_px:
            image = cv2.GaussianBlur(image, (0, 0), bench.blur_px)
        exposure = rng.uniform(*bench.exposures)
        image = image * (exposure * rng.uniform(1 - bench.colours, 1 + bench.colours, 3)).astype(np.float32)
        image += rng.normal(0, bench.noise, image.shape).astype(np.float32)
        return np.ascontiguousarray((image.clip(0, 1) ** (1 / 2.2) * 255 + 0.5).astype(np.uint8)[..., ::-1])

    def _linear(self, camera: Camera) -> Floats32:
        """(H, W, 3) linear RGB: the mean of 2 x 2 rays a pixel."""
        x0, y0, x1, y1 = self._box(camera)
        image = np.full((camera.height, camera.width, 3), BACKGROUND, np.float32)
        for top in range(y0, y1, 200):
            bottom = min(y1, top + 200)
            w, h = x1 - x0, bottom - top
            columns = x0 - 0.5 + (np.arange(2 * w) + 0.5) / 2
            rows = top - 0.5 + (np.arange(2 * h) + 0.5) / 2
            rays = camera.rays(np.stack(np.meshgrid(columns, rows), axis=-1).reshape(-1, 2))
            flat = np.full((len(rays), 3), BACKGROUND, np.float32)
            hit, hits = self._hits(camera.centre, rays)
            if len(hit):
                flat[hit] = self._seen(hits)
            fine = flat.reshape(2 * h, 2 * w, 3)
            image[top:bottom, x0:x1] = cv2.resize(fine, (w, h), interpolation=cv2.INTER_AREA)
        return image

    def _hits(self, centre: Floats, rays: Floats) -> tuple[np.ndarray, Hits]:
        distance, triangle, barycentric = self._surface.cast(np.broadcast_to(centre, rays.shape), rays)
        hit = np.flatnonzero(triangle >= 0)
        b = barycentric[hit].astype(np.float32)
        normals = np.einsum("nk,nkd->nd", b, self._normals[self.sitter.mesh.triangles[triangle[hit]]])
        normals /= np.linalg.norm(normals, axis=1, keepdims=True).clip(1e-9)
        view = -rays[hit].astype(np.float32)
        outside = (self.sitter.mesh.triangle_normals[triangle[hit]] * view).sum(1) > 0
        normals = np.where(((normals * view).sum(1) < 0)[:, None], -normals, normals)
        points = (np.broadcast_to(centre, rays.shape)[hit] + rays[hit] * distance[hit, None]).astype(np.float32)
        return hit, Hits(triangle[hit], b, points, normals, view, outside)

    def _seen(self, hits: Hits) -> Floats32:
        color = self._shaded(hits)
        if self.sitter.clear is None:
            return color
        glass = np.flatnonzero(self.sitter.clear[hits.triangle])
        rays = -hits.view[glass]
        behind = np.full((len(glass), 3), BACKGROUND, np.float32)
        through, beyond = self._hits(hits.points_mm[glass] + 0.01 * rays, rays)
        if len(through):
            behind[through] = self._shaded(beyond)
        mirrored = self._mirrored(replace(hits, normals=hits.normals[glass], view=hits.view[glass]), 2500.0)
        color[glass] = (1 - GLASS) * behind + mirrored[:, None]
        return color

    def _mirrored(self, hits: Hits, power: float) -> Floats32:
        half = DIRECTIONS + hits.view[:, None]
        half /= np.linalg.norm(half, axis=2, keepdims=True).clip(1e-9)
        return np.asarray(np.clip((half * hits.normals[:, None]).sum(2), 0, 1) ** power @ STRENGTHS, np.float32)

    def _shaded(self, hits: Hits) -> Floats32:
        diffuse = AMBIENT + np.clip(hits.normals @ DIRECTIONS.T, 0, 1) @ STRENGTHS
        half = DIRECTIONS + hits.view[:, None]
        half /= np.linalg.norm(half, axis=2, keepdims=True).clip(1e-9)
        cosine = np.clip((half * hits.normals[:, None]).sum(2), 0, 1)
        mirrored = SHEEN * (cosine**SHEEN_POWER @ STRENGTHS)
        if self.sitter.shine is not None:
            shine = self.sitter.shine(hits)
            mirrored += shine[:, 0] * (cosine ** shine[:, 1:] @ STRENGTHS)
        return np.asarray(self.sitter.colour(hits) * diffuse[:, None] + mirrored[:, None], np.float32)

    def _box(self, camera: Camera) -> tuple[int, int, int, int]:
        """Columns and rows between which the sitter is: x0, y0, x1, y1."""
        pixels = camera.project(self.sitter.mesh.vertices_mm[::7])
        most = np.array([camera.width, camera.height])
        low = np.clip(np.floor(pixels.min(0)) - 6, 0, most).astype(int)
        high = np.clip(np.ceil(pixels.max(0)) + 6, 0, most).astype(int)
        return int(low[0]), int(low[1]), int(high[0]), int(high[1])
