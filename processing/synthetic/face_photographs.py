"""Photographs of textured faces: rays, light as spherical harmonics, occlusion, gloss, backgrounds, sensor noise.

Light is linear and textures are sRGB: a matt place of colour a under shading s is seen as display(linear(a) s), with
s = basis(normal) @ lighting, the nine real functions of Ramamoorthi and Hanrahan (2001), section 3.2, orthonormal, in
the order 1; y, z, x; xy, yz, 3 z^2 - 1, xz, x^2 - y^2 and in OpenCV's camera axes. Constants of a matt surface are in
the coefficients.
"""

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray

from common.array_types import Floats, Floats32, Image, Ints32
from processing.errors import MeshError, ShapeError
from processing.geometry.cameras import Camera
from processing.geometry.image_sampling import sample_image
from processing.geometry.mesh import Mesh, Surface
from processing.geometry.photograph_rendering import Sensor

LEAST_SHADING = 0.02  # nine functions can go below nothing; light cannot
LAMBERT = np.array([1.0, *[2 / 3] * 3, *[1 / 4] * 5])  # irradiance / pi of radiance, by band
OCCLUSION_REACH_MM = 45.0
_OCCLUDED_AT = 30_000  # places at which occlusion is cast; vertices between take the nearest ones'
_RAYS = 1 << 19  # at a time
_SHARPNESS = 22.0  # of the gloss's lobe
_C1, _C2 = np.sqrt(3 / (4 * np.pi)), np.sqrt(15 / (4 * np.pi))
_SCALE = np.array([0.5 / np.sqrt(np.pi), _C1, _C1, _C1, _C2, _C2, 0.25 * np.sqrt(5 / np.pi), _C2, 0.5 * _C2])
#: Directions towards the studio's lights in the head frame, and how strong each is.
_STUDIO = ((0.35, 0.45, 1.0, 0.50), (-0.8, 0.2, 0.6, 0.25), (0.9, 0.1, 0.2, 0.12), (0.0, 1.0, 0.2, 0.12))
_STUDIO_AMBIENT = 0.38


def sh_basis(normals: Floats) -> Floats:
    """(N, 3) unit directions -> (N, 9)."""
    x, y, z = normals.T
    rows = [np.ones_like(x), y, z, x, x * y, y * z, 3 * z * z - 1, x * z, x * x - y * y]
    return np.asarray(np.stack(rows, axis=1) * _SCALE)


def lamp(direction: Floats, colour: Floats) -> Floats:
    """(9, 3) of a light far away, towards which `direction` (3,) points; `colour` (3,): of white that faces it."""
    unit = np.asarray(direction, dtype=np.float64) / np.linalg.norm(direction)
    return np.asarray((np.pi * LAMBERT * sh_basis(unit[None])[0])[:, None] * np.asarray(colour))


def ambient(colour: Floats) -> Floats:
    """(9, 3) of light that comes alike from everywhere: white shows `colour` (3,)."""
    out = np.zeros((9, 3))
    out[0] = np.asarray(colour) / _SCALE[0]
    return out


def turned_lighting(lighting: Floats, R: Floats) -> Floats:
    """(9, 3) of the same light in axes turned by R (3, 3)."""
    i = np.arange(64) + 0.5
    z, turn = 1 - 2 * i / 64, np.pi * (1 + 5**0.5) * i
    ring = np.sqrt(1 - z**2)
    probes = np.stack([ring * np.cos(turn), ring * np.sin(turn), z], axis=1)
    return np.asarray(np.linalg.lstsq(sh_basis(probes @ R.T), sh_basis(probes) @ lighting, rcond=None)[0])


def studio_lighting() -> Floats:
    """(9, 3) in the head frame: soft boxes before the face, and light from all around."""
    white = np.ones(3)
    return ambient(_STUDIO_AMBIENT * white) + sum(lamp(np.array(d[:3]), d[3] * white) for d in _STUDIO)


def drawn_lighting(rng: np.random.Generator) -> Floats:
    """(9, 3) in the head frame: a key light before the face, one beside it, a tint; a white front shows about 1.2."""
    tint = np.exp(rng.normal(0, [0.04, 0.015, 0.05]))
    out = ambient(rng.uniform(0.3, 0.55) * tint * np.exp(rng.normal(0, 0.03, 3)))
    key = np.array([rng.normal(0, 0.6), rng.uniform(0.0, 0.8), 1.0])
    out = out + lamp(key, rng.uniform(0.6, 0.9) * tint)
    side = np.array([rng.choice([-1.0, 1.0]), rng.uniform(-0.2, 0.4), rng.uniform(-0.5, 0.5)])
    return np.asarray(out + lamp(side, rng.uniform(0.05, 0.3) * np.exp(rng.normal(0, 0.06, 3))))


