"""Pictures of meshes and photographs without a display: ray casting and shading in NumPy. All images are BGR uint8."""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from common.array_types import Floats, Image
from common.guarding.safe_text import plain
from processing.errors import MeshError, ShapeError
from processing.geometry.cameras import Camera, direction_of, upright_rotation
from processing.geometry.image_sampling import sample_image
from processing.geometry.mesh import Mesh, Surface

BACKGROUND = (250, 248, 246)
SKIN = (178, 190, 205)
UNKNOWN = (205, 205, 205)
_LIGHTS = (((-0.5, 0.6, 0.8), 0.62), ((0.8, 0.25, 0.45), 0.30), ((0.0, -0.6, 0.4), 0.10))
_AMBIENT = 0.14
_HEAT = ((238, 244, 240), (150, 211, 178), (250, 205, 85), (226, 80, 48), (110, 0, 22))  # RGB


def portrait_camera(bounds_mm: Floats, *, yaw_deg: float = 0.0, pitch_deg: float = 0.0, height_px: int = 720) -> Camera:
    """A camera that sees the box (2, 3) whole, from its front turned by yaw (to its left) and pitch (up)."""
    low, high = np.asarray(bounds_mm, dtype=np.float64)
    centre, radius = (low + high) / 2, float(np.linalg.norm(high - low)) / 2
    if not np.isfinite(radius) or radius <= 0:
        raise MeshError("a mesh without extent cannot be pictured")
    towards = direction_of(yaw_deg, pitch_deg)
    R = upright_rotation(-towards)
    distance = 7.0 * radius
    corners = np.array([[a, b, c] for a in (low[0], high[0]) for b in (low[1], high[1]) for c in (low[2], high[2])])
    seen = (corners - centre) @ R.T + [0, 0, distance]
    half_w, half_h = np.abs(seen[:, :2] / seen[:, 2:]).max(axis=0) * 1.02
    focal = height_px / 2 / half_h
    width_px = max(16, round(height_px * half_w / half_h))
    K = np.array([[focal, 0, (width_px - 1) / 2], [0, focal, (height_px - 1) / 2], [0, 0, 1.0]])
    return Camera(K=K, R=R, t=-R @ (centre + distance * towards), width=width_px, height=height_px, name="portrait")


def bounds(mesh: Mesh) -> Floats:
    """(2, 3) lowest and highest corner of the used vertices, mm."""
    used = np.zeros(len(mesh.vertices_mm), np.bool_)
    used[mesh.triangles.ravel()] = True
    corners = mesh.vertices_mm[used]
    return np.stack([corners.min(axis=0), corners.max(axis=0)])


def render(
    scene: Mesh | Surface,
    camera: Camera,
    *,
    vertex_colors: Image | None = None,
    texture: Image | None = None,
    shaded: bool = True,
    smooth: bool = True,
    supersample: int = 2,
) -> Image:
    """(height, width, 3) picture of a mesh, or of one that is made ready for rays.

    vertex_colors: (V, 3) BGR; texture: (S, S, 3) BGR over the mesh's UVs; neither: the colour of clay.
    shaded: three lights fixed to the head (off: colours as they are, as a photograph already has its light).
    smooth: interpolated vertex normals, else the triangles' own.
    """
    big = camera.scaled(supersample)
    grid = np.stack(np.meshgrid(np.arange(big.width), np.arange(big.height)), axis=-1).reshape(-1, 2)
    picture = np.empty((len(grid), 3), dtype=np.float32)
    surface = Surface(scene) if isinstance(scene, Mesh) else scene
    mesh = surface.mesh
    step = 1 << 19  # rays at a time: bounds the memory
    for start in range(0, len(grid), step):
        pixels = grid[start : start + step].astype(np.float64)
        directions = big.rays(pixels)
        _, triangle, weights = surface.cast(np.broadcast_to(big.centre, directions.shape), directions)
        picture[start : start + step] = BACKGROUND
        hit = np.flatnonzero(triangle >= 0)
        if len(hit) == 0:
            continue
        t, w = triangle[hit], weights[hit]
        color = _surface_color(mesh, t, w, vertex_colors, texture)
        if shaded:
            color = color * _light(mesh, t, w, directions[hit], smooth)[:, None]
        picture[start + hit] = np.clip(color, 0, 255)
    tall = picture.reshape(big.height, big.width, 3)
    small = cv2.resize(tall, (camera.width, camera.height), interpolation=cv2.INTER_AREA)
    return np.asarray(np.clip(small + 0.5, 0, 255), dtype=np.uint8)


def _surface_color(mesh: Mesh, t: NDArray[np.int32], w: Floats, colors: Image | None, texture: Image | None) -> Floats:
    if colors is not None:
        if colors.shape != mesh.vertices_mm.shape:
            raise ShapeError("vertex_colors", colors.shape, str(mesh.vertices_mm.shape))
        return np.asarray(np.einsum("nk,nkd->nd", w, colors[mesh.triangles[t]].astype(np.float64)))
    if texture is None:
        return np.broadcast_to(np.array(SKIN, dtype=np.float64), (len(t), 3))
    if mesh.uvs is None or mesh.uv_triangles is None:
        raise MeshError("a textured picture needs a mesh with UVs")
    uv = np.einsum("nk,nkd->nd", w, mesh.uvs[mesh.uv_triangles[t]])
    h, width = texture.shape[:2]
    pixels = np.stack([uv[:, 0] * width, (1 - uv[:, 1]) * h], axis=1) - 0.5
    return sample_image(texture, pixels).astype(np.float64)


