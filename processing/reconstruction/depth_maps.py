"""From the coarsest sweep to full depth maps: levels, the surface between them, and what each view starts from."""

from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass

import cv2
import numpy as np

from common.array_types import Bools, Gray
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
from processing.reconstruction.depth_propagation import propagate
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
from processing.reconstruction.weak_texture import (
    Regularisation,
    away_from_edges,
    information,
    noise_variance,
    sensitivity,
)
from processing.reconstruction.wider_search import search_wider

SWEEP_STEP_PX = 0.75  # disparity between planes of the sweep
# (step in px of disparity, steps to either side) of each pass ...
FROM_SURFACE = ((0.45, 4), (0.22, 3))  # ... after a new surface
FROM_DEPTH = ((0.4, 3), (0.25, 1))  # ... after a coarser level of the same view
CARRIED_SCORE = 0.6  # of a depth that no other view confirms, from which the next level still starts
PENDING_POINTS = 2_000_000  # held before they are merged
# Depth that is told poorly by itself is kept where the pixels around it tell it to within so many footprints ...
WEAK_PX = 0.5
ENCLOSED_PX = 31  # ... between sharp ones that lie no farther apart than this
WEAK = 0.98  # ... with a score below min_score
WEAK_TOLERANCE = 3.0  # such depths agree within so many tolerances
WEAK_WINDOW = 5  # px
WEAK_SMOOTH = 9  # and their normals come from points averaged over so many pixels
WEAK_CELLS = 2.0  # they are merged in cells of so many times the side
WEAK_WEIGHT = 0.1  # and weigh so much of what their score and slope say
STRONG_PX = 9  # around what is measured sharply no weak depth is needed
MARGIN_PX = 4  # beyond the surface's outline
REACH_PX = 8  # the surfaces between levels reach so many footprints beyond points
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
        noise = noise_variance(image[region.rows, region.columns])
        moves = sensitivity(camera, [c for _, c in others], stereo.volume.centre_mm, stereo.settings.best)
        depth, score = stereo.scratch.full(region.shape, np.nan), stereo.scratch.full(region.shape, 0.0)
        for band in bands(region.shape, TILE_PIXELS, TILE_HALO_PX):
            part = region.band(band.around)
            start = surface.depth(camera, part) if before is None else _finer(before[i], camera, part)
            known = cv2.dilate((~np.isnan(start)).astype(np.uint8), GROWN) > 0
            if not known.any():
                continue
            pixels, at = part.of(image), filled(start)
            told = information(pixels.grey, moves, stereo.settings.window, noise)
            even = away_from_edges(start, stereo.settings.window, pixel)
            weigh = Regularisation(told, even, stereo.settings.min_score, pixel)
            for disparity, reach in passes:
                step = disparity * pixel / stereo.parallax[i]
                search = DepthSearch(step, reach, stereo.settings.window, stereo.settings.best)
                found, value = stereo.kernels.refine(pixels, camera, others, at, search)
                at, precision = weigh(at, found, smoothed(found, value, 3 * step), value)
            sure = known & (value > stereo.settings.min_score) & own_detail(pixels.grey, stereo.settings.window)
            weak = enclosed(sure) & np.isfinite(start) & (precision > np.float32((WEAK_PX * pixel) ** -2))
            depth[band.kept] = np.where(sure | weak, at, np.float32(np.nan))[band.within]
            score[band.kept] = np.where(sure, value, value.clip(0.01, WEAK * stereo.settings.min_score))[band.within]
        done()
        return DepthMap(camera, region, depth, score)

    maps = zip(stereo.depth_views, pool.map(one, stereo.depth_views), strict=True)
    return {i: m for i, m in maps if m is not None}


