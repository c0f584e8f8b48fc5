"""Surface refinement: the fused surface is moved along its normals to where the photographs agree.

This brings out detail smaller than the matching window.
"""

from concurrent.futures import Executor
from dataclasses import dataclass, replace

import cv2
import numpy as np

from common.array_types import Gray, Ints32, Ints64
from processing.geometry.cameras import Camera
from processing.geometry.mesh import Mesh
from processing.reconstruction.bounded_map import bounded_map
from processing.reconstruction.compiled_kernels.vertex_moves import add_moves, find_facing, find_moves
from processing.reconstruction.depth_maps import MARGIN_PX
from processing.reconstruction.image_regions import TILE_PIXELS, Region, bands
from processing.reconstruction.stereo_matching import DepthSearch
from processing.reconstruction.stereo_views import TILE_HALO_PX, StereoViews
from processing.reconstruction.surface_reconstruction import RenderedSurface, SurfaceVertices, clipped_region, filled

STEP_PX = 0.2  # disparity between the positions that are compared
REACH = 2  # of them to either side
LEAST_COSINE = 0.3  # a view that sees a vertex less squarely does not move it
STEEP = 4.0  # a window in which the depth ranges over more than so many footprints a pixel holds a step, not a slope
SEEN_PX = 1.5  # a vertex within so many footprints of the rendered depth is seen
SMOOTH_PX = 1.6  # standard deviation of the Gaussian over a view's offsets
SHARED = 2.0  # by which the scatter of views that share photographs is too small


@dataclass(frozen=True, eq=False)
class Correction:
    """What one view would change of the depth that was rendered, all (h, w) of a region."""

    camera: Camera
    region: Region
    #: As rendered, mm.
    depth: Gray
    #: Of the depth, mm.
    offset: Gray
    weight: Gray


def refine_surface(mesh: Mesh, outline: Ints32, stereo: StereoViews, pool: Executor) -> Mesh:
    """The surface with each vertex moved along its normal by the mean of what the views that see it ask for.

    outline: (T, 3) triangles between some of the vertices that show the same surface; they are what is drawn.

    Each view correlates windows that follow the rendered surface with its neighbours, a fraction of a pixel before and
    behind it, and what is found adds to the surface: detail smaller than the window, of which a match returns a share,
    comes back with each pass, and noise is averaged over all views (photo-consistent refinement after Beeler et al.
    2010, section 3.4, and Vu et al. 2012, section 5).
    """
    surface = RenderedSurface(Mesh(mesh.vertices_mm[: outline.max() + 1], outline))
    vertices = SurfaceVertices.of(mesh)
    # Of weights, their squares, weighted moves, weighted squared moves.
    sums = np.zeros((len(vertices.positions), 4), np.float32)
    views = list(stereo.depth_views)
    for found in bounded_map(
        pool, lambda i: _view_moves(stereo, i, surface, vertices), views, 2 * stereo.settings.threads
    ):
        if found is not None:
            add_moves(*found, sums)
    move = agreed_move(*sums.T)
    return replace(mesh, vertices_mm=mesh.vertices_mm + (move[:, None] * vertices.normals).astype(np.float64))


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


def _view_moves(
    stereo: StereoViews, i: int, surface: RenderedSurface, vertices: SurfaceVertices
) -> tuple[Ints64, Gray, Gray] | None:
    """Which vertices view i moves, by how much (mm) along their normals, and with what weight; tile by tile."""
    camera = stereo.pyramids[i].levels[0][1]
    facing = vertices_facing(camera, vertices)
    region = facing.region(camera, MARGIN_PX)
    if region is None:
        return None
    tolerance = SEEN_PX * stereo.volume.footprint_mm
    found = []
    for band in bands(region.shape, TILE_PIXELS, TILE_HALO_PX):
        top, bottom = region.y0 + band.kept.start, region.y0 + band.kept.stop
        asked = correction(stereo, i, surface, region.band(band.around))
        if asked is not None:
            found.append(moves(asked, facing.between(top, bottom), tolerance))
    if not found:
        return None
    index, move, share = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return index, move, share


