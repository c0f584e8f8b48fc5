"""From the coarsest sweep to full depth maps: levels, the surface between them, and what each view starts from."""

from collections.abc import Callable
from concurrent.futures import Executor

import cv2
import numpy as np

from common.array_types import Gray
from common.progress import Progress
from processing.errors import ReconstructionError
from processing.geometry.cameras import Camera
from processing.geometry.working_volume import Volume
from processing.reconstruction.bounded_map import bounded_map
from processing.reconstruction.depth_fusion import (
    NO_POINTS,
    DepthMap,
    OrientedPoints,
    agreement,
    concatenated,
    merge_points,
    oriented_points,
)
from processing.reconstruction.image_regions import TILE_PIXELS, Band, Region, bands
from processing.reconstruction.stereo_matching import DepthSearch, own_detail
from processing.reconstruction.stereo_views import TILE_HALO_PX, Maps, StereoViews
from processing.reconstruction.surface_reconstruction import (
    RenderedSurface,
    clipped_region,
    filled,
    known_bounds,
    near_points,
    surface_through,
)
from processing.reconstruction.wider_search import search_wider

SWEEP_STEP_PX = 0.75  # disparity between planes of the sweep
# (step in px of disparity, steps to either side) of each pass ...
FROM_SURFACE = ((0.45, 4), (0.22, 3))  # ... after a new surface
FROM_DEPTH = ((0.4, 3), (0.2, 2))  # ... after a coarser level of the same view
CARRIED_SCORE = 0.6  # of a depth that no other view confirms, from which the next level still starts
PENDING_POINTS = 2_000_000  # held before they are merged
MARGIN_PX = 4  # beyond the surface's outline
SURFACE_CELL_PX = 1.1  # side of the cells of the surfaces between levels, in footprints of their level
SURFACE_BELOW_SIDE = 400  # a level whose photographs are smaller than this (longer side) ends in a new common surface
GROWN = np.ones((2 * MARGIN_PX + 1, 2 * MARGIN_PX + 1), np.uint8)


def sweep_all(stereo: StereoViews, footprint_mm: float, pool: Executor) -> Maps:
    """Depth maps of the coarsest level by plane sweep through the whole volume."""

    def one(i: int) -> DepthMap:
        image, camera = stereo.seen(i, footprint_mm)
        others = stereo.others(i, footprint_mm)
        nearest, farthest = stereo.volume.depth_range(camera)
        pixel = float(camera.depth(stereo.volume.centre_mm[None])[0] / camera.K[0, 0])
        steps = int(np.ceil((farthest - nearest) / (SWEEP_STEP_PX * pixel / stereo.parallax[i]))) + 1
        planes = 1 / np.linspace(1 / nearest, 1 / farthest, min(max(steps, 8), 256))
        depth, score = stereo.kernels.sweep(image, camera, others, planes, stereo.settings.window, stereo.settings.best)
        keep = (score > stereo.settings.min_score) & own_detail(image, stereo.settings.window)
        region = Region(0, image.shape[0], 0, image.shape[1])
        return DepthMap(camera, region, depth, score.clip(0, 1)).masked(keep)

    return dict(zip(stereo.depth_views, pool.map(one, stereo.depth_views), strict=True))


def refine_all(
    stereo: StereoViews,
    footprint_mm: float,
    surface: RenderedSurface,
    before: Maps | None,
    pool: Executor,
    done: Callable[[], None],
) -> Maps:
    """Depth maps at the level with such pixels, from the surface or, where given, from the coarser maps `before`."""

    def one(i: int) -> DepthMap | None:
        image, camera = stereo.seen(i, footprint_mm)
        region = surface.region(camera, MARGIN_PX) if before is None else _finer_region(before[i], camera)
        if region is None:
            return None
        pixel = float(camera.depth(stereo.volume.centre_mm[None])[0] / camera.K[0, 0])
        others = stereo.others(i, footprint_mm)
        passes = FROM_SURFACE if before is None else FROM_DEPTH
        depth, score = stereo.scratch.full(region.shape, np.nan), stereo.scratch.full(region.shape, 0.0)
        for band in bands(region.shape, TILE_PIXELS, TILE_HALO_PX):
            part = region.band(band.around)
            start = surface.depth(camera, part) if before is None else _finer(before[i], camera, part)
            known = cv2.dilate((~np.isnan(start)).astype(np.uint8), GROWN) > 0
            if not known.any():
                continue
            pixels, at = part.of(image), filled(start)
            for disparity, reach in passes:
                step = disparity * pixel / stereo.parallax[i]
                search = DepthSearch(step, reach, stereo.settings.window, stereo.settings.best)
                at, value = stereo.kernels.refine(pixels, camera, others, at, search)
                at = smoothed(at, value, 3 * step)
            keep = known & (value > stereo.settings.min_score) & own_detail(pixels.grey, stereo.settings.window)
            depth[band.kept] = np.where(keep, at, np.float32(np.nan))[band.within]
            score[band.kept] = value.clip(0, 1)[band.within]
        done()
        return DepthMap(camera, region, depth, score)

    maps = zip(stereo.depth_views, pool.map(one, stereo.depth_views), strict=True)
    return {i: m for i, m in maps if m is not None}


