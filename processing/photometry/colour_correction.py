"""Colour correction: photographs under their camera's colour profile, and sRGB's transfer curve."""

import cv2
import numpy as np
from numpy.typing import NDArray

from common.array_types import Floats, Image
from processing.files.colour_profiles import Profile

_STEPS = 4096


def to_linear(values: NDArray[np.generic]) -> Floats:
    """sRGB's values, 0 to 1 -> light, 0 to 1 (IEC 61966-2-1)."""
    v = np.asarray(values, dtype=np.float64)
    return np.where(v <= 0.04045, v / 12.92, ((np.maximum(v, 0.04045) + 0.055) / 1.055) ** 2.4)


def from_linear(light: NDArray[np.generic]) -> Floats:
    """Light, 0 to 1 -> sRGB's values, 0 to 1."""
    x = np.clip(np.asarray(light, dtype=np.float64), 0, 1)
    return np.where(x <= 0.0031308, 12.92 * x, 1.055 * np.maximum(x, 0.0031308) ** (1 / 2.4) - 0.055)


_LIGHT = to_linear(np.arange(256) / 255).astype(np.float32)
_CODES = np.rint(255 * from_linear(np.linspace(0, 1, _STEPS))).astype(np.uint8)


def apply_profile(image: Image, profile: Profile) -> Image:
    """(H, W, 3) BGR -> the same under the profile; what leaves the scale is cut."""
    light = _LIGHT[image]
    if profile.vignetting:
        height, width = image.shape[:2]
        y, x = np.mgrid[:height, :width].astype(np.float32)
        half = np.array([width, height]) / 2
        r2 = ((x - half[0] + 0.5) ** 2 + (y - half[1] + 0.5) ** 2) / float(half @ half)
        light *= ((1 - profile.vignetting) ** -(2.2 * r2))[..., None].astype(np.float32)
    matrix = profile.matrix[::-1, ::-1].astype(np.float32)  # RGB -> BGR on both sides
    mixed = cv2.transform(light, np.ascontiguousarray(matrix))
    return np.asarray(_CODES[np.clip(mixed * (_STEPS - 1) + 0.5, 0, _STEPS - 1).astype(np.int16)], dtype=np.uint8)
