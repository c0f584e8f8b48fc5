"""Vertex colours from the photographs: exposures evened out, the squarest views first, disagreeing ones discounted."""

from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from common.array_types import Floats, Floats32, Gray, Image
from processing.geometry.cameras import Camera
from processing.geometry.image_sampling import sample_image
from processing.geometry.lens_distortion import distort
from processing.geometry.mesh import Mesh
from processing.photometry.exposure_gains import Gains, solve_gains
from processing.reconstruction.bounded_map import bounded_map
from processing.reconstruction.colour_slots import ColourSlots
from processing.reconstruction.depth_fusion import DepthMap
from processing.reconstruction.surface_reconstruction import SurfaceVertices

SAMPLE = 20_000  # vertices on which exposures are compared
LEAST = 50  # of them a view must share with others


@dataclass(frozen=True, eq=False)
class ColourView:
    """A photograph, its camera, and what it sees."""

    #: The photograph (BGR, as taken) is images[at], which may have to be decoded.
    images: Sequence[Image]
    at: int
    #: With distortion.
    camera: Camera
    depth: DepthMap


def _seen_colours(
    view: ColourView, vertices: SurfaceVertices, tolerance_mm: float
) -> tuple[NDArray[np.intp], Gray, Gray, Gray]:
    """Which vertices a view sees, their weights, their RGB (n, 3) float32 there, and their squared distances from the
    picture's centre, 1 at its corners.
    """
    seen_at = view.depth.camera
    index, along, _ = vertices.facing(seen_at, 0.2)
    cosine = -along / np.linalg.norm(vertices.positions[index] - seen_at.centre.astype(np.float32), axis=1)
    index, cosine = index[cosine > 0.2], cosine[cosine > 0.2]
    in_camera = vertices.positions[index] @ seen_at.R.T.astype(np.float32) + seen_at.t.astype(np.float32)
    x = in_camera[:, 0] / in_camera[:, 2]
    y = in_camera[:, 1] / in_camera[:, 2]
    K, region = seen_at.K, view.depth.region
    at = np.empty((len(x), 2), np.float32)
    at[:, 0], at[:, 1] = K[0, 0] * x + K[0, 1] * y + K[0, 2] - region.x0, K[1, 1] * y + K[1, 2] - region.y0
    depth = sample_image(view.depth.depth, at, outside=float("nan"), nearest=True)
    seen = np.abs(depth - in_camera[:, 2]) < tolerance_mm / np.maximum(cosine, 0.3)
    index, cosine, x, y = index[seen], cosine[seen], x[seen].astype(np.float64), y[seen].astype(np.float64)
    pixels = _distorted(view.camera, x, y)
    image = view.images[view.at]
    rgb = sample_image(image, pixels, outside=0)[:, ::-1]
    height, width = image.shape[:2]
    inside = (pixels[:, 0] > 0) & (pixels[:, 1] > 0) & (pixels[:, 0] < width - 1) & (pixels[:, 1] < height - 1)
    index, cosine, rgb = index[inside], cosine[inside], rgb[inside]
    radius2 = ((pixels[inside, 0] + 0.5 - width / 2) ** 2 + (pixels[inside, 1] + 0.5 - height / 2) ** 2) / (
        (width * width + height * height) / 4
    )
    return index, (cosine**4).astype(np.float32), rgb, radius2


def _distorted(camera: Camera, x: Floats, y: Floats) -> Floats32:
    """(N,) normalised coordinates -> (N, 2) pixels, with distortion."""
    xd, yd = distort(x, y, camera.distortion)
    K = camera.K
    pixels = np.empty((len(x), 2), np.float32)
    pixels[:, 0], pixels[:, 1] = K[0, 0] * xd + K[0, 1] * yd + K[0, 2], K[1, 1] * yd + K[1, 2]
    return pixels


def exposure_gains(views: Sequence[ColourView], vertices: SurfaceVertices, tolerance_mm: float) -> Gains:
    """What brings the photographs' RGB to a common exposure, colour and evenness, from vertices that several see."""
    count = len(vertices.positions)
    pick = np.linspace(0, count - 1, min(SAMPLE, count)).astype(np.intp)
    some = vertices.at(pick)
    log = np.full((len(views), len(pick), 3), np.nan, np.float32)
    radius2 = np.full(log.shape[:2], np.nan, np.float32)
    for v, view in enumerate(views):
        index, _, rgb, r2 = _seen_colours(view, some, tolerance_mm)
        usable = ((rgb > 8) & (rgb < 247)).all(axis=1)
        log[v, index[usable]] = np.log(rgb[usable])
        radius2[v, index[usable]] = r2[usable]
    return solve_gains(log, radius2, least=LEAST)


def vertex_colors(
    mesh: Mesh, views: Sequence[ColourView], tolerance_mm: float, pool: Executor, ahead: int
) -> NDArray[np.uint8]:
    """(V, 3) RGB. Vertices that no view sees take the colour of their neighbours on the surface.

    tolerance_mm: how far a vertex may lie from a view's depth map to count as seen by it.  ahead: how many views
    may be looked at ahead of the one that is blended.
    """
    vertices = SurfaceVertices.of(mesh)
    gains = exposure_gains(views, vertices, tolerance_mm)
    slots = ColourSlots(len(vertices.positions))

    def seen(v: int) -> tuple[NDArray[np.intp], Gray, Gray, Floats]:
        index, weight, rgb, radius2 = _seen_colours(views[v], vertices, tolerance_mm)
        return index, weight, rgb, gains.factors(v, radius2.astype(np.float64))

    for shown in bounded_map(pool, seen, range(len(views)), ahead):
        slots.offer(*shown)
    return _spread_colors(mesh, slots.blended(), slots.weights.max(axis=1) > 0)


def _spread_colors(mesh: Mesh, colors: Gray, known: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Let known colours flow along the edges into unknown vertices until none is left, or 200 rings."""
    colors, known = colors.copy(), known.copy()
    t = mesh.triangles[~known[mesh.triangles].all(axis=1)]
    edges = np.concatenate([t[:, [0, 1]], t[:, [1, 2]], t[:, [2, 0]]])
    edges = np.concatenate([edges, edges[:, ::-1]])
    edges = edges[~known[edges[:, 0]]]
    for _ in range(200):
        into = edges[known[edges[:, 1]]]
        if len(into) == 0:
            break
        targets, inverse, number = np.unique(into[:, 0], return_inverse=True, return_counts=True)
        for k in range(3):
            colors[targets, k] = np.bincount(inverse, weights=colors[into[:, 1], k]) / number
        known[targets] = True
        edges = edges[~known[edges[:, 0]]]
    return np.asarray(np.clip(colors + 0.5, 0, 255), dtype=np.uint8)
