"""From the coarsest sweep to full depth maps: levels, the surface between them, and what each view starts from."""

from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass

import cv2
import numpy as np

from processing.progress import Progress
from processing.reconstruction.fusion import (
    NO_POINTS,
    Agreement,
    DepthMap,
    OrientedPoints,
    agreement,
    joined,
    merge,
    oriented_points,
)
from processing.reconstruction.matching import Kernels, Region, own_detail, tiles
from processing.reconstruction.photos import Pyramid
from processing.reconstruction.settings import Bools, Gray, ReconstructionError, ReconstructionSettings
from processing.reconstruction.surface import RenderedSurface, filled, grown_region, near_points, poisson, trim
from processing.reconstruction.volume import Volume

SWEEP_STEP_PX = 0.75  # disparity between planes of the sweep
FROM_SURFACE = (
    (0.45, 4),
    (0.22, 3),
)  # (step in px of disparity, steps to either side) of each pass after a new surface
FROM_DEPTH = ((0.4, 3), (0.2, 2))  # ... after a coarser level of the same view
SEARCH = ((0.75, 36), (0.4, 2), (0.2, 2))  # ... of each pass of the wider search
SEARCH_SLOPES = (0.0, 2.0, -2.0)  # its planes lean sideways by so many footprints a pixel, as the walls of a mouth do
SEARCH_WINDOW, SEARCH_BEST = 5, 2  # cavities are narrow, and few views see into them
SEARCH_TILE_PX, SEARCH_SHARE = 24, 0.1  # a tile is searched where this share of it is unsure
CARRIED_SCORE = 0.6  # of a depth that no other view confirms, from which the next level still starts
MERGED_VIEWS = 16  # whose points are held before they are merged
MARGIN_PX = 4  # beyond the surface's outline
SURFACE_CELL_PX = 1.1  # side of the cells of the surfaces between levels, in footprints of their level
SURFACE_BELOW_SIDE = 400  # a level whose photographs are smaller than this (longer side) ends in a new common surface


@dataclass(frozen=True, eq=False)
class Rig:
    """What the depth maps are made from.

    depth_views: the views that get one.  neighbours: view -> others it is compared with.  near: view -> others that may
    confirm its depth.  parallax: view -> tangent of the median angle to its neighbours.
    """

    pyramids: Sequence[Pyramid]
    volume: Volume
    depth_views: Sequence[int]
    neighbours: Sequence[Sequence[int]]
    near: Sequence[Sequence[int]]
    parallax: Sequence[float]
    settings: ReconstructionSettings
    kernels: Kernels


Maps = dict[int, DepthMap]


def sweep_all(rig: Rig, footprint_mm: float, pool: Executor) -> Maps:
    """Depth maps of the coarsest level by plane sweep through the whole volume."""

    def one(i: int) -> DepthMap:
        image, camera = rig.pyramids[i].near(footprint_mm)
        others = [rig.pyramids[j].near(footprint_mm) for j in rig.neighbours[i]]
        nearest, farthest = rig.volume.depth_range(camera)
        pixel = float(camera.depth(rig.volume.centre_mm[None])[0] / camera.K[0, 0])
        steps = int(np.ceil((farthest - nearest) / (SWEEP_STEP_PX * pixel / rig.parallax[i]))) + 1
        planes = 1 / np.linspace(1 / nearest, 1 / farthest, min(max(steps, 8), 256))
        depth, score = rig.kernels.sweep(image, camera, others, planes, rig.settings.window, rig.settings.best)
        keep = (score > rig.settings.min_score) & own_detail(image, rig.settings.window)
        region = Region(0, image.shape[0], 0, image.shape[1])
        return DepthMap(camera, region, depth, score.clip(0, 1)).masked(keep)

    return dict(zip(rig.depth_views, pool.map(one, rig.depth_views), strict=True))