def enclosed(sure: Bools) -> Bools:
    """(h, w) what lies between sure pixels: there depth is interpolated. Beyond the outermost it would be made up."""
    alone = cv2.medianBlur(sure.astype(np.uint8), 3)
    closed = cv2.morphologyEx(alone, cv2.MORPH_CLOSE, np.ones((ENCLOSED_PX, ENCLOSED_PX), np.uint8))
    return np.asarray(closed > 0)


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


@dataclass(frozen=True)
class Fusion:
    """How depth maps are fused."""

    tolerance_mm: float
    #: So many other views confirm a depth.
    least: int
    #: Points are merged in cells of this side.
    cell_mm: float
    #: Normals come from points averaged over so many pixels.
    smooth: int
    #: A surface point seen by many views is kept from about so many of them (thinned the same way each time).
    overlap: float = np.inf
    #: Weak depths are kept where the correlation averaged over WEAK_WINDOW is at least this: faint texture matches a
    #: little better than by chance, an even background past an outline does not. (What is a start may overshoot.)
    least_weak: float = 0.0


def fuse(stereo: StereoViews, maps: Maps, how: Fusion, pool: Executor) -> OrientedPoints:
    """Merged oriented points of all depths that enough other views confirm.

    Where there are none within two cells, of those too that one other view confirms and no other sees past; then of
    weak depths, averaged more widely, that enough others confirm within a wider tolerance.
    """
    least_score = np.float32(stereo.settings.min_score)
    sharp = {i: m.masked(m.score > least_score) for i, m in maps.items()}

    def part(job: tuple[int, Band]) -> list[OrientedPoints]:
        i, band = job
        near = [j for j in stereo.near[i] if j in maps]
        m, others = sharp[i].band(band.around), [sharp[j] for j in near]
        found = agreement(m, others, how.tolerance_mm)
        sure = found.confirmed(min(how.least, max(len(others), 1)))
        known = (sure | found.single()) & np.isfinite(found.depth)
        mean = DepthMap(m.camera, m.region, found.depth, m.score).masked(known)
        lot = np.random.default_rng([i, band.kept.start]).random(known.shape, dtype=np.float32)
        outside = np.ones(known.shape, np.bool_)
        outside[band.within] = False
        known &= ~outside
        kept = known & sure & (lot * (found.count + 1) < how.overlap), known & ~sure
        strong, lone = oriented_points(mean, kept, how.smooth)
        weak = _weak_points(maps[i].band(band.around), sure, [maps[j] for j in near], outside, how)
        return [_within(points, stereo.volume) for points in (strong, lone, weak)]

    merged = [NO_POINTS] * 3
    cells = how.cell_mm, how.cell_mm, WEAK_CELLS * how.cell_mm
    pending: list[list[OrientedPoints]] = []
    jobs = [(i, band) for i in maps for band in bands(maps[i].region.shape, TILE_PIXELS, WEAK_SMOOTH)]
    for n, found in enumerate(bounded_map(pool, part, jobs, 2 * stereo.settings.threads), start=1):
        pending.append(found)
        if n == len(jobs) or sum(len(p) for parts in pending for p in parts) > PENDING_POINTS:
            each = zip(*pending, strict=True)
            merged = [merge_points([m, *p], cell) for m, p, cell in zip(merged, each, cells, strict=True)]
            pending = []
    points = merged[0]
    for more, cell in zip(merged[1:], cells[1:], strict=True):
        if len(points) and len(more):
            points = concatenated([points, more.kept(~near_points(more.points_mm, points.points_mm, 2 * cell))])
    if len(points) < 100:
        raise ReconstructionError(
            f"nothing was reconstructed: only {len(points)} points are confirmed by {how.least} other views. Check that"
            " the cameras belong to these photographs and that the subject is where they look"
        )
    return points


