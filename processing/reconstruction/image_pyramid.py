"""Photographs made ready for matching: undistorted grey pyramids with their pinhole cameras."""

from dataclasses import dataclass

import cv2
import numpy as np

from common.array_types import Floats, Gray, Image
from processing.errors import ShapeError
from processing.geometry.cameras import Camera
from processing.reconstruction.image_regions import TILE_PIXELS, bands
from processing.reconstruction.scratch_files import Scratch
from processing.reconstruction.settings import ReconstructionSettings
from processing.reconstruction.stereo_matching import NOISE_VARIANCE

COARSEST_PX = 230  # the pyramid stops where the longer side falls below this
ROUNDING_NOISE = 0.05  # what rounding three colours leaves at least in the finest level
CALM_SHARE = 20  # per cent of the places of a photograph that are taken to show noise alone
FLAT = 2.0  # grey levels: a photograph whose standard deviation is below this shows nothing


@dataclass(frozen=True, eq=False)
class Pyramid:
    """A photograph in grey at several sizes, each half of the one before."""

    #: (grey float32, pinhole camera of that size), the finest first.
    levels: tuple[tuple[Gray, Camera], ...]
    #: What a pixel of the finest spans at the subject.
    footprint_mm: float

    def level_for(self, footprint_mm: float) -> int:
        """The level whose pixels come nearest to such a footprint."""
        wanted = round(float(np.log2(footprint_mm / self.footprint_mm)))
        return min(max(wanted, 0), len(self.levels) - 1)

    def near(self, footprint_mm: float) -> tuple[Gray, Camera]:
        return self.levels[self.level_for(footprint_mm)]


def working_scale(camera: Camera, settings: ReconstructionSettings) -> float:
    """The share of its size at which a photograph is matched."""
    megapixels = camera.width * camera.height / 1e6
    return min(settings.scale, float(np.sqrt(settings.max_megapixels / megapixels)), 1.0)


def check_photo(image: Image, camera: Camera) -> str | None:
    """Why a photograph cannot serve, or None. Raises ShapeError where it does not fit its camera."""
    if image.shape != (camera.height, camera.width, 3):
        raise ShapeError(f"camera {camera.name or '?'}: image", image.shape, f"({camera.height}, {camera.width}, 3)")
    if float(image[::4, ::4].std()) < FLAT:
        return "the photograph shows nothing (one even tone)"
    return None


def pyramid(
    image: Image, camera: Camera, focus_mm: Floats, settings: ReconstructionSettings, scratch: Scratch
) -> Pyramid:
    """(H, W, 3) BGR as taken -> grey levels as `camera.pinhole()` would have taken them, amplified where noise is low.

    focus_mm: (3,) the subject.  The correlation of windows reckons with noise of NOISE_VARIANCE. A level that has less
    (each smaller one averages it) is amplified until it has as much: faint pores, the shading of a bare scalp and dark
    skin then count as far as they stand out from the noise of their own level.
    """
    grey = _grey(image)
    scale = working_scale(camera, settings)
    if scale < 1:
        camera = camera.scaled(scale)
        grey = _resized(grey, camera)
    grey = _undistorted(grey, camera, scratch)
    current = camera.pinhole()
    footprint = float(current.depth(focus_mm[None])[0] / current.K[0, 0])
    levels = [(grey, current)]
    while max(current.width, current.height) > COARSEST_PX:
        current = current.scaled(0.5)
        grey = scratch.kept(_resized(grey, current))
        levels.append((grey, current))
    for k, (grey, _) in enumerate(levels):
        least = ROUNDING_NOISE / 4**k
        grey *= np.float32(np.sqrt(NOISE_VARIANCE / np.clip(calm_variance(grey), least, NOISE_VARIANCE)))
    return Pyramid(tuple(levels), footprint)


def calm_variance(grey: Gray) -> float:
    """Variance of the noise of a pixel, from the calmest places of a photograph (Immerkaer 1996)."""
    kernel = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32) / 6
    rough = cv2.filter2D(grey, -1, kernel, borderType=cv2.BORDER_REFLECT_101)
    local = cv2.boxFilter(rough * rough, -1, (9, 9))[::9, ::9]
    return float(np.percentile(local, CALM_SHARE))


def _grey(image: Image) -> Gray:
    """(H, W) not rounded: what the three colours differ by within a grey level is texture too."""
    height, width = image.shape[:2]
    grey = np.empty((height, width), np.float32)
    for band in bands((height, width), TILE_PIXELS, 0):
        cv2.cvtColor(image[band.kept].astype(np.float32), cv2.COLOR_BGR2GRAY, dst=grey[band.kept])
    return grey


def _undistorted(grey: Gray, camera: Camera, scratch: Scratch) -> Gray:
    """As `Camera.undistort`, by cubic interpolation: a linear one blurs each place of the photograph differently."""
    if camera.is_pinhole:
        return scratch.kept(grey)
    straight = scratch.empty((camera.height, camera.width))
    for band in bands(grey.shape, TILE_PIXELS, 0):
        mx, my = camera.straightening_maps(band.kept.start, band.kept.stop)
        straight[band.kept] = cv2.remap(grey, mx, my, cv2.INTER_CUBIC)
    return straight


def _resized(grey: Gray, camera: Camera) -> Gray:
    return np.asarray(cv2.resize(grey, (camera.width, camera.height), interpolation=cv2.INTER_AREA), dtype=np.float32)