def exposed_for(lighting: Floats, texture: Image) -> Floats:
    """The same light (9, 3), brighter or weaker as a camera would set its exposure for a texture: half way to grey."""
    level = float(_linear(texture).mean())
    return lighting * float(np.clip((0.30 / max(level, 1e-3)) ** 0.5, 0.7, 2.0))


def drawn_background(rng: np.random.Generator, width: int, height: int) -> Image:
    """(H, W, 3) BGR: plain, a slope of light, or something out of focus."""
    kind = rng.choice(["plain", "slope", "blurred"], p=[0.25, 0.3, 0.45])
    base = rng.uniform(25, 230) + rng.normal(0, 9, 3)
    if kind == "plain":
        flat = np.ones((height, width, 1)) * base
    elif kind == "slope":
        y, x = np.mgrid[:height, :width] / max(width, height) - 0.5
        turn = rng.uniform(0, 2 * np.pi)
        slope = (x * np.cos(turn) + y * np.sin(turn))[..., None]
        flat = base + slope * (rng.normal(0, 70) + rng.normal(0, 15, 3))
    else:
        cells = int(rng.integers(4, 14))
        rough = (base + 38 * rng.standard_normal((cells, cells, 1)) + 11 * rng.standard_normal((cells, cells, 3))).clip(
            0, 255
        )
        flat = cv2.resize(rough, (width, height), interpolation=cv2.INTER_CUBIC)
        flat = cv2.GaussianBlur(flat, (0, 0), max(width, height) * rng.uniform(0.02, 0.05))
    return np.asarray(flat.clip(0, 255) + 0.5, np.float64).clip(0, 255).astype(np.uint8)


