"""Depth propagation: what other views do not confirm is tried where the confirmed surface beside it leads."""

from concurrent.futures import Executor
from dataclasses import dataclass

import cv2
import numpy as np

from common.array_types import Bools, Gray
from processing.reconstruction.depth_fusion import DepthMap, agreement
from processing.reconstruction.image_regions import TILE_PIXELS, Pixels, bands
from processing.reconstruction.stereo_matching import DepthSearch, own_detail
from processing.reconstruction.stereo_views import Maps, StereoViews
from processing.reconstruction.surface_reconstruction import RenderedSurface, filled
from processing.reconstruction.tile_atlas import Atlas, tiles

ROUNDS = 2
TRIED = (0.5, 2)  # step in px of disparity, steps to either side, about each proposal ...
MEASURED = (0.2, 2)  # ... and of the pass that measures the better one
BEST = 2  # few views see into cavities
BETTER = 0.02  # by so much a proposal scores higher than what was there
REACH_PX = 24  # a confirmed pixel's plane is tried so far from it
STEEPEST = 4.0  # such planes rise by so many footprints a pixel at most
HALO_PX = 36  # around a band of a view: the reach, and what slopes are averaged over
ASTRAY = 8.0  # it is tried around depths that lie so many tolerances behind the common start
TILE_PX, TILE_SHARE, TILE_EDGE_PX = 16, 0.05, 4  # a tile is tried where this share of it is unsure


@dataclass(frozen=True, eq=False)
class _Found:
    """What was found in tiles of a part of a view's map."""

    into: DepthMap
    atlas: Atlas
    depth: Gray
    score: Gray
    holds: Bools


def propagate(
    stereo: StereoViews, maps: Maps, footprint_mm: float, tolerance_mm: float, surface: RenderedSurface, pool: Executor
) -> None:
    """Try, at the pixels of depth maps that too few other views confirm, the planes of the nearest confirmed ones.

    Only around depths far behind the common start, as the first ones found in a cavity are. Changes the maps.
    Confirmed surface grows so into cavities (an open mouth, nostrils), where the start is wrong and few views see the
    same: PatchMatch's propagation (Galliani et al. 2015), from confirmed pixels alone.
    """
    least = np.float32(stereo.settings.min_score)
    places = dict(zip(maps, pool.map(lambda m: _astray(m, surface, ASTRAY * tolerance_mm), maps.values()), strict=True))

    for _ in range(ROUNDS):
        sharp = {i: m.masked(m.score > least) for i, m in maps.items()}

        def one(i: int, sharp: Maps = sharp) -> list[_Found]:
            near = [sharp[j] for j in stereo.near[i] if j in sharp]
            found = []
            for rows, columns, about in places[i]:
                part = sharp[i].box(rows, columns)
                agreed = agreement(part, near, tolerance_mm)
                confirmed = agreed.confirmed(stereo.settings.min_consistent)
                planes, close = extended(part.depth, confirmed | agreed.single(), footprint_mm)
                unsure = (about & close & ~confirmed).astype(np.uint8)
                unsure = cv2.morphologyEx(unsure, cv2.MORPH_OPEN, np.ones((4, 4), np.uint8)) > 0
                corners = tiles(unsure, TILE_PX, TILE_SHARE)
                if len(corners):
                    atlas = Atlas.of(corners, TILE_PX, TILE_EDGE_PX)
                    found.append(_tried(stereo, i, maps[i].box(rows, columns), planes, unsure, atlas, footprint_mm))
            return found

        for found in pool.map(one, maps):
            for part in found:
                part.atlas.put(part.depth, part.into.depth, part.holds)
                part.atlas.put(part.score, part.into.score, part.holds)