@dataclass(frozen=True, eq=False)
class FacingVertices:
    """Vertices that face a view."""

    #: (n,) among all vertices.
    index: Ints64
    #: (4, n) pixel x and y, depth (mm), and how far a unit of depth moves the surface along the normal (negative).
    seen: Gray

    def region(self, camera: Camera, margin: int) -> Region | None:
        """The rectangle of the image in which they and a margin lie."""
        if len(self.index) == 0:
            return None
        x, y = self.seen[:2]
        bounds = float(y.min()), float(y.max()), float(x.min()), float(x.max())
        return clipped_region(bounds, margin, camera.height, camera.width)

    def between(self, top: int, bottom: int) -> "FacingVertices":
        """Those seen at rows top <= y < bottom."""
        keep = (self.seen[1] >= top) & (self.seen[1] < bottom)
        return self if keep.all() else FacingVertices(self.index[keep], np.compress(keep, self.seen, axis=1))


def vertices_facing(camera: Camera, vertices: SurfaceVertices) -> FacingVertices:
    """The vertices that face a pinhole camera squarely enough."""
    count = len(vertices.positions)
    index, seen = np.empty(count, np.int64), np.empty((4, count), np.float32)
    found = find_facing(
        np.ascontiguousarray(vertices.positions),
        np.ascontiguousarray(vertices.normals),
        vertices.lever,
        (camera.K @ camera.R).astype(np.float32),
        camera.centre.astype(np.float32),
        LEAST_COSINE,
        index,
        seen,
    )
    return FacingVertices(index[:found].copy(), seen[:, :found].copy())


def correction(stereo: StereoViews, i: int, surface: RenderedSurface, region: Region) -> Correction | None:
    """What a region of view i would change of the surface, or None where it sees nothing of it."""
    image, camera = stereo.pyramids[i].levels[0]
    cut = surface.depth(camera, region)
    if not np.isfinite(cut).any():
        return None
    others = [stereo.pyramids[j].near(stereo.volume.footprint_mm) for j in stereo.neighbours[i]]
    depth = filled(cut)
    pixel = float(camera.depth(stereo.volume.centre_mm[None])[0] / camera.K[0, 0])
    step = STEP_PX * pixel / stereo.parallax[i]
    window = stereo.settings.detail_window
    pixels = region.of(image)
    search = DepthSearch(step, REACH, window, stereo.settings.best)
    moved, score = stereo.kernels.refine(pixels, camera, others, depth, search)
    offset = moved - depth
    within = np.ones((window, window), np.uint8)
    even = cv2.dilate(depth, within) - cv2.erode(depth, within) < STEEP * window * pixel
    known = cv2.erode(np.isfinite(cut).astype(np.uint8), within) > 0
    sure = np.abs(offset) < (REACH - 0.01) * step
    weight = np.where(even & known & sure, np.square(np.maximum(score - np.float32(0.2), 0)), 0).astype(np.float32)
    share = cv2.GaussianBlur(weight, (0, 0), SMOOTH_PX)
    offset = cv2.GaussianBlur(weight * offset, (0, 0), SMOOTH_PX) / np.maximum(share, np.float32(1e-6))
    return Correction(camera, region, cut, offset, np.where(known & even, share, 0).astype(np.float32))


def moves(found: Correction, facing: FacingVertices, tolerance_mm: float) -> tuple[Ints64, Gray, Gray]:
    """Which of the vertices that face a view it sees, how far (mm) each moves along its normal and with what weight.

    tolerance_mm: how far a vertex may lie from the rendered depth.
    """
    first = np.array([found.region.x0, found.region.y0, 0, 0], np.float32)
    moved, move = np.empty_like(facing.index), np.empty((2, len(facing.index)), np.float32)
    count = find_moves(
        facing.index,
        np.ascontiguousarray(facing.seen - first[:, None]),
        found.depth,
        found.offset,
        found.weight,
        tolerance_mm,
        moved,
        move,
    )
    return moved[:count], move[0, :count], move[1, :count]
