"""Photographs as files: upright pixels, and the focal length that EXIF tells."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from common.array_types import Image
from common.bounded.decoder_pool import decode
from processing.errors import DataError
from processing.single_view.photograph import Photograph

_FILM_MM = float(np.hypot(36, 24))  # the diagonal that equivalent focal lengths are for (CIPA DCG-001)
_UNITS_MM = {2: 25.4, 3: 10.0, 4: 1.0, 5: 1e-3}
_ASPECTS = (3 / 2, 4 / 3, 16 / 9)  # of sensors: another was cropped
_ASPECT_OFF = 0.02
_LEAST, _MOST = 0.3, 50.0  # focal length by the longer side, of any lens


def read_photograph(path: Path, *, focal_px: float | None = None, face: str | int | None = None) -> Photograph:
    """A photograph (JPEG, PNG, TIFF, BMP, WebP), turned as EXIF says; grey, alpha and 16 bits become BGR of 8 bits.

    focal_px: of the picture as it is; without, EXIF's where that holds. Raises DataError naming the file.
    """
    try:
        arrays, about = decode("portrait", path)
    except OSError as error:
        raise DataError(f"{path} cannot be read as a photograph: {error.strerror or error}") from None
    except ValueError as error:
        raise DataError(f"{path} cannot be read as a photograph: {error}") from None
    if about.get("flaw") or not arrays:
        flaw = about.get("flaw") or "it holds no picture"
        raise DataError(f"{path} is no whole photograph: {flaw}. Copy it again from where it came")
    image: Image = np.ascontiguousarray(arrays[0], dtype=np.uint8)
    if focal_px is None:
        focal_px = focal_by_exif(about.get("lens", {}), image.shape[1], image.shape[0])
    return Photograph(image, path.stem, focal_px, face)


def focal_by_exif(lens: Mapping[str, float], width: int, height: int) -> float | None:
    """px, of what EXIF says of a lens (common.bounded.exif_lens) and a picture's size; None where it does not hold.

    By the sensor's pixels where they are known, else by the equivalent for 35 mm film. Of a picture that was cropped
    nothing is known: one of another shape than the camera stored it, or, where that is not said, than sensors are.
    """
    longer, shorter = max(width, height), min(width, height)
    taken = sorted((lens.get("taken_width", 0.0), lens.get("taken_height", 0.0)))
    aspect = longer / shorter
    known = taken[0] > 0
    shapes = (taken[1] / taken[0],) if known else _ASPECTS
    if min(abs(aspect / one - 1) for one in shapes) > _ASPECT_OFF:
        return None
    focal = None
    unit = _UNITS_MM.get(int(lens.get("plane_unit", 0)))
    if known and unit and "focal_mm" in lens and "plane_x" in lens and taken[1] >= longer * (1 - _ASPECT_OFF):
        focal = lens["focal_mm"] * lens["plane_x"] / unit * longer / taken[1]
    elif "focal_35mm" in lens:
        focal = lens["focal_35mm"] / _FILM_MM * float(np.hypot(width, height))
    return focal if focal is not None and _LEAST < focal / longer < _MOST else None
