"""Image files (PNG, JPEG): written whole or not at all, by their suffix; read within the bounds of a map."""

from pathlib import Path

import cv2
import numpy as np

from common.array_types import Image
from common.bounded.decoder_pool import decode
from common.bounded.limits import MAX_MAP_BYTES
from common.files.atomic_write import atomic_write
from processing.errors import DataError


def write_image(path: Path, image: Image, *, jpeg_quality: int = 95, png_compression: int = 6) -> None:
    """An image as PNG or JPEG, by the path's suffix.

    image: (H, W) grey, (H, W, 3) BGR, or for PNG (H, W, 4) with alpha.  png_compression: zlib's level, 0 to 9.
    Raises DataError for an array that is no image, OSError when there is no room.
    """
    jpeg = path.suffix.lower() in (".jpg", ".jpeg")
    options = [cv2.IMWRITE_JPEG_QUALITY, jpeg_quality] if jpeg else [cv2.IMWRITE_PNG_COMPRESSION, png_compression]
    try:
        _, data = cv2.imencode(path.suffix, image, options)
    except cv2.error:
        raise DataError(f"{path.name} cannot be encoded from an image of shape {image.shape}") from None
    with atomic_write(path) as temporary:
        temporary.write_bytes(data.tobytes())


def read_image(path: Path, *, alpha: bool = False) -> Image:
    """(H, W, 3) BGR; with alpha, as many channels as the file has. Raises DataError for a file that is no picture."""
    try:
        (image,), _ = decode("picture", path, most=MAX_MAP_BYTES, colours="AS_IS" if alpha else "BGR")
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read as a picture: {error}") from None
    return np.asarray(image) if alpha else np.asarray(image, dtype=np.uint8)
