"""How far residuals scatter, and how much a residual far off still counts."""

import numpy as np

from common.array_types import Floats

_TAIL = 3.0  # deviations within which a residual counts almost fully


def scatter(residual: Floats, floor: float) -> float:
    """The standard deviation of most residuals (N,): 1.48 times their median size, at least `floor`."""
    return max(float(1.4826 * np.median(np.abs(residual))), floor) if len(residual) else floor


def geman_mcclure(distance: Floats, deviation: float | Floats, least: float = 0.0) -> Floats:
    """(N,) weights in 0..1 of residuals, small beyond 3 deviations and `least` (Geman and McClure 1987)."""
    return np.asarray(1 / (1 + np.square(distance / np.maximum(_TAIL * deviation, least))) ** 2)