def refine_all(
    rig: Rig,
    footprint_mm: float,
    surface: RenderedSurface,
    before: Maps | None,
    pool: Executor,
    done: Callable[[], None],
) -> Maps:
    """Depth maps at the level with such pixels, from the surface or, where given, from the coarser maps `before`."""

    def one(i: int) -> DepthMap | None:
        start = _start(rig, i, footprint_mm, surface, before[i] if before else None)
        if start is None:
            return None
        image, camera = rig.pyramids[i].near(footprint_mm)
        others = [rig.pyramids[j].near(footprint_mm) for j in rig.neighbours[i]]
        depth, known, region = start
        pixel = float(camera.depth(rig.volume.centre_mm[None])[0] / camera.K[0, 0])
        score = np.zeros_like(depth)
        for disparity, reach in FROM_SURFACE if before is None else FROM_DEPTH:
            step = disparity * pixel / rig.parallax[i]
            depth, score = rig.kernels.refine(
                image, camera, others, depth, region, step, reach, rig.settings.window, rig.settings.best
            )
            depth = smoothed(depth, score, 3 * step)
        done()
        part = image[region.y0 : region.y1, region.x0 : region.x1]
        keep = known & (score > rig.settings.min_score) & own_detail(part, rig.settings.window)
        return DepthMap(camera, region, depth, score.clip(0, 1)).masked(keep)

    maps = zip(rig.depth_views, pool.map(one, rig.depth_views), strict=True)
    return {i: m for i, m in maps if m is not None}


def _start(
    rig: Rig, i: int, footprint_mm: float, surface: RenderedSurface, before: DepthMap | None
) -> tuple[Gray, Bools, Region] | None:
    """The depth map to start from (filled everywhere), where it is meant, and the rectangle it covers."""
    _, camera = rig.pyramids[i].near(footprint_mm)
    if before is None:
        whole = surface.depth(camera)
    else:
        whole = np.full((camera.height, camera.width), np.nan, np.float32)
        scale = before.camera.width / camera.width, before.camera.height / camera.height
        x = ((np.arange(camera.width) + 0.5) * scale[0] - 0.5 - before.region.x0).astype(np.float32)
        y = ((np.arange(camera.height) + 0.5) * scale[1] - 0.5 - before.region.y0).astype(np.float32)
        mx, my = np.meshgrid(x, y)
        whole = cv2.remap(
            before.depth, mx, my, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=float("nan")
        )
    region = grown_region(whole, MARGIN_PX)
    if region is None:
        return None
    known = (~np.isnan(whole[region.y0 : region.y1, region.x0 : region.x1])).astype(np.uint8)
    grown = cv2.dilate(known, np.ones((2 * MARGIN_PX + 1, 2 * MARGIN_PX + 1), np.uint8)) > 0
    return filled(np.ascontiguousarray(whole[region.y0 : region.y1, region.x0 : region.x1])), grown, region


