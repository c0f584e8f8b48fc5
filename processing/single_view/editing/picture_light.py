"""Pictures in linear light and back, float32."""

import cv2
import numpy as np

from common.array_types import Bools, Floats32
from processing.single_view.appearance.lighting import display, linear


def to_light(picture: Floats32) -> Floats32:
    """Display values 0..255 to linear light 0..1."""
    return linear(picture.astype(np.float64)).astype(np.float32)


def to_display(light: Floats32) -> Floats32:
    """Linear light to display values 0..255 and beyond."""
    return display(light.astype(np.float64)).astype(np.float32)


def soft(mask: Bools, sigma_px: float) -> Floats32:
    """(H, W) 0..1: a mask with soft edges."""
    return np.asarray(cv2.GaussianBlur(mask.astype(np.float32), (0, 0), max(sigma_px, 0.3)), dtype=np.float32)


def sampled(picture: Floats32, places_px: Floats32) -> Floats32:
    """(h, w, K) of a picture (H, W, K), 0..255, at places (h, w, 2), x first; beyond it its edge goes on."""
    values = cv2.remap(picture, places_px, None, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(values, dtype=np.float32).clip(0, 255)
