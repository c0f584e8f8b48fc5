"""EXIF's orientation (EXIF 2.32, tag 0x0112): how a stored picture is to be turned to be looked at, 1 to 8."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray

INVERSE = {1: 1, 2: 2, 3: 3, 4: 4, 5: 5, 6: 8, 7: 7, 8: 6}  # what turns a picture back


def turned(image: "NDArray[Any]", orientation: int) -> "NDArray[Any]":
    """(H, W, ...) as stored -> as it is to be seen."""
    import numpy as np

    if orientation >= 5:
        image = image.swapaxes(0, 1)
    rows = slice(None, None, -1 if orientation in (3, 4, 7, 8) else 1)
    columns = slice(None, None, -1 if orientation in (2, 3, 6, 7) else 1)
    return np.ascontiguousarray(image[rows, columns])
