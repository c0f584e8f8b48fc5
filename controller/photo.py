"""Reading a photograph that has just arrived: whether it decodes at all, how large and bright it is, what it says."""

import logging
import math
import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from PIL import ExifTags, Image, UnidentifiedImageError

from controller.errors import FrameRejected

log = logging.getLogger(__name__)

MAX_PIXELS = 400_000_000
CLIPPED = 253  # of 255: a JPEG rarely keeps a clean 255
SAMPLE = 8  # brightness is judged on blocks of eight pixels each way

# A 50-megapixel photograph is no attack; MAX_PIXELS is the limit here.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)


@dataclass(frozen=True)
class Exif:
    """What a photograph says of itself (EXIF 2.32); empty or None where it says nothing.

    taken_at: by the camera's own clock, as it writes it ("2026:03:01 10:15:02"). exposure_s in seconds, focal_length_mm
    in millimetres, orientation 1..8 (1: as stored). problem: why the block could not be read.
    """

    make: str = ""
    model: str = ""
    serial: str = ""
    lens: str = ""
    taken_at: str = ""
    exposure_s: float | None = None
    f_number: float | None = None
    iso: int | None = None
    focal_length_mm: float | None = None
    orientation: int | None = None
    problem: str = ""

    def values(self) -> dict[str, Any]:
        """What is known, for the records; empty without EXIF."""
        return {key: value for key, value in asdict(self).items() if value not in ("", None)}


@dataclass(frozen=True)
class Photo:
    """A photograph that decodes: size in pixels, mean brightness 0..255, share of clipped blocks in percent, EXIF."""

    width: int
    height: int
    brightness: float
    clipped_percent: float
    exif: Exif = Exif()


def read_photo(path: Path) -> Photo:
    """Decode the whole JPEG at an eighth of its size: every byte is read, and it takes less than half the time.

    Raises FrameRejected when it is not a JPEG, is truncated or damaged, or is absurdly large; OSError when the file
    itself cannot be opened. EXIF that cannot be read rejects nothing: the photograph is what matters.
    """
    with path.open("rb") as file:
        small, width, height, exif = _decode(file)
    counts = small.histogram()
    total = sum(counts)
    mean = sum(value * count for value, count in enumerate(counts)) / total
    return Photo(width, height, mean, 100.0 * sum(counts[CLIPPED:]) / total, exif)


def _decode(file: IO[bytes]) -> tuple[Image.Image, int, int, Exif]:
    try:
        with Image.open(file, formats=["JPEG"]) as image:
            width, height = image.size
            if width * height > MAX_PIXELS:
                raise FrameRejected(f"{width}x{height} pixels are over {MAX_PIXELS // 1_000_000} megapixels")
            exif = _read_exif(image)
            image.draft("L", (max(1, width // SAMPLE), max(1, height // SAMPLE)))
            image.load()
            return image.convert("L"), width, height, exif
    except UnidentifiedImageError as error:
        raise FrameRejected("not a JPEG photograph") from error
    except (Image.DecompressionBombError, OSError, SyntaxError, ValueError) as error:
        raise FrameRejected(f"the JPEG does not decode: {error}") from error


def _read_exif(image: Image.Image) -> Exif:
    try:
        tags = image.getexif()
        inner: Mapping[int, Any] = tags.get_ifd(ExifTags.IFD.Exif)
        return Exif(
            make=_text(tags.get(ExifTags.Base.Make)),
            model=_text(tags.get(ExifTags.Base.Model)),
            serial=_text(inner.get(ExifTags.Base.BodySerialNumber)),
            lens=_text(inner.get(ExifTags.Base.LensModel)),
            taken_at=_text(inner.get(ExifTags.Base.DateTimeOriginal)),
            exposure_s=_number(inner.get(ExifTags.Base.ExposureTime)),
            f_number=_number(inner.get(ExifTags.Base.FNumber)),
            iso=_whole(inner.get(ExifTags.Base.ISOSpeedRatings)),
            focal_length_mm=_number(inner.get(ExifTags.Base.FocalLength)),
            orientation=_whole(tags.get(ExifTags.Base.Orientation)),
        )
    except Exception as error:  # a stranger's bytes in a stranger's parser: whatever it is, the photograph stands
        log.debug("EXIF unreadable", exc_info=True)
        return Exif(problem=f"EXIF cannot be read: {type(error).__name__}: {error}"[:200])


def _text(value: object) -> str:
    """The first 100 printable characters of a text field."""
    text = value.decode("ascii", "replace") if isinstance(value, bytes) else value if isinstance(value, str) else ""
    return "".join(c for c in text.split("\0", 1)[0] if c.isprintable()).strip()[:100]


def _number(value: object) -> float | None:
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, ZeroDivisionError, OverflowError):
        return None
    return round(number, 9) if math.isfinite(number) and number >= 0 else None


def _whole(value: object) -> int | None:
    number = _number(value[0] if isinstance(value, tuple) and value else value)
    return None if number is None or number > 2**31 else int(number)
