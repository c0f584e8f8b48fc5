"""A neutral face's appearance as a file: a PNG whose transparency says what was seen."""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from common.array_types import Bools, Image
from common.bounded.decoder_pool import decode
from common.bounded.limits import MAX_MAP_BYTES
from common.files.atomic_write import atomic_write
from processing.errors import DataError


@dataclass(frozen=True, eq=False)
class Appearance:
    """The neutral face as it looks over the template's UVs: image (S, S, 3) BGR, seen (S, S)."""

    image: Image
    seen: Bools


def write_appearance(path: Path, appearance: Appearance | None) -> None:
    """(S, S) PNG, blue, green, red, and alpha where seen; one transparent texel for none."""
    pixels = np.zeros((1, 1, 4), np.uint8)
    if appearance is not None:
        pixels = np.dstack([appearance.image, appearance.seen.astype(np.uint8) * 255])
    with atomic_write(path) as temporary:
        temporary.write_bytes(cv2.imencode(".png", pixels, [cv2.IMWRITE_PNG_COMPRESSION, 4])[1].tobytes())


def read_appearance(path: Path) -> Appearance:
    """What write_appearance wrote. Raises DataError for another picture, or one of an expression."""
    try:
        (pixels,), _ = decode("picture", path, most=MAX_MAP_BYTES, colours="AS_IS")
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read as a picture: {error}") from None
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 4 or len(pixels) < 2:
        raise DataError(f"{path} holds no appearance of a neutral face; register the neutral take again")
    return Appearance(np.ascontiguousarray(pixels[..., :3], dtype=np.uint8), np.asarray(pixels[..., 3] > 127))
