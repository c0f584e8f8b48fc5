"""Lens distortion after Brown and Conrady: radial k1 k2 k3 and tangential p1 p2, on normalised image coordinates."""

import numpy as np

from common.array_types import Floats


def distort(x: Floats, y: Floats, coefficients: Floats) -> tuple[Floats, Floats]:
    """Where a lens shows what a pinhole would show at x, y (x / z and y / z in the camera's frame).

    x, y: (N,).  coefficients: (5,) or (N, 5) k1 k2 p1 p2 k3, in OpenCV's order (Brown 1971).
    """
    k1, k2, p1, p2, k3 = np.moveaxis(coefficients, -1, 0)
    r2 = x * x + y * y
    radial = 1 + r2 * (k1 + r2 * (k2 + r2 * k3))
    u = x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x * x)
    v = y * radial + p1 * (r2 + 2 * y * y) + 2 * p2 * x * y
    return u, v
