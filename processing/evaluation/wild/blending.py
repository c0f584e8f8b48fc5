"""A rendered face brought into a photograph's colours: as a whole, and at its border as the skin around it is."""

import cv2
import numpy as np

from common.array_types import Bools, Floats32
from processing.evaluation.wild.face_region import grown, shrunk
from processing.single_view.editing.hole_filling import extended

REACH_SHARE = 0.16  # of the face's width, within which its border's colours are the photograph's
RING_SHARE = 0.05  # of the face's width: the ring in which they are compared
SMOOTH_SHARE = 0.04  # of the face's width: what is compared is smooth
ONE_COLOUR = 0.025  # deviation of the channels' logarithms, below which there is one
LEAST_GAIN, MOST_GAIN = 0.4, 2.5
_FLOOR = 2e-3  # linear light below which colours say nothing


def matched(render: Floats32, photograph: Floats32, skin: Bools) -> Floats32:
    """The render (h, w, 3), linear, with the exposure and white balance of the photograph's skin: a factor a channel.

    skin: (h, w) where both show skin. The median of the ratio: a beard, a highlight or a shadow is no exposure.
    """
    if skin.sum() < 50:
        return render
    ratio = np.median(photograph[skin] / np.maximum(render[skin], _FLOOR), axis=0)
    return np.asarray(render * ratio.clip(0.05, 20), dtype=np.float32)


def joined(render: Floats32, photograph: Floats32, face: Bools, skin: Bools, width_px: float) -> Floats32:
    """The render (h, w, 3), linear, times a smooth field that makes its rim as light as the photograph's skin there.

    face: (h, w) where the render is; skin: (h, w) where the photograph shows skin around and under it. The logarithm of
    the ratio is a membrane between the rim and the face's middle, where it is nothing: what shading tells of the shape
    stays, as it varies faster than the membrane can.
    """
    sigma = max(1.0, SMOOTH_SHARE * width_px)
    ours, theirs = (_smooth_inside(image, mask, sigma) for image, mask in ((render, face), (photograph, skin)))
    ring = face & ~shrunk(face, max(2.0, RING_SHARE * width_px)) & shrunk(skin, 1.0)
    middle = shrunk(face, REACH_SHARE * width_px)
    outside = ~grown(face, RING_SHARE * width_px)
    if not ring.any() or not middle.any():
        return render
    ratio = (theirs + _FLOOR) / (ours + _FLOOR)
    field = np.log(ratio.clip(LEAST_GAIN, MOST_GAIN)) * ring[..., None]
    membrane = extended(field.astype(np.float32), ring | middle | outside)
    membrane = cv2.GaussianBlur(membrane, (0, 0), sigma / 2)
    return np.asarray(render * np.exp(membrane), dtype=np.float32)


def monochrome(photograph: Floats32, face: Bools) -> bool:
    """Whether a display photograph (h, w, 3), 0..255, has but one colour in the face: black and white, or toned."""
    seen = photograph[face] + 8.0
    tone = np.log(seen / seen.mean(axis=1, keepdims=True))
    return bool(np.square(tone - np.median(tone, axis=0)).mean() < ONE_COLOUR**2)


def grain(photograph: Floats32, skin: Bools) -> float:
    """Standard deviation of a display photograph's noise on smooth skin: (h, w, 3), 0..255; (h, w)."""
    grey = photograph.mean(axis=2)
    kernel = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], dtype=np.float32)
    high = cv2.filter2D(grey, cv2.CV_32F, kernel)[shrunk(skin, 2.0)]
    return float(np.median(np.abs(high)) / 0.6745 / 6) if len(high) else 0.0


def _smooth_inside(image: Floats32, mask: Bools, sigma: float) -> Floats32:
    """The image blurred within a mask, without what lies beside it."""
    weight = mask.astype(np.float32)
    total = cv2.GaussianBlur(weight, (0, 0), sigma)
    blurred = cv2.GaussianBlur(image * weight[..., None], (0, 0), sigma)
    return np.asarray(blurred / np.maximum(total, 1e-4)[..., None], dtype=np.float32)
