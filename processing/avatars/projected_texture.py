"""A photograph laid on a head's UVs: the colour of each texel that it shows, and how well it shows it."""

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from common.array_types import Bools, Floats, Floats32, Image
from processing.errors import ShapeError
from processing.geometry.cameras import Camera
from processing.geometry.image_sampling import sample_image
from processing.geometry.mesh import Mesh, Surface
from processing.geometry.uv_rasterization import Texels

# Cosines between the normal and the sight: from where a place is smeared, to where it is seen well.
SMEARED, SEEN_WELL = 0.25, 0.5
_START_MM = 0.4  # before the surface, where sights begin
_EDGE_TEXELS = 3  # at 1024: an occluder's edge, where a small error fetches another surface
_BORDER_PX = 3.0  # of the picture


@dataclass(frozen=True, eq=False)
class ProjectedTexture:
    """Over S x S texels, row 0 is v = 1."""

    colours: Floats32  # (S, S, 3) BGR 0..255
    trust: Floats32  # (S, S) 0..1; 0 where the photograph shows nothing of the texel


def project_photograph(
    mesh: Mesh, camera: Camera, image: Image, texels: Texels, usable: Bools | None = None
) -> ProjectedTexture:
    """mesh: the head as photographed, in the camera's world, with UVs.  image: (H, W, 3) BGR.

    usable: (H, W) pixels that show the head itself, not what lies before it. Raises ShapeError.
    """
    if image.shape != (camera.height, camera.width, 3):
        raise ShapeError("image", image.shape, f"({camera.height}, {camera.width}, 3)")
    if usable is not None and usable.shape != image.shape[:2]:
        raise ShapeError("usable", usable.shape, str(image.shape[:2]))
    points = texels.interpolate(mesh, mesh.vertices_mm).astype(np.float64)
    normals = texels.interpolate(mesh, mesh.vertex_normals).astype(np.float64)
    normals /= np.linalg.norm(normals, axis=1, keepdims=True).clip(1e-9)
    towards = camera.centre - points
    towards /= np.linalg.norm(towards, axis=1, keepdims=True)
    cosine = np.einsum("nd,nd->n", normals, towards)
    pixels = np.full((len(points), 2), -1.0)
    front = np.flatnonzero(cosine > SMEARED)
    pixels[front] = camera.project(points[front])
    margin = np.minimum(pixels, [camera.width - 1, camera.height - 1] - pixels).min(axis=1)
    front = front[margin[front] > 0]
    clear = np.zeros(len(points), np.float32)
    hit, _, _ = Surface(mesh).cast(points[front] + _START_MM * normals[front], towards[front])
    clear[front] = ~np.isfinite(hit)
    trust = _step((cosine - SMEARED) / (SEEN_WELL - SMEARED)) * (margin / _BORDER_PX).clip(0, 1)
    trust = (trust * _without_edges(texels, clear)).astype(np.float32)
    if usable is not None and len(front):
        soft = cv2.GaussianBlur(usable.astype(np.float32), (0, 0), 1.0)
        trust[front] *= _step((sample_image(soft, pixels[front]) - 0.5) / 0.4).astype(np.float32)
    colours = np.zeros((len(points), 3), np.float32)
    some = np.flatnonzero(trust > 0)
    if len(some):
        colours[some] = sample_image(_as_fine(image, pixels, texels, some), pixels[some])
    return ProjectedTexture(np.asarray(texels.image(colours), np.float32), np.asarray(texels.image(trust), np.float32))


def _without_edges(texels: Texels, clear: Floats32) -> Floats32:
    """(N,) what is clear, less a margin to what is hidden."""
    reach = max(1, round(_EDGE_TEXELS * texels.size_px / 1024))
    whole: Any = texels.image(clear, background=1.0)
    picture = cv2.erode(whole, np.ones((2 * reach + 1, 2 * reach + 1), np.uint8))
    picture = cv2.blur(picture, (2 * reach + 1, 2 * reach + 1))
    return np.asarray(picture.ravel()[texels.index] * clear, np.float32)


def _as_fine(image: Image, pixels: Floats, texels: Texels, some: np.ndarray) -> Image:
    """The photograph no finer than the texels: what lies between them would be noise."""
    beside = np.flatnonzero(np.diff(texels.index[some]) == 1)  # texels whose right neighbour is there, too
    steps = np.linalg.norm(pixels[some][beside + 1] - pixels[some][beside], axis=1)
    step = float(np.median(steps)) if len(steps) else 1.0
    return image if step < 1.5 else np.asarray(cv2.GaussianBlur(image, (0, 0), 0.4 * step), np.uint8)


def _step(value: NDArray[np.floating[Any]]) -> Floats:
    t = value.clip(0, 1)
    return np.asarray(t * t * (3 - 2 * t))
