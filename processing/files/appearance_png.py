"""Appearance of a neutral face as a PNG whose transparency says what was seen."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from common.array_types import Bools, Image
from processing.errors import DataError
from processing.files.image_files import read_image, write_image


@dataclass(frozen=True, eq=False)
class Appearance:
    """The neutral face as it looks over the template's UVs."""

    image: Image  # (S, S, 3) BGR
    seen: Bools  # (S, S) which texels a camera saw


def write_appearance(path: Path, appearance: Appearance | None) -> None:
    """(S, S) PNG, blue, green, red, and alpha where seen; one transparent texel for none."""
    pixels = np.zeros((1, 1, 4), np.uint8)
    if appearance is not None:
        pixels = np.dstack([appearance.image, appearance.seen.astype(np.uint8) * 255])
    write_image(path, pixels, png_compression=4)


def read_appearance(path: Path) -> Appearance:
    """What write_appearance wrote. Raises DataError for another picture, or one of an expression."""
    pixels = read_image(path, alpha=True)
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 4 or len(pixels) < 2:
        raise DataError(f"{path} holds no appearance of a neutral face; register the neutral take again")
    return Appearance(np.ascontiguousarray(pixels[..., :3]), np.asarray(pixels[..., 3] > 127))
