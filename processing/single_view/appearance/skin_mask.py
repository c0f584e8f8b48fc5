"""Where a photograph shows the face's own skin: what light and albedo explain, in pieces that hang together."""

import cv2
import numpy as np

from common.array_types import Bools, Floats, Floats32
from processing.face_models.fitting.robust import scatter
from processing.single_view.appearance.visible_samples import VisibleSamples

_USUAL = 3.5  # deviations of a colour that a skin's can still have
_LEAST, _MOST = -6.0, 2.5  # of what one sample says for or against skin, as a logarithm of odds
_SPREAD_MM = 3.0  # neighbours so far away speak for each other
_ISLAND_MM2, _HOLE_MM2 = 150.0, 40.0  # smaller ones are none
_FLOOR = 0.06  # of the logarithm of a colour's channels, linear: what a model is off at least
_BRIGHT = 250.0  # a channel from which on a place is a highlight


def skin_mask(
    samples: VisibleSamples, seen: Floats, explained: Floats, known: Bools, shape: tuple[int, int], step_mm: float
) -> tuple[Bools, Bools]:
    """(M,) which samples show skin, and the same over the photograph, (H, W).

    samples: of a dense grid.  seen, explained: (M, 3) linear light, of the photograph and by light and albedo.
    known: (M,) whether the colours can be compared.  step_mm: between neighbours, on the surface seen from its front.
    A place is compared by the logarithm of its channels' ratio: brightness, which shadows and highlights change, and
    the colours beside it, which hair, spectacles and cloth change too. What it says is smoothed over its neighbours.
    """
    if not len(samples):
        return np.zeros(0, np.bool_), np.zeros(shape, np.bool_)
    ratio = np.log((seen + 0.01) / (explained + 0.01))
    parts = np.stack([ratio.mean(axis=1), ratio[:, 0] - ratio[:, 1], ratio[:, 2] - ratio[:, 1]], axis=1)
    parts -= np.median(parts[known], axis=0) if known.any() else 0.0
    floors = np.array([2.0, 0.7, 1.0]) * _FLOOR
    spread = np.array([min(scatter(parts[known, k], floors[k]), 4 * floors[k]) for k in range(3)])
    far = np.square(parts / spread).sum(axis=1)
    odds = np.clip(0.5 * (_USUAL**2 - far) / _USUAL, _LEAST, _MOST)
    odds[~known] = 0.0
    column, row, size = _grid(samples)
    values, there = np.zeros(size, np.float32), np.zeros(size, np.float32)
    values[row, column], there[row, column] = odds, 1.0
    inside = _solid(_smoothed(values, there, _SPREAD_MM / step_mm) > 0, there > 0, step_mm)
    return inside[row, column], _enlarged(inside, samples, shape)


def full(seen: Floats) -> Bools:
    """(M,) of display colours (M, 3): highlights, in which a channel says no more."""
    return np.asarray((seen >= _BRIGHT).any(axis=1))


def _grid(samples: VisibleSamples) -> tuple[np.ndarray, np.ndarray, tuple[int, int]]:
    """Columns and rows (M,) of the samples in a grid, and its size."""
    at = np.rint((samples.pixel - samples.pixel.min(axis=0)) / samples.step_px).astype(np.int64)
    return at[:, 0], at[:, 1], (int(at[:, 1].max()) + 1, int(at[:, 0].max()) + 1)


def _smoothed(values: Floats32, there: Floats32, sigma: float) -> Floats32:
    total = cv2.GaussianBlur(values, (0, 0), max(sigma, 0.3), borderType=cv2.BORDER_CONSTANT)
    weight = cv2.GaussianBlur(there, (0, 0), max(sigma, 0.3), borderType=cv2.BORDER_CONSTANT)
    return np.asarray(total / weight.clip(1e-3), np.float32)


def _solid(inside: Bools, there: Bools, step_mm: float) -> Bools:
    """Without small islands and small holes."""
    kept = inside & there
    for most, of in ((_ISLAND_MM2, True), (_HOLE_MM2, False)):
        piece = (kept if of else there & ~kept).astype(np.uint8)
        _, label, stats, _ = cv2.connectedComponentsWithStats(piece, connectivity=4)
        small = stats[:, cv2.CC_STAT_AREA] * step_mm**2 < most
        small[0] = False
        if of:
            kept &= ~small[label]
        else:
            kept |= small[label]
    return kept


def _enlarged(inside: Bools, samples: VisibleSamples, shape: tuple[int, int]) -> Bools:
    """The grid's mask over the photograph."""
    step, low = samples.step_px, samples.pixel.min(axis=0)
    to_photograph = np.array([[step, 0, low[0]], [0, step, low[1]]])
    big = cv2.warpAffine(inside.astype(np.float32), to_photograph, shape[::-1], flags=cv2.INTER_LINEAR)
    return np.asarray(big > 0.5)
