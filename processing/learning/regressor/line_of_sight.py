"""The line from a camera to a face: what a crop of a photograph shows is what a camera along it would see."""

import numpy as np

from common.array_types import Floats


def line_of_sight(direction: Floats) -> Floats:
    """(3, 3) the least rotation that brings a direction (3,) of the camera's frame, z > 0, onto its z axis."""
    d = np.asarray(direction, np.float64) / np.linalg.norm(direction)
    v = np.cross(d, [0.0, 0.0, 1.0])
    skew = np.array([[0, -v[2], v[1]], [v[2], 0, -v[0]], [-v[1], v[0], 0]])
    return np.asarray(np.eye(3) + skew + skew @ skew / (1 + d[2]))
