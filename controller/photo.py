"""Reading a photograph that has just arrived: whether it decodes at all, and how large it is."""

import warnings
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from controller.errors import FrameRejected

MAX_PIXELS = 400_000_000


def read_size(path: Path) -> tuple[int, int]:
    """Decode the whole JPEG and give (width, height) in pixels.

    Raises FrameRejected when it is not a JPEG, is truncated or damaged, or is absurdly large.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(path, formats=["JPEG", "MPO"]) as image:
                width, height = image.size
                if width * height > MAX_PIXELS:
                    raise FrameRejected(f"{width}x{height} pixels are over {MAX_PIXELS // 1_000_000} megapixels")
                image.load()
    except UnidentifiedImageError as error:
        raise FrameRejected("not a JPEG photograph") from error
    except (Image.DecompressionBombError, OSError, SyntaxError, ValueError) as error:
        raise FrameRejected(f"the JPEG does not decode: {error}") from error
    return width, height
