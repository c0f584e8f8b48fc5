"""Pictures of a face with its detail: a mesh drawn by compiled loops, its normals turned by a displacement map.

Heights stay in the map: of each pixel's triangle the slope of the heights over the UVs becomes one over the surface,
and the smooth normal leans away from it (Blinn 1978). At a tenth of a millimetre of relief that looks as moved vertices
do, and a million of these are never made.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from common.array_types import Floats, Floats32, Image, Ints32
from processing.errors import MeshError
from processing.geometry.cameras import Camera
from processing.geometry.compilation import compiled
from processing.geometry.compiled_meshes import cross_products, vertex_normals
from processing.geometry.mesh import Mesh

BACKGROUND = (26, 22, 20)  # BGR
CLAY = (178, 190, 205)
_LIGHTS = (((-0.75, 0.55, 0.55), 0.9), ((0.85, 0.15, 0.45), 0.26), ((0.0, -0.7, 0.4), 0.08))
_AMBIENT = 0.22
_GLOSS, _SHARP = 0.16, 24.0


@dataclass(frozen=True, eq=False)
class DetailRenderer:
    """Draws one topology from one camera, again and again."""

    camera: Camera
    triangles: Ints32  # (T, 3)
    corners: Floats32  # (T, 3, 2) UVs of the corners, origin at the top left, 0..1
    texture: Image | None  # (S, S, 3) BGR; None: clay
    supersample: int = 2

    @staticmethod
    def of(mesh: Mesh, camera: Camera, texture: Image | None = None, supersample: int = 2) -> "DetailRenderer":
        """mesh: with UVs.  texture: BGR. Raises MeshError."""
        if mesh.uvs is None or mesh.uv_triangles is None:
            raise MeshError("the mesh has no UVs: its detail lies over them")
        corners = mesh.uvs[mesh.uv_triangles] * [1, -1] + [0, 1]
        return DetailRenderer(camera, mesh.triangles, np.nan_to_num(corners).astype(np.float32), texture, supersample)

    def draw(self, vertices_mm: Floats, height_mm: NDArray[np.floating] | None) -> Image:
        """(H, W, 3) BGR of the face with vertices (V, 3) and heights (S, S); None: without detail."""
        camera = self.camera.scaled(self.supersample)
        seen = vertices_mm @ camera.R.T + camera.t
        pixels = np.column_stack([camera.project(vertices_mm), seen[:, 2]])
        cross = cross_products(vertices_mm, self.triangles)
        normals = vertex_normals(vertices_mm, self.triangles)
        triangle, weights = _rasterised(pixels, self.triangles, camera.height, camera.width)
        heights = np.zeros((2, 2), np.float32) if height_mm is None else np.asarray(height_mm, np.float32)
        texture = np.array([[CLAY]], np.uint8) if self.texture is None else self.texture
        towards = (camera.R.T @ np.array([0, 0, -1.0])).astype(np.float64)
        directions = np.array([camera.R.T @ (np.array(d) * [1, -1, -1]) / np.linalg.norm(d) for d, _ in _LIGHTS])
        strengths = np.array([strength for _, strength in _LIGHTS])
        big = np.empty((camera.height, camera.width, 3), np.float32)
        big[:] = BACKGROUND
        surface = (np.asarray(vertices_mm, np.float64), self.triangles, normals, cross)
        lights = (directions, strengths, towards)
        _shaded((triangle, weights), surface, (self.corners, heights, texture), lights, big)
        if self.supersample > 1:
            big = cv2.resize(big, (self.camera.width, self.camera.height), interpolation=cv2.INTER_AREA)
        return np.asarray(np.clip(big + 0.5, 0, 255).astype(np.uint8))


@compiled
def _rasterised(pixels: Floats, triangles: Ints32, height: int, width: int) -> tuple[Ints32, Floats32]:
    """(H, W) the nearest triangle of each pixel, -1 for none, and (H, W, 2) weights of its second and third corner.

    pixels: (V, 3) column, row, depth. Triangles that look away are drawn too: a mouth is seen into.
    """
    found = np.full((height, width), -1, np.int32)
    weights = np.zeros((height, width, 2), np.float32)
    nearest = np.zeros((height, width), np.float64)  # 1 / depth: it goes evenly over the picture
    for t in range(len(triangles)):
        a, b, c = pixels[triangles[t, 0]], pixels[triangles[t, 1]], pixels[triangles[t, 2]]
        if a[2] <= 0 or b[2] <= 0 or c[2] <= 0:
            continue
        area = (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])
        if abs(area) < 1e-12:
            continue
        left = max(0, int(np.ceil(min(a[0], b[0], c[0]))))
        right = min(width - 1, int(np.floor(max(a[0], b[0], c[0]))))
        top = max(0, int(np.ceil(min(a[1], b[1], c[1]))))
        bottom = min(height - 1, int(np.floor(max(a[1], b[1], c[1]))))
        for y in range(top, bottom + 1):
            for x in range(left, right + 1):
                v = ((x - a[0]) * (c[1] - a[1]) - (y - a[1]) * (c[0] - a[0])) / area
                w = ((b[0] - a[0]) * (y - a[1]) - (b[1] - a[1]) * (x - a[0])) / area
                if v < -1e-9 or w < -1e-9 or v + w > 1 + 1e-9:
                    continue
                near = (1 - v - w) / a[2] + v / b[2] + w / c[2]
                if near > nearest[y, x]:
                    nearest[y, x] = near
                    found[y, x] = t
                    weights[y, x, 0] = v / b[2] / near
                    weights[y, x, 1] = w / c[2] / near
    return found, weights


@compiled
def _at(image: Floats32, x: float, y: float) -> float:
    """Between texels, the edge going on."""
    size = image.shape[0]
    x = min(max(x, 0.0), size - 1.0)
    y = min(max(y, 0.0), size - 1.0)
    left, top = min(int(x), size - 2), min(int(y), size - 2)
    right, below = x - left, y - top
    above = image[top, left] * (1 - right) + image[top, left + 1] * right
    under = image[top + 1, left] * (1 - right) + image[top + 1, left + 1] * right
    return float(above * (1 - below) + under * below)


@compiled
def _leaning(normal: Floats, edge_1: Floats, edge_2: Floats, slope_1: float, slope_2: float) -> Floats:
    """(3,) a normal that leans away from heights which rise by slopes (mm) along two edges (mm) of the surface."""
    g11 = edge_1 @ edge_1
    g12 = edge_1 @ edge_2
    g22 = edge_2 @ edge_2
    determinant = g11 * g22 - g12 * g12
    if determinant <= 1e-9 * g11 * g22:
        return normal
    along_1 = (g22 * slope_1 - g12 * slope_2) / determinant
    along_2 = (g11 * slope_2 - g12 * slope_1) / determinant
    gradient = along_1 * edge_1 + along_2 * edge_2
    length = np.sqrt(gradient @ gradient)
    if length > 1.5:  # what a map has of a scan's errors is no cliff
        gradient = gradient * (1.5 / length)
    out = normal - gradient
    return out / np.sqrt(out @ out)


@compiled
def _shaded(
    seen: tuple[Ints32, Floats32],
    surface: tuple[Floats, Ints32, Floats, NDArray[np.floating]],
    over: tuple[Floats32, Floats32, Image],
    lights: tuple[Floats, Floats, Floats],
    out: Floats32,
) -> None:
    """Light of each pixel into out (H, W, 3).

    seen: as `_rasterised` gives it.  surface: vertices, triangles, normals of the vertices, of the triangles.
    over: UVs of the corners, heights, texture.  lights: directions (n, 3), strengths (n,), where the camera is (3,).
    """
    found, weights = seen
    vertices, triangles, normals, cross = surface
    corners, heights, texture = over
    directions, strengths, towards = lights
    size = heights.shape[0]
    colours = texture.shape[0]
    for y in range(found.shape[0]):
        for x in range(found.shape[1]):
            t = found[y, x]
            if t < 0:
                continue
            i, j, k = triangles[t, 0], triangles[t, 1], triangles[t, 2]
            v, w = float(weights[y, x, 0]), float(weights[y, x, 1])
            u = 1 - v - w
            normal = u * normals[i] + v * normals[j] + w * normals[k]
            length = np.sqrt(normal @ normal)
            normal = normal / length if length > 1e-9 else cross[t] / max(np.sqrt(cross[t] @ cross[t]), 1e-12)
            s = u * corners[t, 0, 0] + v * corners[t, 1, 0] + w * corners[t, 2, 0]
            r = u * corners[t, 0, 1] + v * corners[t, 1, 1] + w * corners[t, 2, 1]
            if size > 2:
                px, py = s * size - 0.5, r * size - 0.5
                rise_x = 0.5 * (_at(heights, px + 1, py) - _at(heights, px - 1, py)) * size
                rise_y = 0.5 * (_at(heights, px, py + 1) - _at(heights, px, py - 1)) * size
                slope_1 = rise_x * (corners[t, 1, 0] - corners[t, 0, 0]) + rise_y * (
                    corners[t, 1, 1] - corners[t, 0, 1]
                )
                slope_2 = rise_x * (corners[t, 2, 0] - corners[t, 0, 0]) + rise_y * (
                    corners[t, 2, 1] - corners[t, 0, 1]
                )
                normal = _leaning(normal, vertices[j] - vertices[i], vertices[k] - vertices[i], slope_1, slope_2)
            if normal @ towards < 0:  # the inside of a mouth, a sheet seen from behind
                normal = normal - 2 * (normal @ towards) * towards
            light, gloss = _AMBIENT, 0.0
            for n in range(len(strengths)):
                facing = normal @ directions[n]
                if facing > 0:
                    light += strengths[n] * facing
                    half = directions[n] + towards
                    gloss += strengths[n] * max(0.0, normal @ half / np.sqrt(half @ half)) ** _SHARP
            row = min(max(int(r * colours), 0), colours - 1)
            column = min(max(int(s * colours), 0), colours - 1)
            for channel in range(3):
                colour = texture[row, column, channel]
                out[y, x, channel] = min(255.0, colour * light + 255.0 * _GLOSS * gloss)