@dataclass(frozen=True, eq=False)
class FacePhotography:
    """A textured face made ready to be photographed from any side."""

    mesh: Mesh  # with UVs, mm
    texture: Image  # (S, S, 3) BGR, sRGB, without light; row 0 is v = 1
    gloss: Floats32 | None = None  # (S', S') over the same UVs, a factor on the gloss; None: 1 all over
    occlusion_rays: int = 0  # a place; 0: nothing shades anything else

    def __post_init__(self) -> None:
        if self.mesh.uvs is None or self.mesh.uv_triangles is None:
            raise MeshError("the mesh has no UVs: a texture cannot be laid on it")
        if self.texture.ndim != 3 or self.texture.shape[2] != 3:
            raise ShapeError("texture", self.texture.shape, "(S, S, 3)")

    @cached_property
    def surface(self) -> Surface:
        return Surface(self.mesh)

    @cached_property
    def _linear_texture(self) -> Floats32:
        return _linear(self.texture[..., ::-1])

    @cached_property
    def _ball(self) -> tuple[Floats, float]:
        """A ball round the mesh: rays are begun at it, so that a lens far away costs no precision."""
        is_used = np.zeros(len(self.mesh.vertices_mm), np.bool_)
        is_used[self.mesh.triangles.ravel()] = True
        used = self.mesh.vertices_mm[is_used]
        centre = (used.min(axis=0) + used.max(axis=0)) / 2
        return centre, 1.01 * float(np.linalg.norm(used - centre, axis=1).max()) + 1.0

    @cached_property
    def openness(self) -> Floats32:
        """(V,) 0..1: the share of directions above a vertex, weighted by their cosine, in which nothing is near."""
        mesh, rays = self.mesh, self.occlusion_rays
        if rays == 0:
            return np.ones(len(mesh.vertices_mm), np.float32)
        picked = np.arange(0, len(mesh.vertices_mm), max(1, len(mesh.vertices_mm) // _OCCLUDED_AT))
        i = np.arange(rays) + 0.5
        up, turn = np.sqrt(1 - i / rays), np.pi * (1 + 5**0.5) * i
        n = mesh.vertex_normals[picked]
        helper = np.where(np.abs(n[:, :1]) < 0.7, [[1.0, 0, 0]], [[0, 1.0, 0]])
        a = np.cross(n, helper)
        a /= np.linalg.norm(a, axis=1, keepdims=True).clip(1e-9)
        b = np.cross(n, a)
        side = np.sqrt(1 - up**2)
        d = a[:, None] * (side * np.cos(turn))[:, None] + b[:, None] * (side * np.sin(turn))[:, None]
        d = d + n[:, None] * up[:, None]
        start = np.broadcast_to((mesh.vertices_mm[picked] + 0.3 * n)[:, None], d.shape)
        packed = np.concatenate([start, d], axis=2).reshape(-1, 6).astype(np.float32)
        near = self.surface.first_hits(packed)[0].reshape(len(picked), rays)
        seen = 1 - np.clip(1 - near / OCCLUSION_REACH_MM, 0, 1).mean(axis=1)
        from scipy.spatial import cKDTree

        distance, at = cKDTree(mesh.vertices_mm[picked]).query(mesh.vertices_mm, k=3)
        weight = 1 / (distance + 0.05)
        return np.asarray((seen[at] * weight).sum(axis=1) / weight.sum(axis=1), np.float32)

    def photograph(
        self,
        camera: Camera,
        *,
        lighting: Floats | None = None,
        background: Image | None = None,
        supersample: int = 2,
        gloss: float = 0.0,
        sensor: Sensor | None = None,
        rng: np.random.Generator | None = None,
        jpeg_quality: int | None = None,
    ) -> tuple[Image, NDArray[np.uint8]]:
        """(H, W, 3) BGR, and (H, W) 0..255: how much of each pixel is face.

        lighting: (9, 3) in the camera's axes; None: the studio's, which stands about the head.  background: (H, W, 3)
        BGR; None: grey.  gloss: strength of the reflection of the main light.  sensor: its blur and, with `rng`, its
        noise; None: neither.  jpeg_quality: as if it had been stored so.
        """
        light = turned_lighting(studio_lighting(), camera.R) if lighting is None else np.asarray(lighting)
        if light.shape != (9, 3):
            raise ShapeError("lighting", light.shape, "(9, 3)")
        back = np.full((camera.height, camera.width, 3), 128, np.uint8) if background is None else background
        if back.shape != (camera.height, camera.width, 3):
            raise ShapeError("background", back.shape, f"({camera.height}, {camera.width}, 3)")
        radiance, cover = self._radiance(camera, light, gloss, supersample)
        image = radiance + (1 - cover[..., None]) * _linear(back[..., ::-1])
        image = _exposed(image, sensor, rng)
        shown = (_display(image).clip(0, 1) * 255 + 0.5).astype(np.uint8)[..., ::-1].copy()
        if jpeg_quality is not None:
            _, stored = cv2.imencode(".jpg", shown, [cv2.IMWRITE_JPEG_QUALITY, jpeg_quality])
            shown = np.asarray(cv2.imdecode(stored, cv2.IMREAD_COLOR), np.uint8)
        return shown, (cover * 255 + 0.5).astype(np.uint8)

    def _radiance(self, camera: Camera, light: Floats, gloss: float, supersample: int) -> tuple[Floats32, Floats32]:
        """(H, W, 3) linear RGB on black, and (H, W) the share of each pixel that is face."""
        s, width = supersample, camera.width
        radiance = np.zeros((camera.height, width, 3), np.float32)
        cover = np.zeros((camera.height, width), np.float32)
        columns = (np.arange(width * s) + 0.5) / s - 0.5
        step = max(1, _RAYS // (width * s * s))
        for top in range(0, camera.height, step):
            stop = min(top + step, camera.height)
            rows = top - 0.5 + (np.arange((stop - top) * s) + 0.5) / s
            grid = np.stack(np.meshgrid(columns, rows), axis=-1).reshape(-1, 2)
            tall = self._seen(camera, grid, light, gloss).reshape((stop - top) * s, width * s, 4)
            small = tall if s == 1 else cv2.resize(tall, (width, stop - top), interpolation=cv2.INTER_AREA)
            radiance[top:stop], cover[top:stop] = small[..., :3], small[..., 3]
        return radiance, cover

    def _seen(self, camera: Camera, grid: Floats, light: Floats, gloss: float) -> Floats32:
        """(N, 4) what is seen at (N, 2) px: linear RGB and 1; beside the face 0."""
        directions = camera.rays(grid)
        centre, radius = self._ball
        start = camera.centre + max(float(np.linalg.norm(camera.centre - centre)) - radius, 0.0) * directions
        _, triangle, weight = self.surface.cast(start, directions)
        hit = np.flatnonzero(triangle >= 0)
        seen = np.zeros((len(grid), 4), np.float32)
        t, w = triangle[hit], weight[hit]
        corners = self.mesh.triangles[t]
        in_camera = _mixed(self.mesh.vertex_normals, corners, w) @ camera.R.T
        in_camera /= np.sqrt((in_camera * in_camera).sum(axis=1, keepdims=True)).clip(1e-9)
        uv = _mixed(self._uvs[0], self._uvs[1][t], w)
        open_sky = _mixed(self.openness[:, None], corners, w)
        shade = (sh_basis(in_camera) @ light).clip(LEAST_SHADING) * open_sky
        out = sample_image(self._linear_texture, _texels(uv, len(self.texture))) * shade
        if gloss > 0:
            factor = 1.0 if self.gloss is None else sample_image(self.gloss, _texels(uv, len(self.gloss)))
            lobe = _lobe(in_camera, directions[hit] @ camera.R.T, light)
            out = out + (gloss * factor * open_sky[:, 0] * lobe)[:, None]
        seen[hit, :3], seen[hit, 3] = out, 1
        return seen

    @cached_property
    def _uvs(self) -> tuple[Floats, Ints32]:
        if self.mesh.uvs is None or self.mesh.uv_triangles is None:
            raise MeshError("the mesh has no UVs")
        return self.mesh.uvs, self.mesh.uv_triangles


def _mixed(values: NDArray[np.floating], corners: Ints32, weight: Floats) -> Floats:
    """(V, K) values at (N, 3) corners and barycentric coordinates -> (N, K)."""
    out = values[corners[:, 0]] * weight[:, :1]
    out += values[corners[:, 1]] * weight[:, 1:2]
    out += values[corners[:, 2]] * weight[:, 2:]
    return np.asarray(out, np.float64)


def photograph_face(
    mesh: Mesh,
    texture: Image,
    camera: Camera,
    *,
    lighting: Floats | None = None,
    background: Image | None = None,
    supersample: int = 2,
    noise: float = 0.0,
    seed: int = 0,
) -> tuple[Image, NDArray[np.uint8]]:
    """One photograph of a face; for several of one, make a `FacePhotography`.

    mesh: with UVs, mm.  texture: (S, S, 3) BGR.  lighting: (9, 3), camera axes, or None: a studio.  noise: standard
    deviation of the sensor's, of full scale.  Returns (H, W, 3) BGR and (H, W) 0..255 where the face is.
    """
    sensor = Sensor(noise=noise) if noise else None
    rng = np.random.default_rng(seed) if noise else None
    return FacePhotography(mesh, texture).photograph(
        camera, lighting=lighting, background=background, supersample=supersample, sensor=sensor, rng=rng
    )


def _texels(uv: Floats, size: int) -> Floats:
    """(N, 2) UVs -> (N, 2) px of a map, x first."""
    return np.stack([uv[:, 0] * size - 0.5, (1 - uv[:, 1]) * size - 0.5], axis=1)


def _lobe(normals: Floats, directions: Floats, light: Floats) -> Floats:
    """(N,) Phong's lobe about the main light, camera axes: the direction of the harmonics' first band."""
    grey = light @ [0.2126, 0.7152, 0.0722]
    main = np.array([grey[3], grey[1], grey[2]])
    strength = float(np.linalg.norm(main))
    if strength < 1e-9:
        return np.zeros(len(normals))
    mirrored = directions - 2 * (directions * normals).sum(axis=1, keepdims=True) * normals
    return np.asarray(strength * (mirrored @ (main / strength)).clip(0) ** _SHARPNESS)


def _exposed(image: Floats32, sensor: Sensor | None, rng: np.random.Generator | None) -> Floats32:
    if sensor is None:
        return image
    if sensor.blur_px:
        image = cv2.GaussianBlur(image, (5, 5), sensor.blur_px)
    image = image * np.float32(sensor.exposure)
    if rng is not None:
        spread = np.sqrt(sensor.noise**2 + image.clip(0) / sensor.shot).astype(np.float32)
        image = image + spread * rng.standard_normal(image.shape, dtype=np.float32)
    return np.asarray(image, np.float32)


_TABLE = np.where(
    np.arange(256) <= 0.04045 * 255, np.arange(256) / 255 / 12.92, ((np.arange(256) / 255 + 0.055) / 1.055) ** 2.4
)


def _linear(display: Image) -> Floats32:
    """sRGB 0..255 to linear light 0..1 (IEC 61966-2-1)."""
    return np.asarray(_TABLE.astype(np.float32)[display])


def _display(linear: Floats32) -> Floats32:
    """Linear light to sRGB, 0..1 and beyond."""
    c = linear.clip(0)
    return np.asarray(np.where(c <= 0.0031308, 12.92 * c, 1.055 * c ** (1 / 2.4) - 0.055), np.float32)
