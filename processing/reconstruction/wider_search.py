"""The wider search: what no other view confirms is sought again, farther before and behind the surface."""

from concurrent.futures import Executor

import cv2
import numpy as np

from common.array_types import Bools, Gray
from processing.reconstruction.depth_fusion import DepthMap, agreement
from processing.reconstruction.image_regions import TILE_PIXELS, Pixels, Region, bands
from processing.reconstruction.stereo_matching import DepthSearch, own_detail
from processing.reconstruction.stereo_views import TILE_HALO_PX, Maps, StereoViews
from processing.reconstruction.surface_reconstruction import RenderedSurface, filled
from processing.reconstruction.tile_atlas import Atlas, tiles

# (step in px of disparity, steps to either side): the search itself, and the passes that measure what it found.
SEARCH = (0.75, 36)
MEASURED = ((0.4, 2), (0.2, 2))
SEARCH_SLOPES = (0.0, 2.0, -2.0)  # its planes lean sideways by so many footprints a pixel, as the walls of a mouth do
SEARCH_WINDOW, SEARCH_BEST = 5, 2  # cavities are narrow, and few views see into them
SEARCH_TILE_PX, SEARCH_SHARE = 24, 0.1  # a tile is searched where this share of it is unsure
SEARCH_HALO_PX = 3  # around each of them


def search_wider(
    stereo: StereoViews, maps: Maps, footprint_mm: float, tolerance_mm: float, surface: RenderedSurface, pool: Executor
) -> Maps:
    """The depth maps with what other views do not confirm sought again, farther before and behind the surface.

    Cavities (an open mouth, nostrils, the folds of ears) are narrower than the windows of the coarser levels, so the
    surface that the maps start from spans them, and their depth lies outside the range of `refine_all`. What was
    averaged there for matching poorly confirms nothing.
    """
    least = np.float32(stereo.settings.min_score)
    sharp = {i: m.masked(m.score > least) for i, m in maps.items()}

    def one(i: int) -> DepthMap:
        m, near = maps[i], [sharp[j] for j in stereo.near[i] if j in maps]
        found = DepthMap(m.camera, m.region, stereo.scratch.kept(m.depth), stereo.scratch.kept(m.score))
        for band in bands(m.region.shape, TILE_PIXELS, TILE_HALO_PX, SEARCH_TILE_PX):
            part = sharp[i].band(band.around)
            count = agreement(part, near, tolerance_mm).count
            start = surface.depth(m.camera, part.region)
            unsure = ~np.isnan(start) & (count < stereo.settings.min_consistent)
            unsure = cv2.morphologyEx(unsure.astype(np.uint8), cv2.MORPH_OPEN, np.ones((4, 4), np.uint8)) > 0
            corners = tiles(unsure[band.within], SEARCH_TILE_PX, SEARCH_SHARE) + np.array([band.within.start, 0])
            if len(corners):
                atlas = Atlas.of(corners, SEARCH_TILE_PX, SEARCH_HALO_PX)
                start = filled(np.where(np.isfinite(start), start, np.float32(np.nan)))
                at, value, sure = _searched(stereo, i, footprint_mm, part.region, start, atlas)
                better = sure & atlas.taken(unsure)
                atlas.put(at, found.depth[band.around], better)
                atlas.put(value, found.score[band.around], better)
        return found

    return dict(zip(maps, pool.map(one, maps), strict=True))


def _searched(
    stereo: StereoViews, i: int, footprint_mm: float, region: Region, start: Gray, atlas: Atlas
) -> tuple[Gray, Gray, Bools]:
    """Depth (mm), score (0 to 1) and whether it holds, all of the atlas's shape: tiles of a region of view i searched
    around planes through the median of their start.
    """
    image, camera = stereo.seen(i, footprint_mm)
    others = stereo.others(i, footprint_mm)
    x, y = (atlas.x + region.x0).astype(np.float64), (atlas.y + region.y0).astype(np.float64)
    grey = region.of(image).grey
    pixel = float(camera.depth(stereo.volume.centre_mm[None])[0] / camera.K[0, 0]) / stereo.parallax[i]
    best = min(stereo.settings.best, SEARCH_BEST)

    pixels = Pixels(atlas.taken(grey), x, y)
    search = DepthSearch(SEARCH[0] * pixel, SEARCH[1], SEARCH_WINDOW, best)
    middle = np.median(atlas.each(atlas.taken(start)), axis=(1, 2), keepdims=True)
    wide = atlas.side + 2 * atlas.halo
    across = (np.arange(wide) - wide / 2) * footprint_mm
    at = value = np.full(atlas.x.shape, -np.inf, np.float32)
    for slope in SEARCH_SLOPES:
        planes = atlas.laid_out(np.broadcast_to(middle + slope * across, (len(middle), wide, wide)).astype(np.float32))
        tried, score = stereo.kernels.refine(pixels, camera, others, planes, search)
        won = score > value
        at, value = np.where(won, tried, at), np.where(won, score, value)
    at = np.asarray(cv2.medianBlur(at, 5), dtype=np.float32)

    for disparity, reach in MEASURED:
        search = DepthSearch(disparity * pixel, reach, SEARCH_WINDOW, best)
        at, value = stereo.kernels.refine(pixels, camera, others, at, search)
        at = np.asarray(cv2.medianBlur(at, 5), dtype=np.float32)
    sure = (value > stereo.settings.min_score) & atlas.taken(own_detail(grey, SEARCH_WINDOW))
    return at, value.clip(0, 1), sure