def search_wider(
    rig: Rig, maps: Maps, footprint_mm: float, tolerance_mm: float, surface: RenderedSurface, pool: Executor
) -> Maps:
    """The depth maps with what other views do not confirm sought again, farther before and behind the surface.

    Cavities (an open mouth, nostrils, the folds of ears) are narrower than the windows of the coarser levels, so the
    surface that the maps start from spans them, and their depth lies outside the range of `refine_all`.
    """
    means = agreed(rig, maps, tolerance_mm, pool)
    settings = rig.settings

    def one(i: int) -> DepthMap:
        m, count = maps[i], means[i].count
        image, camera = rig.pyramids[i].near(footprint_mm)
        others = [rig.pyramids[j].near(footprint_mm) for j in rig.neighbours[i]]
        r = m.region
        start = surface.depth(camera)[r.y0 : r.y1, r.x0 : r.x1]
        unsure = ~np.isnan(start) & (count < settings.min_consistent)
        unsure = cv2.morphologyEx(unsure.astype(np.uint8), cv2.MORPH_OPEN, np.ones((4, 4), np.uint8)) > 0
        begin = filled(np.ascontiguousarray(np.where(np.isfinite(start), start, np.float32(np.nan))))
        depth, score = m.depth.copy(), m.score.copy()
        pixel = float(camera.depth(rig.volume.centre_mm[None])[0] / camera.K[0, 0]) / rig.parallax[i]
        halo = SEARCH_WINDOW // 2
        best = min(settings.best, SEARCH_BEST)
        for tile in tiles(unsure, SEARCH_TILE_PX, SEARCH_SHARE):
            around = tile.grown(halo, depth.shape)
            inner = tile.within(around)
            there = Region(r.y0 + around.y0, r.y0 + around.y1, r.x0 + around.x0, r.x0 + around.x1)
            middle = np.median(begin[around.rows, around.columns])
            across = (np.arange(around.x1 - around.x0) % SEARCH_TILE_PX - SEARCH_TILE_PX / 2) * footprint_mm
            step, reach = SEARCH[0][0] * pixel, SEARCH[0][1]
            tried = []
            for slope in SEARCH_SLOPES:
                plane = np.broadcast_to(middle + slope * across, around.shape).astype(np.float32)
                tried.append(rig.kernels.refine(image, camera, others, plane, there, step, reach, SEARCH_WINDOW, best))
            won = np.stack([value for _, value in tried]).argmax(axis=0)
            at = cv2.medianBlur(np.choose(won, [depths for depths, _ in tried]).astype(np.float32), 5)
            for disparity, reach in SEARCH[1:]:
                step = disparity * pixel
                at, value = rig.kernels.refine(image, camera, others, at, there, step, reach, SEARCH_WINDOW, best)
                at = cv2.medianBlur(at, 5)
            part = image[there.y0 : there.y1, there.x0 : there.x1]
            found = (value > settings.min_score) & own_detail(part, SEARCH_WINDOW)
            better = found[inner] & unsure[tile.rows, tile.columns]
            depth[tile.rows, tile.columns][better] = at[inner][better]
            score[tile.rows, tile.columns][better] = value[inner][better].clip(0, 1)
        return DepthMap(camera, r, depth, score)

    return dict(zip(maps, pool.map(one, maps), strict=True))


def smoothed(depth: Gray, score: Gray, limit_mm: float) -> Gray:
    """Outliers take the median of 5 x 5, then a Gaussian weighted by score; edges deeper than limit_mm stay."""
    middle = cv2.medianBlur(depth, 5)
    calm = np.where(np.abs(depth - middle) < limit_mm, depth, middle)
    weight = np.square(np.maximum(score - np.float32(0.2), 0)) + np.float32(1e-6)
    mean = cv2.GaussianBlur(weight * calm, (0, 0), 1.0) / cv2.GaussianBlur(weight, (0, 0), 1.0)
    return np.asarray(np.where(np.abs(mean - calm) < limit_mm, mean, calm), dtype=np.float32)


def agreed(rig: Rig, maps: Maps, tolerance_mm: float, pool: Executor) -> dict[int, Agreement]:
    """View -> what the views that may confirm its depth say."""

    def one(i: int) -> Agreement:
        return agreement(maps[i], [maps[j] for j in rig.near[i] if j in maps], tolerance_mm)

    return dict(zip(maps, pool.map(one, maps), strict=True))


