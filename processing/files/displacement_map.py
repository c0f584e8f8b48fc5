"""Displacement maps: heights of a detailed surface over a base mesh's UVs, and what their files have in common."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from common.array_types import Bools, Floats32
from processing.errors import DataError, ShapeError


class DisplacementMapError(DataError):
    """A displacement map cannot be read, or does not say its scale."""


@dataclass(frozen=True, eq=False)
class DisplacementMap:
    """Signed heights along the base mesh's normals; row 0 is v = 1. Raises ShapeError."""

    height_mm: Floats32  # (S, S), outwards positive
    valid: Bools  # (S, S) measured; the rest is filled in smoothly

    def __post_init__(self) -> None:
        if self.height_mm.ndim != 2 or self.height_mm.shape[0] != self.height_mm.shape[1]:
            raise ShapeError("height_mm", self.height_mm.shape, "(S, S)")
        if self.valid.shape != self.height_mm.shape:
            raise ShapeError("valid", self.valid.shape, str(self.height_mm.shape))


def check_finite(height_mm: Floats32) -> None:
    """Raises DisplacementMapError for heights that no file can keep."""
    if not np.isfinite(height_mm).all():
        raise DisplacementMapError("a displacement map has heights that are not finite")


def check_square(path: Path, values: NDArray[np.generic]) -> None:
    """Raises DisplacementMapError for an image that is no square."""
    if values.ndim != 2 or values.shape[0] != values.shape[1]:
        raise DisplacementMapError(f"{path} is {values.shape[1]} x {values.shape[0]}; a displacement map is square")


def agreed_scale_mm(path: Path, own_mm: float | None, given_mm: float | None, of_what: str) -> float:
    """The scale that a file says, or the one that is given for a file that does not.

    of_what: whose height in mm it is.  Raises DisplacementMapError when there is neither, or both and they differ.
    """
    if own_mm is None:
        if given_mm is None:
            raise DisplacementMapError(f"{path} does not say its scale; give --scale-mm, the height in mm of {of_what}")
        return given_mm
    if given_mm is not None and abs(own_mm - given_mm) > 1e-9:
        raise DisplacementMapError(
            f"{path} says that its scale is {own_mm} mm, not {given_mm} mm; leave --scale-mm out"
        )
    return own_mm
