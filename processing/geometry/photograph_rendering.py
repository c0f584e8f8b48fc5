"""Rendering of photographs of a mesh: rays through lenses with distortion, studio lights, speculars, sensor noise."""

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
from scipy.spatial import ConvexHull, QhullError, cKDTree

from common.array_types import Floats, Floats32, Image
from processing.geometry.cameras import Camera
from processing.geometry.mesh import Mesh
from processing.geometry.open3d_core import o3d

BACKGROUND = 0.03
AMBIENT = 0.20
# Soft boxes: direction towards the light in the head frame, and its strength.
_LIGHTS = np.array(
    [
        [0.15, 0.45, 1, 0.34], [0.8, 0.2, 0.55, 0.24], [-0.8, 0.2, 0.55, 0.18], [0, 1, 0.1, 0.26],
        [0, -0.7, 0.7, 0.07], [0.7, 0.1, -0.7, 0.22], [-0.7, 0.1, -0.7, 0.22],
    ],
    dtype=np.float32,
)  # fmt: skip
LIGHT_DIRECTIONS = _LIGHTS[:, :3] / np.linalg.norm(_LIGHTS[:, :3], axis=1, keepdims=True)
LIGHT_STRENGTHS = _LIGHTS[:, 3]


@dataclass(frozen=True)
class Sensor:
    """What a lens and a sensor do to the light."""

    #: Standard deviation of the read noise, of full scale.
    noise: float = 0.003
    #: Electrons at full scale, which make the shot noise.
    shot: float = 12_000.0
    #: A factor.
    exposure: float = 1.0
    #: The lens's and the filter's spread, a Gaussian's standard deviation at the photograph's own pixels.
    blur_px: float = 0.35