def _light(mesh: Mesh, t: NDArray[np.int32], w: Floats, directions: Floats, smooth: bool) -> Floats:
    if smooth:
        n = np.einsum("nk,nkd->nd", w, mesh.vertex_normals[mesh.triangles[t]])
        n /= np.linalg.norm(n, axis=1, keepdims=True).clip(1e-12)
    else:
        n = mesh.triangle_normals[t]
    facing = np.einsum("nd,nd->n", n, directions)
    n = np.where(facing[:, None] > 0, -n, n)  # seen from behind: an open mesh's inside
    total = np.full(len(n), _AMBIENT)
    for direction, strength in _LIGHTS:
        towards = np.array(direction) / np.linalg.norm(direction)
        total += strength * np.clip(n @ towards, 0, None)
    return np.asarray(np.where(facing > 0, total * 0.55, total) * 1.18)


def heat_colors(values: Floats, most: float) -> Image:
    """(N, 3) BGR from 0 (pale) over green, yellow and red to `most` and beyond (dark red); NaN grey."""
    scaled = np.nan_to_num(np.clip(np.asarray(values, dtype=np.float64) / most, 0, 1), nan=0.0)
    stops = np.linspace(0, 1, len(_HEAT))
    channels = [np.interp(scaled, stops, [stop[k] for stop in _HEAT]) for k in (2, 1, 0)]
    colors = np.stack(channels, axis=-1).round().astype(np.uint8)
    colors[~np.isfinite(values)] = UNKNOWN
    return colors


def with_color_bar(picture: Image, most: float, label: str = "mm") -> Image:
    """The picture with the scale of `heat_colors` at its right."""
    height = picture.shape[0]
    bar_height = int(height * 0.8)
    top = (height - bar_height) // 2
    panel = np.full((height, 92, 3), BACKGROUND, dtype=np.uint8)
    ramp = heat_colors(np.linspace(most, 0, bar_height), most)
    panel[top : top + bar_height, 10:30] = ramp[:, None]
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        y = top + round((1 - share) * (bar_height - 1))
        cv2.line(panel, (30, y), (34, y), (60, 60, 60), 1)
        text(panel, f"{share * most:.2g}", (38, y + 5))
    text(panel, label, (10, top - 10))
    return np.concatenate([picture, panel], axis=1)


def text(image: Image, words: str, at: tuple[int, int], scale: float = 0.45) -> None:
    """Write dark words into the image, baseline starting at (x, y); what is no sign, as in odd names of files, is ?."""
    cv2.putText(image, plain(words), at, cv2.FONT_HERSHEY_SIMPLEX, scale, (45, 45, 45), 1, cv2.LINE_AA)


def contact_sheet(images: Sequence[Image], *, columns: int, tile_width: int = 120) -> Image:
    """Small copies of the photographs in rows."""
    if not images:
        raise ShapeError("images", (0,), "at least one")
    tile_height = max(round(tile_width * i.shape[0] / i.shape[1]) for i in images)
    gap = 3
    rows = -(-len(images) // columns)
    shape = (rows * (tile_height + gap) + gap, columns * (tile_width + gap) + gap, 3)
    sheet = np.full(shape, BACKGROUND, dtype=np.uint8)
    for k, image in enumerate(images):
        factor = min(tile_width / image.shape[1], tile_height / image.shape[0])
        size = (max(1, round(image.shape[1] * factor)), max(1, round(image.shape[0] * factor)))
        small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        y, x = gap + (k // columns) * (tile_height + gap), gap + (k % columns) * (tile_width + gap)
        y, x = y + (tile_height - size[1]) // 2, x + (tile_width - size[0]) // 2
        sheet[y : y + size[1], x : x + size[0]] = small
    return sheet


def draw_points(image: Image, pixels: Floats, *, color: tuple[int, int, int] = (80, 220, 60), radius: int = 3) -> Image:
    """A copy with the finite ones of (N, 2) px marked."""
    drawn = image.copy()
    for x, y in pixels[np.isfinite(pixels).all(axis=1)]:
        cv2.circle(drawn, (round(float(x)), round(float(y))), radius + 1, (20, 20, 20), -1, cv2.LINE_AA)
        cv2.circle(drawn, (round(float(x)), round(float(y))), radius, color, -1, cv2.LINE_AA)
    return drawn


def beside(pictures: Sequence[Image]) -> Image:
    """Pictures in a row, brought to the height of the first."""
    height = pictures[0].shape[0]
    scaled = [
        p
        if p.shape[0] == height
        else cv2.resize(p, (round(p.shape[1] * height / p.shape[0]), height), interpolation=cv2.INTER_AREA)
        for p in pictures
    ]
    return np.asarray(np.concatenate(scaled, axis=1), dtype=np.uint8)


def relief_picture(height_mm: NDArray[np.float32], valid: NDArray[np.bool_], *, size_px: int = 720) -> Image:
    """A displacement map as grey between its 1st and 99th percentile, unknown texels in the background's colour."""
    known = np.asarray(valid, dtype=np.bool_)
    low, high = np.percentile(height_mm[known], [1, 99]) if known.any() else (0.0, 1.0)
    grey = np.clip((height_mm - low) / max(float(high - low), 1e-6), 0, 1) * 255
    picture = np.repeat(grey.astype(np.uint8)[:, :, None], 3, axis=2)
    picture[~known] = BACKGROUND
    small = cv2.resize(picture, (size_px, size_px), interpolation=cv2.INTER_AREA)
    return np.asarray(small, dtype=np.uint8)


def resized(image: Image, factor: float) -> Image:
    """The image as `Camera.scaled(factor)` sees it."""
    size = (max(1, round(image.shape[1] * factor)), max(1, round(image.shape[0] * factor)))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
