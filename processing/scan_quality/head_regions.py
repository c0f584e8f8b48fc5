"""Regions of a head, by where a place lies around its middle, so that a reason can say where."""

import numpy as np

from common.array_types import Floats, Ints64

REGIONS = (
    "top", "upper front", "middle of the front", "lower front", "left side", "right side", "back", "below",
)  # fmt: skip
_POLE_DEG, _FRONT_DEG, _BACK_DEG, _MIDDLE_DEG = 50.0, 45.0, 135.0, 15.0


def region_numbers(around_mm: Floats) -> Ints64:
    """(N,) number in REGIONS of places (N, 3) about the head's middle, head frame; left is the subject's (+x)."""
    x, y, z = around_mm.T
    elevation, azimuth = np.degrees(np.arctan2(y, np.hypot(x, z))), np.degrees(np.arctan2(x, z))
    front = np.where(elevation > _MIDDLE_DEG, 1, np.where(elevation < -_MIDDLE_DEG, 3, 2))
    side = np.where(np.abs(azimuth) > _BACK_DEG, 6, np.where(azimuth > 0, 4, 5))
    number = np.where(np.abs(azimuth) <= _FRONT_DEG, front, side)
    return np.where(elevation > _POLE_DEG, 0, np.where(elevation < -_POLE_DEG, 7, number)).astype(np.int64)