def fuse(
    rig: Rig, maps: Maps, tolerance_mm: float, least: int, cell_mm: float, smooth: int, overlap: float, pool: Executor
) -> OrientedPoints:
    """Merged oriented points of all depths that at least `least` other views confirm.

    Where there are none within two cells, of those too that one other view confirms and no other sees past.
    overlap: a surface point seen by many views is kept from about so many of them (thinned the same way each time).
    """

    def one(i: int) -> tuple[OrientedPoints, OrientedPoints]:
        others = [maps[j] for j in rig.near[i] if j in maps]
        found = agreement(maps[i], others, tolerance_mm)
        sure = found.confirmed(min(least, max(len(others), 1)))
        known = (sure | found.single()) & np.isfinite(found.depth)
        mean = DepthMap(maps[i].camera, maps[i].region, found.depth, maps[i].score).masked(known)
        lot = np.random.default_rng(i).random(known.shape, dtype=np.float32)
        kept = known & sure & (lot * (found.count + 1) < overlap), known & ~sure
        strong, weak = oriented_points(mean, kept, smooth)
        return _within(strong, rig.volume), _within(weak, rig.volume)

    points = lone = NO_POINTS
    views = list(maps)
    for start in range(0, len(views), MERGED_VIEWS):
        parts = list(pool.map(one, views[start : start + MERGED_VIEWS]))
        points = merge([points, *(strong for strong, _ in parts)], cell_mm)
        lone = merge([lone, *(weak for _, weak in parts)], cell_mm)
    if len(points) and len(lone):
        points = joined([points, lone.kept(~near_points(lone.points_mm, points.points_mm, 2 * cell_mm))])
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
    mesh = trim(poisson(points, SURFACE_CELL_PX * footprint_mm, None), points, 4 * footprint_mm)
    return RenderedSurface(mesh)


def depth_maps(rig: Rig, pool: Executor, progress: Progress) -> Maps:
    """The finest depth maps of the rig's depth views, coarse to fine."""
    finest = min(p.footprint_mm for p in rig.pyramids)
    coarsest = max(p.footprint_mm * 2 ** (len(p.levels) - 1) for p in rig.pyramids)
    top = round(float(np.log2(coarsest / finest)))
    pixels = [4.0**-level for level in range(top + 1)]
    total, spent = sum(pixels[:top]) + pixels[top] * 8, 0.0

    footprint = finest * 2**top
    progress(0.0, "searching the working volume")
    maps = sweep_all(rig, footprint, pool)
    points = fuse(rig, maps, 2 * footprint, rig.settings.min_consistent + 1, footprint, 3, np.inf, pool)
    surface = common_surface(points, footprint)
    spent += pixels[top] * 8
    carried: Maps | None = None
    for level in range(top - 1, -1, -1):
        footprint = finest * 2**level
        finished = [0]

        def done(level: int = level, finished: list[int] = finished, spent: float = spent) -> None:
            finished[0] += 1
            share = spent + pixels[level] * finished[0] / len(rig.depth_views)
            progress(share / total, f"depth, level {level}: view {finished[0]} of {len(rig.depth_views)}")

        maps = refine_all(rig, footprint, surface, carried, pool, done)
        if carried is None and rig.settings.wider_search:
            maps = search_wider(rig, maps, footprint, 1.5 * footprint * rig.settings.tolerance_px, surface, pool)
        spent += pixels[level]
        if level == 0:
            break
        tolerance = 1.5 * footprint * rig.settings.tolerance_px
        if max(max(m.camera.width, m.camera.height) for m in maps.values()) < SURFACE_BELOW_SIDE:
            points = fuse(rig, maps, tolerance, rig.settings.min_consistent, footprint, 3, np.inf, pool)
            surface, carried = common_surface(points, footprint), None
        else:
            carried = _carried(rig, maps, tolerance, surface, pool)
    return maps


def _carried(rig: Rig, maps: Maps, tolerance_mm: float, surface: RenderedSurface, pool: Executor) -> Maps:
    """Depth maps to start the next level from: averaged where another view agrees, else the view's own where it scores
    well and no other sees past it, else the surface's depth.
    """
    means = agreed(rig, maps, tolerance_mm, pool)

    def one(i: int) -> DepthMap:
        m, found = maps[i], means[i]
        r = m.region
        behind = surface.depth(m.camera)[r.y0 : r.y1, r.x0 : r.x1]
        alone = np.isfinite(m.depth) & (found.through == 0) & (m.score > CARRIED_SCORE)
        start = np.where(alone, m.depth, np.where(np.isfinite(behind), behind, np.nan))
        start = np.where((found.count >= 1) & np.isfinite(found.depth), found.depth, start)
        return DepthMap(m.camera, r, start.astype(np.float32), m.score)

    return dict(zip(maps, pool.map(one, maps), strict=True))
