"""Point samples: how bright, how sharp, how clipped each of many photographs shows the same points."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from common.array_types import Floats, Image
from processing.geometry.cameras import Camera
from processing.geometry.image_sampling import sample_image

_MEGAPIXELS = 1.0
_DARK, _BRIGHT = 6, 249  # the ends of the scale
_PATCH_PX = 5
_DETAIL_PX = 21
_NOISE = 0.15  # grey levels of it that no lens makes


@dataclass(frozen=True, eq=False)
class PointSamples:
    """What one view shows of P points; NaN where it was not asked or a point is outside its picture."""

    #: (P, 3) natural logarithm of the mean of a small patch; NaN where it is at an end of the scale.
    log_rgb: Floats
    #: (P,) +1 at the bright end, -1 at the dark end, else 0.
    clipped: Floats
    #: (P,) logarithm of the finest detail's amplitude over the local brightness, so that exposure drops out.
    detail: Floats
    #: (P,) squared distance from the picture's centre, 1 at its corners.
    radius2: Floats


def sample_points(image: Image, camera: Camera, points_mm: Floats, asked: NDArray[np.bool_]) -> PointSamples:
    """Measure the asked ones of (P, 3) points, head frame, in a photograph (BGR, as taken by the camera)."""
    factor = float(np.sqrt(_MEGAPIXELS * 1e6 / (camera.width * camera.height)))
    if factor < 1:
        camera = camera.scaled(factor)
        image = np.asarray(cv2.resize(image, (camera.width, camera.height), interpolation=cv2.INTER_AREA))
    out = PointSamples(*(np.full((len(points_mm), *more), np.nan) for more in ((3,), (), (), ())))
    index = np.flatnonzero(asked)
    pixels = camera.project(points_mm[index])
    margin = _DETAIL_PX // 2
    with np.errstate(invalid="ignore"):
        inside = ((pixels >= margin) & (pixels <= [camera.width - 1 - margin, camera.height - 1 - margin])).all(axis=1)
    index, pixels = index[inside], pixels[inside]
    if not len(index):
        return out
    patch = sample_image(cv2.boxFilter(image, -1, (_PATCH_PX, _PATCH_PX)), pixels)[:, ::-1].astype(np.float64)
    ends = np.where(patch.max(axis=1) >= _BRIGHT, 1.0, np.where(patch.mean(axis=1) <= _DARK, -1.0, 0.0))
    usable = (ends == 0) & (patch.min(axis=1) > 1)
    out.clipped[index] = ends
    out.log_rgb[index[usable]] = np.log(patch[usable])
    out.detail[index] = sample_image(_detail(image), pixels)
    half = np.array([camera.width, camera.height]) / 2
    out.radius2[index] = (((pixels - half + 0.5) / np.linalg.norm(half)) ** 2).sum(axis=1)
    return out


def _detail(image: Image) -> NDArray[np.float32]:
    """(H, W) logarithm of the amplitude of the finest detail over the local brightness."""
    grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY).astype(np.float32)
    box = (_DETAIL_PX, _DETAIL_PX)
    band = cv2.GaussianBlur(grey, (0, 0), 0.7) - cv2.GaussianBlur(grey, (0, 0), 1.8)
    amplitude = np.sqrt(cv2.boxFilter(band * band, -1, box))
    return np.asarray(np.log((amplitude + _NOISE) / (cv2.boxFilter(grey, -1, box) + 1)), dtype=np.float32)