def _astray(m: DepthMap, surface: RenderedSurface, limit_mm: float) -> list[tuple[slice, slice, Bools]]:
    """Rectangles of a map, and where in them, within the reach, depths lie farther than limit_mm behind the start."""
    wide = np.ones((2 * REACH_PX + 1, 2 * REACH_PX + 1), np.uint8)
    places = []
    for band in bands(m.region.shape, TILE_PIXELS, HALO_PX):
        part = m.band(band.around)
        start = surface.depth(m.camera, part.region)
        off = (part.depth - start > limit_mm).astype(np.uint8)
        off = cv2.morphologyEx(off, cv2.MORPH_OPEN, np.ones((5, 5), np.uint8))
        about = cv2.dilate(off, wide) > 0
        about &= np.isfinite(start)
        about[: band.within.start] = about[band.within.stop :] = False
        count, label, stats, _ = cv2.connectedComponentsWithStats(about.astype(np.uint8))
        for k in range(1, count):
            x, y, width, height = (int(stats[k, c]) for c in range(4))
            rows = slice(max(y - REACH_PX, 0), min(y + height + REACH_PX, about.shape[0]))
            columns = slice(max(x - REACH_PX, 0), min(x + width + REACH_PX, about.shape[1]))
            top = band.around.start
            places.append((slice(rows.start + top, rows.stop + top), columns, label[rows, columns] == k))
    return places


def extended(depth: Gray, sure: Bools, footprint_mm: float) -> tuple[Gray, Bools]:
    """(h, w) the depth that the plane at the nearest sure pixel has at each pixel, mm, and where one is near.

    depth: (h, w) mm, known at the sure pixels.
    """
    inner = cv2.erode((sure & np.isfinite(depth)).astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    if not inner.any():
        return depth, np.zeros(depth.shape, np.bool_)
    even = np.asarray(cv2.medianBlur(filled(np.where(inner, depth, np.float32(np.nan))), 5), dtype=np.float32)
    steepest = STEEPEST * footprint_mm
    slopes = [
        cv2.Sobel(even, cv2.CV_32F, dx, 1 - dx, ksize=5, scale=1 / 128).clip(-steepest, steepest) for dx in (1, 0)
    ]
    deep = cv2.erode(inner.astype(np.uint8), np.ones((7, 7), np.uint8)) > 0  # else they reach beyond what is known
    if deep.any():
        slopes = [filled(np.where(deep, slope, np.float32(np.nan))) for slope in slopes]
    distance, label = cv2.distanceTransformWithLabels(
        (~inner).astype(np.uint8), cv2.DIST_L2, 3, labelType=cv2.DIST_LABEL_PIXEL
    )
    rows, columns = np.nonzero(inner)
    source = np.zeros(int(label.max()) + 1, np.intp)
    source[label[rows, columns]] = np.arange(len(rows))
    y, x = (from_[source[label]] for from_ in (rows, columns))
    across, down = np.arange(depth.shape[1]) - x, np.arange(depth.shape[0])[:, None] - y
    plane = even[y, x] + across * slopes[0][y, x] + down * slopes[1][y, x]
    return plane.astype(np.float32), distance <= REACH_PX


def _tried(
    stereo: StereoViews, i: int, part: DepthMap, planes: Gray, unsure: Bools, atlas: Atlas, footprint_mm: float
) -> _Found:
    """The proposals and what was there, matched with few views, in tiles of a part of view i's map."""
    image, camera = stereo.seen(i, footprint_mm)
    others = stereo.others(i, footprint_mm)
    grey = part.region.of(image).grey
    x, y = (atlas.x + part.region.x0).astype(np.float64), (atlas.y + part.region.y0).astype(np.float64)
    pixels = Pixels(atlas.taken(grey), x, y)
    pixel = float(camera.depth(stereo.volume.centre_mm[None])[0] / camera.K[0, 0]) / stereo.parallax[i]
    window, best = stereo.settings.window, min(stereo.settings.best, BEST)

    known = np.isfinite(part.depth)
    before = atlas.taken(np.where(known, part.depth, planes))
    at, value = before, atlas.taken(np.where(known, part.score, np.float32(0)))
    tried = DepthSearch(TRIED[0] * pixel, TRIED[1], window, best)
    for start in (before, atlas.taken(planes)):
        there, score = stereo.kernels.refine(pixels, camera, others, start, tried)
        won = score > value + np.float32(BETTER)
        at, value = np.where(won, there, at), np.where(won, score, value)
    changed = at != before
    at = np.asarray(cv2.medianBlur(at, 5), dtype=np.float32)
    measured = DepthSearch(MEASURED[0] * pixel, MEASURED[1], window, best)
    at, value = stereo.kernels.refine(pixels, camera, others, at, measured)
    holds = changed & (value > stereo.settings.min_score) & atlas.taken(unsure & own_detail(grey, window))
    return _Found(part, atlas, at, value.clip(0, 1), holds)
