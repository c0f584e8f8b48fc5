"""Colours of vertices as mesh files write them: bytes, 16 bits, or fractions."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def colours_of_numbers(rgb: NDArray[Any]) -> NDArray[np.uint8]:
    """(V, 3) of 8 bits; what is not finite becomes 0 or 255.

    Fractions go to 1, or to 255 where any is above 1; whole numbers to 255, or to 65,535 where any is above 255.
    """
    if rgb.dtype == np.uint8:
        return rgb
    values = np.nan_to_num(rgb.astype(np.float64), posinf=255, neginf=0)
    highest = values.max(initial=0)
    if rgb.dtype.kind == "f" and highest <= 1:
        values *= 255
    elif rgb.dtype.kind != "f" and highest > 255:
        values /= 257
    return np.asarray(np.rint(values).clip(0, 255), dtype=np.uint8)
