"""Sampling of images at positions between pixels, whose centres are at integers."""

import cv2
import numpy as np
from numpy.typing import NDArray

from common.array_types import Floats32

_COLUMNS, _ROWS = 4096, 16384  # OpenCV's remap takes at most 32767 of either


def sample_image(
    image: NDArray[np.generic],
    pixels: NDArray[np.floating],
    *,
    outside: float | None = None,
    nearest: bool = False,
) -> Floats32:
    """The values of an image (H, W) or (H, W, K) at (N, 2) px, x first: (N,) or (N, K), bilinear.

    Of whole numbers the result is rounded to whole numbers.
    outside: the value beyond the image; None: its edge goes on.  nearest: the value of the nearest pixel instead.
    """
    count = len(pixels)
    padded = np.zeros((-(-max(count, 1) // _COLUMNS) * _COLUMNS, 2), dtype=np.float32)
    padded[:count] = pixels
    grid = padded.reshape(-1, _COLUMNS, 2)
    how = cv2.INTER_NEAREST if nearest else cv2.INTER_LINEAR
    border = cv2.BORDER_REPLICATE if outside is None else cv2.BORDER_CONSTANT
    sampled = [
        cv2.remap(image, rows, None, how, borderMode=border, borderValue=(outside or 0.0,) * 4)
        for rows in np.split(grid, range(_ROWS, len(grid), _ROWS))
    ]
    return np.concatenate(sampled).reshape(len(padded), *image.shape[2:])[:count].astype(np.float32, copy=False)
