"""Displacement maps as 16-bit PNG.

    height_mm = (value - 32768) / 32768 * scale_mm        scale_mm = 5.0

The PNG says so itself, in the text chunks `scale_mm`, `midpoint`, `unit` and `formula`; `valid_mask` (compressed) holds
one bit a texel: 1 where the height was measured, 0 where it was filled in smoothly.
"""

import base64
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage
from PIL import PngImagePlugin

from common.array_types import Bools, Floats32
from common.bounded.decoder_pool import decode
from common.bounded.limits import MAX_MAP_BYTES
from common.files.atomic_write import atomic_write
from processing.files.displacement_map import (
    DisplacementMap,
    DisplacementMapError,
    agreed_scale_mm,
    check_finite,
    check_square,
)

SCALE_MM = 5.0
MIDPOINT = 32768
QUANTUM = 16  # steps of the 16 bits that a file keeps: 2.4 um, a tenth of a scan's noise, at half the bytes
FORMULA = "height_mm = (value - midpoint) / midpoint * scale_mm"


def encode_displacement(height_mm: Floats32, scale_mm: float = SCALE_MM) -> NDArray[np.uint16]:
    """Heights as 16-bit numbers; a step is scale_mm / 32768 (0.15 um), heights beyond the scale are cut off."""
    check_finite(height_mm)
    value = np.rint(height_mm.astype(np.float64) / scale_mm * MIDPOINT) + MIDPOINT
    return value.clip(0, 65535).astype(np.uint16)


def decode_displacement(values: NDArray[np.uint16], scale_mm: float = SCALE_MM) -> Floats32:
    """What encode_displacement encoded, within half a step."""
    return ((values.astype(np.float64) - MIDPOINT) / MIDPOINT * scale_mm).astype(np.float32)


def write_displacement_png(path: Path, displacement: DisplacementMap, scale_mm: float = SCALE_MM) -> None:
    """A 16-bit grey PNG with its scale and validity inside; heights to the nearest of every QUANTUM-th value."""
    about = PngImagePlugin.PngInfo()
    about.add_text("scale_mm", repr(scale_mm))
    about.add_text("midpoint", str(MIDPOINT))
    about.add_text("unit", "mm")
    about.add_text("formula", FORMULA)
    bits = zlib.compress(np.packbits(displacement.valid.ravel()).tobytes(), 9)
    about.add_text("valid_mask", base64.b64encode(bits).decode("ascii"))
    values = encode_displacement(displacement.height_mm, scale_mm).astype(np.int32) + QUANTUM // 2
    picture = PillowImage.fromarray((values // QUANTUM * QUANTUM).clip(0, 65535).astype(np.uint16))
    with atomic_write(Path(path)) as temporary:
        picture.save(temporary, format="PNG", pnginfo=about, compress_level=4)


def read_displacement_png(path: Path, *, scale_mm: float | None = None) -> DisplacementMap:
    """A displacement map; scale_mm is for PNGs that do not say theirs (it is refused where they do and differ).

    Raises DisplacementMapError for a file that is no square 16-bit PNG, is cut short, or has no scale from anywhere.
    """
    path = Path(path)
    try:
        (values,), said = decode("pillow", path, most=MAX_MAP_BYTES)
        mode, about = said["mode"], said["text"]
    except FileNotFoundError:
        raise DisplacementMapError(f"{path} is not there") from None
    except (OSError, ValueError) as error:
        raise DisplacementMapError(f"{path} cannot be read as a PNG: {error}") from None
    if mode not in ("I;16", "I;16B", "I"):
        raise DisplacementMapError(f"{path} is a picture of mode {mode}; a displacement map is a 16-bit grey PNG")
    check_square(path, values)
    try:
        own = float(about["scale_mm"]) if "scale_mm" in about else None
        midpoint = int(about.get("midpoint", MIDPOINT))
    except ValueError as error:
        raise DisplacementMapError(f"{path}: its scale cannot be read ({error})") from None
    scale = agreed_scale_mm(path, own, scale_mm, "half the 16-bit range")
    if not np.isfinite(scale) or scale <= 0 or midpoint <= 0:
        raise DisplacementMapError(f"{path}: a scale of {scale} mm around {midpoint} cannot be used")
    height = ((values.astype(np.float64) - midpoint) / midpoint * scale).astype(np.float32)
    return DisplacementMap(height, _valid(path, about.get("valid_mask"), values.shape))


def _valid(path: Path, text: str | None, shape: tuple[int, ...]) -> Bools:
    count = int(np.prod(shape))
    if text is None:
        return np.ones(shape, dtype=np.bool_)
    try:
        packed = base64.b64decode(text, validate=True)
        bits = np.frombuffer(zlib.decompressobj().decompress(packed, count // 8 + 1), dtype=np.uint8)
        return np.unpackbits(bits, count=count).astype(np.bool_).reshape(shape)
    except (ValueError, zlib.error) as error:
        raise DisplacementMapError(f"{path}: its mask of measured texels is damaged ({error})") from None
