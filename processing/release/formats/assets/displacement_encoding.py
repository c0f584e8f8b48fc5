"""Encoding of a displacement map: how a release keeps heights in 16 bits, as the PNG says itself."""

from pathlib import Path

import msgspec
from PIL import Image

from processing.release.formats.errors import ReleaseError


class DisplacementEncoding(msgspec.Struct, frozen=True):
    """From 16-bit numbers to heights."""

    #: Height of half the 16-bit range, mm.
    scale_mm: float
    #: The number that stands for a height of 0.
    midpoint: int
    #: height_mm by value, midpoint and scale_mm, in words of arithmetic.
    formula: str


def read_displacement_encoding(path: Path) -> tuple[DisplacementEncoding, int]:
    """What a displacement map says of its own encoding, and its size in pixels.

    Raises ReleaseError when it is not 16-bit grey or is silent.
    """
    with Image.open(path) as image:
        mode, said = image.mode, {str(key): str(value) for key, value in getattr(image, "text", {}).items()}
        size = image.width
    try:
        encoding = DisplacementEncoding(float(said["scale_mm"]), int(said["midpoint"]), said["formula"])
    except (KeyError, ValueError) as error:
        raise ReleaseError(f"{path.name} does not say its displacement scale ({error}); bake it again") from None
    if not mode.startswith("I"):
        raise ReleaseError(f"{path.name}: displacement maps are 16-bit grey PNG, this one is {mode}")
    return encoding, size
