"""Smooth random fields in space."""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

from common.array_types import Floats32

_SIDE = 64
# A cubic B-spline over unit normal samples has this standard deviation, (sum of squares of its weights) ** 1.5.
_SPREAD = 0.328


class NoiseField:
    """A periodic field over space, the same for the same seed: mean 0, standard deviation about 1."""

    def __init__(self, seed: int) -> None:
        self._values = np.random.default_rng(seed).standard_normal((_SIDE, _SIDE, _SIDE)).astype(np.float32)

    def __call__(self, points_mm: NDArray[np.floating], scale_mm: float, shift: float = 0.0) -> Floats32:
        """(N,) values at (N, 3) points; scale_mm: the distance over which the field changes."""
        q = (np.asarray(points_mm, dtype=np.float32).T / scale_mm + shift * np.array([[7.1], [3.7], [5.3]])) % _SIDE
        values = map_coordinates(self._values, q, order=3, mode="grid-wrap", prefilter=False, output=np.float32)
        return np.asarray(values / _SPREAD, dtype=np.float32)
