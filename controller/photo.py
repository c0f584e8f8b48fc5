"""Reading a photograph that has just arrived: whether it decodes at all, how large and how bright it is."""

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from PIL import Image, UnidentifiedImageError

from controller.errors import FrameRejected

MAX_PIXELS = 400_000_000
CLIPPED = 253  # of 255: a JPEG rarely keeps a clean 255
SAMPLE = 8  # brightness is judged on every eighth pixel each way


@dataclass(frozen=True)
class Photo:
    """A photograph that decodes: size in pixels, mean brightness 0..255, share of clipped pixels in percent."""

    width: int
    height: int
    brightness: float
    clipped_percent: float


def read_photo(path: Path) -> Photo:
    """Decode the whole JPEG.

    Raises FrameRejected when it is not a JPEG, is truncated or damaged, or is absurdly large; OSError when the file
    itself cannot be opened.
    """
    with path.open("rb") as file:
        sample, width, height = _decode(file)
    counts = sample.convert("L").histogram()
    total = sum(counts)
    mean = sum(value * count for value, count in enumerate(counts)) / total
    return Photo(width, height, mean, 100.0 * sum(counts[CLIPPED:]) / total)


def _decode(file: IO[bytes]) -> tuple[Image.Image, int, int]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(file, formats=["JPEG"]) as image:
                width, height = image.size
                if width * height > MAX_PIXELS:
                    raise FrameRejected(f"{width}x{height} pixels are over {MAX_PIXELS // 1_000_000} megapixels")
                image.load()
                size = (max(1, width // SAMPLE), max(1, height // SAMPLE))
                return image.resize(size, Image.Resampling.NEAREST), width, height
    except UnidentifiedImageError as error:
        raise FrameRejected("not a JPEG photograph") from error
    except (Image.DecompressionBombError, OSError, SyntaxError, ValueError) as error:
        raise FrameRejected(f"the JPEG does not decode: {error}") from error
