"""Detail below the matching window: the fused surface is moved along its normals to where the photographs agree."""

from concurrent.futures import Executor
from dataclasses import dataclass, replace

import cv2
import numpy as np

from processing.cameras import Camera
from processing.mesh import Mesh
from processing.reconstruction.depth_maps import Rig
from processing.reconstruction.matching import Region
from processing.reconstruction.settings import Gray
from processing.reconstruction.surface import RenderedSurface, filled, grown_region, vertex_normals

STEP_PX = 0.2  # disparity between the positions that are compared
REACH = 2  # of them to either side
MARGIN_PX = 4  # beyond the surface's outline
LEAST_COSINE = 0.3  # a view that sees a vertex less squarely does not move it
STEEP = 4.0  # a window in which the depth ranges over more than so many footprints a pixel holds a step, not a slope
SEEN_PX = 1.5  # a vertex within so many footprints of the rendered depth is seen
SMOOTH_PX = 1.6  # standard deviation of the Gaussian over a view's offsets
SHARED = 2.0  # by which the scatter of views that share photographs is too small
BATCH = 4  # views whose corrections are held at a time


@dataclass(frozen=True, eq=False)
class Correction:
    """What one view would change: offset of the depth (mm) and its weight, beside the depth that was rendered."""

    camera: Camera
    region: Region
    depth: Gray
    offset: Gray
    weight: Gray


def refine_surface(mesh: Mesh, rig: Rig, pool: Executor) -> Mesh:
    """The surface with each vertex moved along its normal by the mean of what the views that see it ask for.

    Each view correlates windows that follow the rendered surface with its neighbours, a fraction of a pixel before and
    behind it, and what is found adds to the surface: detail smaller than the window, of which a match returns a share,
    comes back with each pass, and noise is averaged over all views (photo-consistent refinement after Beeler et al.
    2010, section 3.4, and Vu et al. 2012, section 5).
    """
    surface = RenderedSurface(mesh)
    vertices = mesh.vertices_mm.astype(np.float32)
    normals = vertex_normals(mesh)
    sums = np.zeros((4, len(vertices)), np.float32)  # of weights, their squares, weighted moves, weighted squared moves
    views = list(rig.depth_views)
    for start in range(0, len(views), BATCH):
        for found in pool.map(lambda i: _asked(rig, i, surface, vertices, normals), views[start : start + BATCH]):
            if found is not None:
                index, move, share = found
                for row, term in enumerate((share, share * share, share * move, share * move * move)):
                    sums[row, index] += term
    move = agreed_move(*sums)
    return replace(mesh, vertices_mm=mesh.vertices_mm + (move[:, None] * normals).astype(np.float64))


def agreed_move(weight: Gray, squares: Gray, moves: Gray, moves_squared: Gray) -> Gray:
    """(V,) the weighted mean of the views' moves, mm, shrunk where they scatter more than they move.

    All (V,): sums over the views of w, w^2, w m and w m^2. With e the standard error of the mean (neighbouring views
    share photographs, so it is taken for twice as many squares), the mean m is worth m^2 / (m^2 + e^2) (Wiener's
    filter). A vertex that fewer than two views see stays.
    """
    w = np.maximum(weight, np.float32(1e-9))
    mean = moves / w
    scatter = np.maximum(moves_squared / w - mean * mean, 0)
    views = w * w / np.maximum(squares, np.float32(1e-12))
    error = SHARED * scatter / np.maximum(views - 1, np.float32(1e-3))
    worth = mean * mean / (mean * mean + error + np.float32(1e-12))
    return np.asarray(np.where(views > 1.5, mean * worth, 0), dtype=np.float32)


def _asked(
    rig: Rig, i: int, surface: RenderedSurface, vertices: Gray, normals: Gray
) -> tuple[np.ndarray, Gray, Gray] | None:
    found = correction(rig, i, surface)
    return None if found is None else moves(found, vertices, normals, SEEN_PX * rig.volume.footprint_mm)


def correction(rig: Rig, i: int, surface: RenderedSurface) -> Correction | None:
    """What view i would change of the surface, or None where it sees nothing of it."""
    image, camera = rig.pyramids[i].levels[0]
    whole = surface.depth(camera)
    region = grown_region(whole, MARGIN_PX)
    if region is None:
        return None
    others = [rig.pyramids[j].near(rig.volume.footprint_mm) for j in rig.neighbours[i]]
    cut = np.ascontiguousarray(whole[region.y0 : region.y1, region.x0 : region.x1])
    depth = filled(cut)
    pixel = float(camera.depth(rig.volume.centre_mm[None])[0] / camera.K[0, 0])
    step = STEP_PX * pixel / rig.parallax[i]
    window = rig.settings.detail_window
    moved, score = rig.kernels.refine(image, camera, others, depth, region, step, REACH, window, rig.settings.best)
    offset = moved - depth
    within = np.ones((window, window), np.uint8)
    even = cv2.dilate(depth, within) - cv2.erode(depth, within) < STEEP * window * pixel
    known = cv2.erode(np.isfinite(cut).astype(np.uint8), within) > 0
    sure = np.abs(offset) < (REACH - 0.01) * step
    weight = np.where(even & known & sure, np.square(np.maximum(score - np.float32(0.2), 0)), 0).astype(np.float32)
    share = cv2.GaussianBlur(weight, (0, 0), SMOOTH_PX)
    offset = cv2.GaussianBlur(weight * offset, (0, 0), SMOOTH_PX) / np.maximum(share, np.float32(1e-6))
    return Correction(camera, region, cut, offset, np.where(known & even, share, 0).astype(np.float32))


def moves(found: Correction, vertices: Gray, normals: Gray, tolerance_mm: float) -> tuple[np.ndarray, Gray, Gray]:
    """Which vertices the view sees, how far (mm) each moves along its normal and with what weight.

    vertices, normals: (V, 3).  tolerance_mm: how far a vertex may lie from the rendered depth.
    """
    camera, region = found.camera, found.region
    from_camera = vertices - camera.centre.astype(np.float32)
    z = from_camera @ camera.R[2].astype(np.float32)
    along = np.einsum("nk,nk->n", from_camera, normals)
    front = np.flatnonzero(along < -LEAST_COSINE * z)
    ray, z = from_camera[front], z[front]
    pixel = ray @ (camera.K @ camera.R).T.astype(np.float32) / z[:, None]
    x, y = pixel[:, 0] - np.float32(region.x0), pixel[:, 1] - np.float32(region.y0)
    height, width = region.shape
    inside = (x > 0) & (y > 0) & (x < width - 1) & (y < height - 1)
    front, x, y, z = front[inside], x[inside], y[inside], z[inside]
    nearest = (y + 0.5).astype(np.int32), (x + 0.5).astype(np.int32)
    slope = along[front] / z  # how far a unit of depth moves the surface along its normal
    seen = (np.abs(found.depth[nearest] - z) < tolerance_mm / -slope) & (found.weight[nearest] > 0)
    front, x, y, slope = front[seen], x[seen], y[seen], slope[seen]
    x0, y0 = x.astype(np.int32), y.astype(np.int32)
    fx, fy = x - x0, y - y0
    o = found.offset
    offset = (o[y0, x0] * (1 - fx) + o[y0, x0 + 1] * fx) * (1 - fy) + (
        o[y0 + 1, x0] * (1 - fx) + o[y0 + 1, x0 + 1] * fx
    ) * fy
    return front, offset * slope, found.weight[nearest][seen] * slope * slope
