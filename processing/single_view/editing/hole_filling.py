"""Values of a picture carried on smoothly to where there are none."""

import cv2
import numpy as np

from common.array_types import Bools, Floats32

_SMALLEST = 4  # px, at which the pyramid ends
_SWEEPS = 24  # of relaxation at each level: the rest of what the coarser level could not know


def extended(values: Floats32, known: Bools, *, sweeps: int = _SWEEPS) -> Floats32:
    """(H, W, K) float32 with its known pixels as they are and the others about harmonic between them.

    From coarse to fine, each level relaxed (Jacobi) with its known pixels held: what a membrane does that is spanned
    between them. Nothing known: zeros.
    """
    values = np.ascontiguousarray(values, dtype=np.float32)
    if values.ndim == 2:
        return extended(values[..., None], known, sweeps=sweeps)[..., 0]
    if known.all() or not known.any():
        return values if known.any() else np.zeros_like(values)
    weight = known.astype(np.float32)
    filled = _level(values * weight[..., None], weight, sweeps)
    return np.where(known[..., None], values, filled).astype(np.float32)


def _level(weighted: Floats32, weight: Floats32, sweeps: int) -> Floats32:
    """weighted: values times weight (h, w, K); weight (h, w) 0..1: how much of a pixel is known."""
    known = weight > 0
    mean = weighted / np.maximum(weight, 1e-9)[..., None]
    height, width = weight.shape
    if min(height, width) <= _SMALLEST or known.all():
        total = weighted.sum(axis=(0, 1)) / max(float(weight.sum()), 1e-9)
        return np.where(known[..., None], mean, total).astype(np.float32)
    half = ((width + 1) // 2, (height + 1) // 2)
    down = np.concatenate([weighted, weight[..., None]], axis=2)
    down = _resized(down, half, cv2.INTER_AREA)
    coarse = _level(down[..., :-1], down[..., -1], sweeps)
    filled = np.where(known[..., None], mean, _resized(coarse, (width, height), cv2.INTER_LINEAR))
    for _ in range(sweeps):
        around = cv2.blur(filled, (3, 3), borderType=cv2.BORDER_REPLICATE).reshape(filled.shape)
        filled = np.where(known[..., None], mean, around)
    return filled.astype(np.float32)


def _resized(image: Floats32, size: tuple[int, int], how: int) -> Floats32:
    small = cv2.resize(image, size, interpolation=how)
    return np.asarray(small, dtype=np.float32).reshape(size[1], size[0], image.shape[2])
