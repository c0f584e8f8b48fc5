"""Dense optical flow between two pictures of one face over the same UVs, checked forward against backward."""

from dataclasses import dataclass

import cv2
import numpy as np

from common.array_types import Bools, Floats, Floats32, Image
from processing.errors import ShapeError
from processing.geometry.image_sampling import sample_image

_PATCH_PX, _STRIDE_PX, _DESCENTS, _FINEST = 8, 4, 25, 1
_UNSEEN = 1e3
_LOW_CONTRAST = 2.0  # grey levels: below this there is nothing but noise to compare


@dataclass(frozen=True, eq=False)
class Flow:
    """Where the reference's pattern lies in the other picture."""

    shift_px: Floats32  # (S, S, 2) x and y: what the reference shows at p, the other picture shows at p + shift
    #: (S, S) forward-backward error: by which the way there and the way back miss each other; _UNSEEN where either is.
    error_px: Floats32

    def at(self, pixels: Floats) -> tuple[Floats32, Floats32]:
        """(N, 2) texel positions -> (N, 2) shift and (N,) forward-backward error, bilinear."""
        return sample_image(self.shift_px, pixels), sample_image(self.error_px, pixels)


def appearance_flow(
    reference: Image, other: Image, reference_seen: Bools, other_seen: Bools, *, contrast_px: float = 8.0
) -> Flow:
    """Flow from `reference` to `other`, (S, S, 3) BGR, by dense inverse search (Kroeger et al. 2016), both ways.

    Local brightness and contrast are taken out first (over contrast_px): wrinkles and light change them, and skin keeps
    its pattern.  reference_seen, other_seen: (S, S) texels that show the face.  Raises ShapeError.
    """
    if reference.shape != other.shape or reference.ndim != 3:
        raise ShapeError("other", other.shape, f"as reference, {reference.shape}")
    for name, mask in (("reference_seen", reference_seen), ("other_seen", other_seen)):
        if mask.shape != reference.shape[:2]:
            raise ShapeError(name, mask.shape, str(reference.shape[:2]))
    a, b = _pattern(reference, contrast_px), _pattern(other, contrast_px)
    search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    search.setFinestScale(_FINEST)
    search.setPatchSize(_PATCH_PX)
    search.setPatchStride(_STRIDE_PX)
    search.setGradientDescentIterations(_DESCENTS)
    there = np.asarray(search.calc(a, b, None), dtype=np.float32)
    back = np.asarray(search.calc(b, a, None), dtype=np.float32)
    size = len(a)
    x, y = np.meshgrid(np.arange(size, dtype=np.float32), np.arange(size, dtype=np.float32))
    at_x, at_y = x + there[..., 0], y + there[..., 1]
    returned = there + cv2.remap(back, at_x, at_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    error = np.asarray(np.linalg.norm(returned, axis=2), dtype=np.float32)
    arrived = cv2.remap(other_seen.astype(np.float32), at_x, at_y, cv2.INTER_LINEAR, borderValue=(0,))
    error[~reference_seen | (np.asarray(arrived) < 0.999)] = _UNSEEN
    return Flow(there, error)


def normalized_contrast(grey: Floats32, *, radius_px: float, gain: float, floor: float) -> Image:
    """(H, W) uint8 around 128: grey levels less their local mean, over their local standard deviation (plus floor)."""
    detail = grey - cv2.GaussianBlur(grey, (0, 0), radius_px)
    spread = np.sqrt(cv2.GaussianBlur(detail * detail, (0, 0), radius_px)) + floor
    return np.asarray((128 + gain * detail / spread).clip(0, 255), dtype=np.uint8)


def _pattern(image: Image, radius_px: float) -> Image:
    """(S, S): what is compared of a picture of a face."""
    grey = image.astype(np.float32).mean(axis=2)
    return normalized_contrast(grey, radius_px=radius_px, gain=50, floor=_LOW_CONTRAST)
