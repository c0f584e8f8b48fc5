"""Reading a photograph that has just arrived: whether it is whole, how large it is, what it says of itself.

Nothing is looked at here: how bright it is, how sharp, is for the check processes (controller.take_checks), which read
every code of it once more.
"""

import logging
import math
import os
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import IO, Any

from PIL import ExifTags, Image, UnidentifiedImageError

from common.bounded.decoder_pool import decode
from common.bounded.files import open_regular_file
from common.bounded.limits import MAX_PIXELS, OutOfBounds
from controller.errors import FrameRejected

log = logging.getLogger(__name__)

Image.MAX_IMAGE_PIXELS = MAX_PIXELS  # one meaning: Pillow's own limit is another
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)  # what is over it is refused below


@dataclass(frozen=True)
class Exif:
    """What a photograph says of itself (EXIF 2.32); empty or None where it says nothing."""

    make: str = ""  # of the body
    model: str = ""  # of the body
    serial: str = ""  # of the body
    lens: str = ""  # its model
    taken_at: str = ""  # by the camera's own clock, as it writes it ("2026:03:01 10:15:02")
    taken_subsec: str = ""  # the fraction of that second ("25")
    taken_offset: str = ""  # the time zone ("+01:00")
    exposure_s: float | None = None  # exposure time
    f_number: float | None = None  # aperture
    iso: int | None = None  # sensitivity
    focal_length_mm: float | None = None  # of the lens
    orientation: int | None = None  # 1..8 (1: as stored)
    problem: str = ""  # why the block could not be read

    def values(self) -> dict[str, Any]:
        """What is known, for the records; empty without EXIF."""
        return {key: value for key, value in asdict(self).items() if value not in ("", None)}


@dataclass(frozen=True)
class PhotographHeader:
    """A photograph that is whole."""

    width: int  # px
    height: int  # px
    exif: Exif = Exif()  # what it says of itself


def read_photo(path: Path, *, proven: bool = False) -> PhotographHeader:
    """Read a JPEG's header and EXIF, and every code of it unless its node has `proven` these very bytes whole.

    Raises FrameRejected when it is not a JPEG, is truncated or damaged, or is absurdly large; OSError when the file
    itself cannot be opened or read. EXIF that cannot be read rejects nothing: the photograph is what matters.
    """
    if proven:
        with os.fdopen(open_regular_file(path), "rb") as file:
            return _read_header(file)
    photo = read_photo(path, proven=True)
    try:
        _, verdict = decode("proof", path)
    except OutOfBounds as error:
        raise FrameRejected(f"the JPEG is not read: {error}") from None
    except ValueError as error:
        raise FrameRejected(f"the JPEG is damaged: {error}") from None
    if verdict["flaw"]:
        raise FrameRejected(f"the JPEG is damaged: {verdict['flaw']}")
    return photo


def _read_header(file: IO[bytes]) -> PhotographHeader:
    with _refusing(), Image.open(file, formats=["JPEG"]) as image:
        width, height = image.size
        if width * height > MAX_PIXELS:
            raise FrameRejected(f"{width}x{height} pixels are over {MAX_PIXELS // 1_000_000} megapixels")
        return PhotographHeader(width, height, _read_exif(image))


@contextmanager
def _refusing() -> Iterator[None]:
    try:
        yield
    except UnidentifiedImageError as error:
        raise FrameRejected("not a JPEG photograph") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise FrameRejected(f"the photograph has more than {MAX_PIXELS // 1_000_000} megapixels: {error}") from None
    except (OSError, SyntaxError, ValueError) as error:
        if isinstance(error, OSError) and error.errno is not None:  # the disk's or the network's: no photograph's fault
            raise
        raise FrameRejected(f"the JPEG does not decode: {error}") from error


def exif_of(values: Mapping[str, Any] | None) -> Exif:
    """What Exif.values() was made of; fields of another version of Mien are left out."""
    known = {one.name for one in fields(Exif)}
    return Exif(**{key: value for key, value in (values or {}).items() if key in known})


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
            taken_subsec=_text(inner.get(ExifTags.Base.SubsecTimeOriginal)),
            taken_offset=_text(inner.get(ExifTags.Base.OffsetTimeOriginal)),
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