class Scene:
    """A painted mesh ready to be photographed from any side.

    mesh: V vertices in the head frame.  albedo: (V, 3) linear RGB.  gloss: (V,) strength of speculars.
    Light from far boxes is summed once a vertex; only speculars depend on the view.
    """

    def __init__(self, mesh: Mesh, albedo: Floats32, gloss: Floats32 | None = None, *, occlusion_rays: int = 0) -> None:
        self.mesh = mesh
        self.normals = mesh.vertex_normals.astype(np.float32)
        self._scene = o3d.t.geometry.RaycastingScene()
        self._scene.add_triangles(
            o3d.core.Tensor(mesh.vertices_mm.astype(np.float32)), o3d.core.Tensor(mesh.triangles.astype(np.uint32))
        )
        open_sky = self.openness(occlusion_rays) if occlusion_rays else np.ones(len(mesh.vertices_mm), np.float32)
        light = AMBIENT + np.clip(self.normals @ LIGHT_DIRECTIONS.T, 0, 1) @ LIGHT_STRENGTHS
        self.radiance = (albedo * (light * open_sky)[:, None]).astype(np.float32)
        gloss = np.ones(len(albedo), np.float32) if gloss is None else gloss
        # One table row a vertex: radiance, normal, gloss.
        self._table = np.concatenate([self.radiance, self.normals, (gloss * open_sky)[:, None]], 1).astype(np.float32)

    @cached_property
    def _outline(self) -> Floats:
        """(n, 3) vertices between which the whole mesh lies."""
        try:
            return np.ascontiguousarray(self.mesh.vertices_mm[ConvexHull(self.mesh.vertices_mm).vertices])
        except QhullError:  # flat
            return self.mesh.vertices_mm

    def openness(self, rays: int, reach_mm: float = 45.0) -> Floats32:
        """(V,) 0..1: the share of directions above each vertex that leave the head; cast at a spread of vertices."""
        count = len(self.mesh.vertices_mm)
        picked = np.arange(0, count, max(1, count // 40_000))
        i = np.arange(rays) + 0.5
        up, turn = np.sqrt(1 - i / rays), np.pi * (1 + 5**0.5) * i
        side = np.sqrt(1 - up**2)
        n = self.normals[picked]
        helper = np.where(np.abs(n[:, :1]) < 0.7, np.array([[1.0, 0, 0]]), np.array([[0, 1.0, 0]]))
        a = np.cross(n, helper)
        a /= np.linalg.norm(a, axis=1, keepdims=True).clip(1e-9)
        b = np.cross(n, a)
        d = a[:, None] * (side * np.cos(turn))[:, None] + b[:, None] * (side * np.sin(turn))[:, None]
        d = d + n[:, None] * up[:, None]
        origin = np.broadcast_to((self.mesh.vertices_mm[picked] + 0.2 * n)[:, None], d.shape)
        packed = np.concatenate([origin, d], axis=2).astype(np.float32)
        hit = self._scene.cast_rays(o3d.core.Tensor(packed))["t_hit"].numpy() < reach_mm
        seen = 1 - hit.mean(1)
        distance, near = cKDTree(self.mesh.vertices_mm[picked]).query(self.mesh.vertices_mm, k=4, workers=2)
        weight = 1 / (distance + 0.1)
        spread = (seen[near] * weight).sum(1) / weight.sum(1)
        return np.asarray(np.clip(0.12 + 0.95 * spread, 0, 1), np.float32)

    def photograph(
        self,
        camera: Camera,
        *,
        supersample: int = 1,
        sensor: Sensor | None = None,
        rng: np.random.Generator | None = None,
    ) -> Image:
        """(H, W, 3) BGR as the camera stores it (sRGB-like gamma 2.2). rng None: a sensor without noise."""
        sensor = sensor or Sensor()
        image = np.full((camera.height, camera.width, 3), BACKGROUND, dtype=np.float32)
        x0, y0, x1, y1 = self._box(camera)
        if x1 > x0 and y1 > y0:
            image[y0:y1, x0:x1] = self._linear(camera, (x0, y0, x1, y1), supersample)
        if sensor.blur_px:
            image = cv2.GaussianBlur(image, (5, 5), sensor.blur_px)
        image *= np.float32(sensor.exposure)
        if rng is not None:
            spread = np.sqrt(sensor.noise**2 + image.clip(0) / sensor.shot)
            image += spread * rng.standard_normal(image.shape, dtype=np.float32)
        table = (np.linspace(0, 1, 4096) ** (1 / 2.2) * 255 + 0.5).astype(np.uint8)
        return table[(image.clip(0, 1) * 4095 + 0.5).astype(np.int16)][..., ::-1].copy()

    def _box(self, camera: Camera) -> tuple[int, int, int, int]:
        """Columns and rows that hold the mesh: x0, y0, x1, y1; empty where it is not in the picture."""
        pixels = camera.project(self._outline)
        pixels = pixels[np.isfinite(pixels).all(1)]
        if not len(pixels):
            return 0, 0, 0, 0
        margin = 6
        low = np.clip(np.floor(pixels.min(0)) - margin, 0, [camera.width, camera.height]).astype(int)
        high = np.clip(np.ceil(pixels.max(0)) + margin, 0, [camera.width, camera.height]).astype(int)
        return int(low[0]), int(low[1]), int(high[0]), int(high[1])

    def _linear(self, camera: Camera, box: tuple[int, int, int, int], supersample: int) -> Floats32:
        """(h, w, 3) linear RGB of a part of the picture."""
        x0, y0, x1, y1 = box
        w, h, s = x1 - x0, y1 - y0, supersample
        columns = x0 - 0.5 + (np.arange(w * s) + 0.5) / s
        rows = y0 - 0.5 + (np.arange(h * s) + 0.5) / s
        grid = np.stack(np.meshgrid(columns, rows), axis=-1).reshape(-1, 2)
        directions = camera.rays(grid).astype(np.float32)
        origins = np.broadcast_to(camera.centre.astype(np.float32), directions.shape)
        answer = self._scene.cast_rays(o3d.core.Tensor(np.concatenate([origins, directions], axis=1)))
        triangle = answer["primitive_ids"].numpy()
        hit = np.flatnonzero(triangle != np.uint32(o3d.t.geometry.RaycastingScene.INVALID_ID))
        corner = self.mesh.triangles[triangle[hit]]
        uv = answer["primitive_uvs"].numpy()[hit]
        table = self._table
        value = table[corner[:, 0]] * (1 - uv.sum(1))[:, None]
        value += table[corner[:, 1]] * uv[:, :1]
        value += table[corner[:, 2]] * uv[:, 1:]
        color = value[:, :3] + self._specular(value[:, 3:6], -directions[hit], value[:, 6])[:, None]
        flat = np.full((len(directions), 3), BACKGROUND, dtype=np.float32)
        flat[hit] = color
        image = flat.reshape(h * s, w * s, 3)
        return image if s == 1 else np.asarray(cv2.resize(image, (w, h), interpolation=cv2.INTER_AREA))

    @staticmethod
    def _specular(normals: Floats32, view: Floats32, gloss: Floats32) -> Floats32:
        """(N,) Blinn-Phong over the front lights: reflect the view at the normal once, compare with each light."""
        normals = normals / np.sqrt((normals * normals).sum(1, keepdims=True)).clip(1e-9)
        mirrored = 2 * (normals * view).sum(1, keepdims=True) * normals - view
        total = np.zeros(len(normals), np.float32)
        for light, strength in zip(LIGHT_DIRECTIONS[:4], LIGHT_STRENGTHS[:4], strict=True):
            c = np.clip(mirrored @ light, 0, 1)
            c *= c
            c *= c
            c *= c
            total += strength * c
        return np.asarray(0.10 * gloss * total, np.float32)