def _finer_region(coarse: DepthMap, camera: Camera) -> Region | None:
    """The rectangle of a finer level's image that a depth map and a margin fill."""
    bounds = known_bounds(coarse.depth)
    if bounds is None:
        return None
    sy, sx = camera.height / coarse.camera.height, camera.width / coarse.camera.width
    y0, y1, x0, x1 = bounds
    top, left = coarse.region.y0, coarse.region.x0
    fine = (y0 + top) * sy, (y1 + top + 1) * sy - 1, (x0 + left) * sx, (x1 + left + 1) * sx - 1
    return clipped_region(fine, MARGIN_PX, camera.height, camera.width)


def _finer(coarse: DepthMap, camera: Camera, region: Region) -> Gray:
    """(h, w) a coarser level's depth at the pixels of a finer one, NaN where unknown."""
    x = ((region.x + 0.5) * (coarse.camera.width / camera.width) - 0.5 - coarse.region.x0).astype(np.float32)
    y = ((region.y + 0.5) * (coarse.camera.height / camera.height) - 0.5 - coarse.region.y0).astype(np.float32)
    mx, my = (np.ascontiguousarray(np.broadcast_to(m, region.shape)) for m in (x, y))
    nan = float("nan")
    return np.asarray(
        cv2.remap(coarse.depth, mx, my, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=nan),
        dtype=np.float32,
    )


def smoothed(depth: Gray, score: Gray, limit_mm: float) -> Gray:
    """Outliers take the median of 5 x 5, then a Gaussian weighted by score; edges deeper than limit_mm stay."""
    middle = cv2.medianBlur(depth, 5)
    calm = np.where(np.abs(depth - middle) < limit_mm, depth, middle)
    weight = np.square(np.maximum(score - np.float32(0.2), 0)) + np.float32(1e-6)
    mean = cv2.GaussianBlur(weight * calm, (0, 0), 1.0) / cv2.GaussianBlur(weight, (0, 0), 1.0)
    return np.asarray(np.where(np.abs(mean - calm) < limit_mm, mean, calm), dtype=np.float32)


def fuse(
    stereo: StereoViews,
    maps: Maps,
    tolerance_mm: float,
    least: int,
    cell_mm: float,
    smooth: int,
    overlap: float,
    pool: Executor,
) -> OrientedPoints:
    """Merged oriented points of all depths that at least `least` other views confirm.

    Where there are none within two cells, of those too that one other view confirms and no other sees past.
    overlap: a surface point seen by many views is kept from about so many of them (thinned the same way each time).
    """

    def part(job: tuple[int, Band]) -> tuple[OrientedPoints, OrientedPoints]:
        i, band = job
        m, others = maps[i].band(band.around), [maps[j] for j in stereo.near[i] if j in maps]
        found = agreement(m, others, tolerance_mm)
        sure = found.confirmed(min(least, max(len(others), 1)))
        known = (sure | found.single()) & np.isfinite(found.depth)
        mean = DepthMap(m.camera, m.region, found.depth, m.score).masked(known)
        lot = np.random.default_rng([i, band.kept.start]).random(known.shape, dtype=np.float32)
        known[: band.within.start] = known[band.within.stop :] = False
        kept = known & sure & (lot * (found.count + 1) < overlap), known & ~sure
        strong, weak = oriented_points(mean, kept, smooth)
        return _within(strong, stereo.volume), _within(weak, stereo.volume)

    points, lone = NO_POINTS, NO_POINTS
    pending: list[tuple[OrientedPoints, OrientedPoints]] = []
    jobs = [(i, band) for i in maps for band in bands(maps[i].region.shape, TILE_PIXELS, smooth)]
    for n, found in enumerate(bounded_map(pool, part, jobs, 2 * stereo.settings.threads), start=1):
        pending.append(found)
        if n == len(jobs) or sum(len(strong) + len(weak) for strong, weak in pending) > PENDING_POINTS:
            points = merge_points([points, *(strong for strong, _ in pending)], cell_mm)
            lone = merge_points([lone, *(weak for _, weak in pending)], cell_mm)
            pending = []
    if len(points) and len(lone):
        points = concatenated([points, lone.kept(~near_points(lone.points_mm, points.points_mm, 2 * cell_mm))])
    if len(points) < 100:
        raise ReconstructionError(
            f"nothing was reconstructed: only {len(points)} points are confirmed by {least} other views. Check that the"
            " cameras belong to these photographs and that the subject is where they look"
        )
    return points