def _weak_points(m: DepthMap, sure: Bools, others: Sequence[DepthMap], outside: Bools, how: Fusion) -> OrientedPoints:
    """Oriented points of a view's depths that lie away from those that are sure."""
    around = cv2.dilate(sure.astype(np.uint8), np.ones((STRONG_PX, STRONG_PX), np.uint8)) > 0
    wanted = ~around & ~outside & (cv2.boxFilter(m.score, -1, (WEAK_WINDOW, WEAK_WINDOW)) >= np.float32(how.least_weak))
    wanted &= np.isfinite(m.depth)
    if not wanted.any():
        return NO_POINTS
    within = cv2.dilate(wanted.astype(np.uint8), np.ones((WEAK_SMOOTH, WEAK_SMOOTH), np.uint8)) > 0
    found = agreement(m.masked(within), others, WEAK_TOLERANCE * how.tolerance_mm)
    known = found.confirmed(min(how.least, max(len(others), 1))) & (found.through == 0) & np.isfinite(found.depth)
    mean = DepthMap(m.camera, m.region, found.depth, m.score).masked(known)
    points = oriented_points(mean, [known & wanted], WEAK_SMOOTH)[0]
    return OrientedPoints(points.points_mm, points.normals, points.weight * np.float32(WEAK_WEIGHT))


def _within(points: OrientedPoints, volume: Volume) -> OrientedPoints:
    return points.kept(
        np.linalg.norm(points.points_mm - volume.centre_mm.astype(np.float32), axis=1) < 1.25 * volume.radius_mm
    )


def common_surface(points: OrientedPoints, footprint_mm: float) -> RenderedSurface:
    """The surface that the next level's views start from."""
    solved = surface_through(points, SURFACE_CELL_PX * footprint_mm, REACH_PX * footprint_mm, subdivide=False)
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
    points = fuse(stereo, maps, Fusion(2 * footprint, stereo.settings.min_consistent + 1, footprint, 3), pool)
    surface = common_surface(points, footprint)
    maps = refine_all(stereo, footprint, surface, None, pool, lambda: None)
    tolerance = 1.5 * footprint * stereo.settings.tolerance_px
    points = fuse(stereo, maps, Fusion(tolerance, stereo.settings.min_consistent, footprint, 3), pool)
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
        if level == 0 and stereo.settings.wider_search:
            propagate(stereo, maps, footprint, 1.5 * footprint * stereo.settings.tolerance_px, surface, pool)
        spent += pixels[level]
        if level == 0:
            break
        tolerance = 1.5 * footprint * stereo.settings.tolerance_px
        if max(max(m.camera.width, m.camera.height) for m in maps.values()) < SURFACE_BELOW_SIDE:
            points = fuse(stereo, maps, Fusion(tolerance, stereo.settings.min_consistent, footprint, 3), pool)
            surface, carried = common_surface(points, footprint), None
        else:
            carried = _carried(stereo, maps, tolerance, surface, pool)
    return maps, surface


def _carried(stereo: StereoViews, maps: Maps, tolerance_mm: float, surface: RenderedSurface, pool: Executor) -> Maps:
    """Depth maps to start the next level from: averaged where another view agrees, else the view's own where it scores
    well, or was averaged for scoring poorly, and no other sees past it, else the surface's depth.
    """

    def one(i: int) -> DepthMap:
        m, near = maps[i], [maps[j] for j in stereo.near[i] if j in maps]
        start = stereo.scratch.empty(m.region.shape)
        for band in bands(m.region.shape, TILE_PIXELS, 0):
            part = m.band(band.kept)
            found = agreement(part, near, tolerance_mm)
            behind = surface.depth(m.camera, part.region)
            weak = part.score <= stereo.settings.min_score
            alone = np.isfinite(part.depth) & (found.through == 0) & (weak | (part.score > CARRIED_SCORE))
            own = np.where(alone, part.depth, np.where(np.isfinite(behind), behind, np.float32(np.nan)))
            start[band.kept] = np.where((found.count >= 1) & np.isfinite(found.depth), found.depth, own)
        return DepthMap(m.camera, m.region, start, m.score)

    return dict(zip(maps, pool.map(one, maps), strict=True))
