"""Measures of one photograph, taken without knowing what it shows. Pure: arrays in, numbers out.

Needs numpy and OpenCV, so only the check processes import it.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from common.array_types import Gray

Pixels = NDArray[np.uint8]

TILE_PX = 64
OCTAVES = 8  # the coarse detail is at eight times the scale of the fine
DETAILED_SHARE = 0.08  # of the tiles: where the edges are that focus is judged by
CLIPPED = 253  # of 255: a JPEG rarely keeps a clean 255
FAINT = 0.1  # of the brightness: coarse detail weaker than this is no sign of focus


@dataclass(frozen=True)
class ImageMeasures:
    """What was measured in one photograph."""

    sharpness: float | None  # finest detail beside coarse; None where a photograph has no detail at all
    brightness: float  # mean, 0..255
    clipped_percent: float  # pixels of which a channel is at its end


def measure(rgb: Pixels) -> ImageMeasures:
    """(H, W, 3) uint8 -> Measures."""
    clipped = (rgb[::6, ::6] >= CLIPPED).any(axis=-1)
    return ImageMeasures(
        sharpness=sharpness(rgb[..., 1]),  # green: the sharpest channel
        brightness=float(rgb[::4, ::4].mean()),
        clipped_percent=100.0 * float(clipped.mean()),
    )


def sharpness(gray: Pixels) -> float | None:
    """How much of the detail is in the finest octave: root of its energy over that of the fourth.

    gray: (H, W) uint8. Second differences at 1 and at 8 pixels, summed over tiles; only the tiles richest in coarse
    detail count, so that a dark background does not. What the flattest tiles have is taken off as noise. The ratio does
    not change with exposure or contrast, hardly with what is shown, and falls with any blur. None for a photograph
    without detail, or smaller than a few tiles. A ratio of bands as in Pertuz et al. 2013, section 2.
    """
    rows, columns = gray.shape[0] // TILE_PX, gray.shape[1] // TILE_PX
    if rows * columns < 4:
        return None
    gray = gray[: rows * TILE_PX, : columns * TILE_PX]
    small = cv2.resize(gray, (gray.shape[1] // OCTAVES, gray.shape[0] // OCTAVES), interpolation=cv2.INTER_AREA)
    size = TILE_PX // OCTAVES
    coarse = _energy(_tiles(small, rows, columns, size))
    count = max(1, round(DETAILED_SHARE * coarse.size))
    order = np.argsort(coarse)
    best, flat = order[-count:], order[: max(1, coarse.size // 5)]
    tiles = _tiles(gray, rows, columns, TILE_PX)
    below = float(coarse[best].mean()) - float(np.median(coarse[flat]))
    above = float(_energy(tiles[best]).mean()) - float(np.median(_energy(tiles[flat[::4]])))
    if below < 1.0:
        return None
    detail = np.sqrt(below) / (FAINT * max(float(small.mean()), 1.0))
    return float(np.sqrt(max(above, 0.0) / below) * min(1.0, detail))


def _tiles(image: Pixels, rows: int, columns: int, size: int) -> Pixels:
    """(rows * columns, size, size), a copy only where it must be."""
    return image.reshape(rows, size, columns, size).swapaxes(1, 2).reshape(-1, size, size)


def _energy(tiles: Pixels) -> Gray:
    """(n, s, s) -> (n,) mean energy of the second differences across and down."""
    t = tiles.astype(np.float32)
    middle = 2 * t[:, 1:-1, 1:-1]
    across = t[:, 1:-1, :-2] + t[:, 1:-1, 2:] - middle
    down = t[:, :-2, 1:-1] + t[:, 2:, 1:-1] - middle
    return np.asarray((across * across + down * down).mean((1, 2)), dtype=np.float32)