def _within(points: OrientedPoints, volume: Volume) -> OrientedPoints:
    return points.kept(
        np.linalg.norm(points.points_mm - volume.centre_mm.astype(np.float32), axis=1) < 1.25 * volume.radius_mm
    )


def common_surface(points: OrientedPoints, footprint_mm: float) -> RenderedSurface:
    """The surface that the next level's views start from."""
    solved = surface_through(points, SURFACE_CELL_PX * footprint_mm, 4 * footprint_mm, subdivide=False)
    return RenderedSurface(solved.mesh)


def depth_maps(stereo: StereoViews, pool: Executor, progress: Progress) -> tuple[Maps, RenderedSurface]:
    """The finest depth maps of the depth views, coarse to fine, and the last surface on the way."""
    finest = min(p.footprint_mm for p in stereo.pyramids)
    coarsest = max(p.footprint_mm * 2 ** (len(p.levels) - 1) for p in stereo.pyramids)
    top = round(float(np.log2(coarsest / finest)))
    pixels = [4.0**-level for level in range(top + 1)]
    total, spent = sum(pixels[:top]) + pixels[top] * 8, 0.0

    footprint = finest * 2**top
    progress(0.0, "searching the working volume")
    maps = sweep_all(stereo, footprint, pool)
    points = fuse(stereo, maps, 2 * footprint, stereo.settings.min_consistent + 1, footprint, 3, np.inf, pool)
    surface = common_surface(points, footprint)
    spent += pixels[top] * 8
    carried: Maps | None = None
    for level in range(top - 1, -1, -1):
        footprint = finest * 2**level
        finished = [0]

        def done(level: int = level, finished: list[int] = finished, spent: float = spent) -> None:
            finished[0] += 1
            share = spent + pixels[level] * finished[0] / len(stereo.depth_views)
            progress(share / total, f"depth, level {level}: view {finished[0]} of {len(stereo.depth_views)}")

        maps = refine_all(stereo, footprint, surface, carried, pool, done)
        if carried is None and stereo.settings.wider_search:
            maps = search_wider(stereo, maps, footprint, 1.5 * footprint * stereo.settings.tolerance_px, surface, pool)
        spent += pixels[level]
        if level == 0:
            break
        tolerance = 1.5 * footprint * stereo.settings.tolerance_px
        if max(max(m.camera.width, m.camera.height) for m in maps.values()) < SURFACE_BELOW_SIDE:
            points = fuse(stereo, maps, tolerance, stereo.settings.min_consistent, footprint, 3, np.inf, pool)
            surface, carried = common_surface(points, footprint), None
        else:
            carried = _carried(stereo, maps, tolerance, surface, pool)
    return maps, surface


def _carried(stereo: StereoViews, maps: Maps, tolerance_mm: float, surface: RenderedSurface, pool: Executor) -> Maps:
    """Depth maps to start the next level from: averaged where another view agrees, else the view's own where it scores
    well and no other sees past it, else the surface's depth.
    """

    def one(i: int) -> DepthMap:
        m, near = maps[i], [maps[j] for j in stereo.near[i] if j in maps]
        start = stereo.scratch.empty(m.region.shape)
        for band in bands(m.region.shape, TILE_PIXELS, 0):
            part = m.band(band.kept)
            found = agreement(part, near, tolerance_mm)
            behind = surface.depth(m.camera, part.region)
            alone = np.isfinite(part.depth) & (found.through == 0) & (part.score > CARRIED_SCORE)
            own = np.where(alone, part.depth, np.where(np.isfinite(behind), behind, np.float32(np.nan)))
            start[band.kept] = np.where((found.count >= 1) & np.isfinite(found.depth), found.depth, own)
        return DepthMap(m.camera, m.region, start, m.score)

    return dict(zip(maps, pool.map(one, maps), strict=True))
