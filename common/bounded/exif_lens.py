"""What EXIF says of a photograph's lens (EXIF 2.32): lengths as numbers, nothing where it says nothing sensible."""

from collections.abc import Mapping
from typing import Any

_TAGS = {
    "focal_mm": 0x920A,
    "focal_35mm": 0xA405,
    "plane_x": 0xA20E,  # pixels of the sensor's plane a unit, along x and y
    "plane_y": 0xA20F,
    "plane_unit": 0xA210,  # 2: inch, 3: centimetre, 4: millimetre, 5: micrometre
    "taken_width": 0xA002,  # px, as the camera stored it
    "taken_height": 0xA003,
    "zoom": 0xA404,  # digital
}
_MOST = 1e9


def lens_facts(inner: Mapping[int, Any]) -> dict[str, float]:
    """name -> number of the tags of EXIF's inner directory that are there, positive and finite."""
    found = {}
    for name, tag in _TAGS.items():
        try:
            value = float(inner[tag])
        except (KeyError, TypeError, ValueError, ArithmeticError):
            continue
        if 0 < value < _MOST:  # NaN is not
            found[name] = value
    return found
