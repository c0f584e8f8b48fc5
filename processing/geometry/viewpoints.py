"""Viewpoints around a head: unit directions by azimuth and elevation, and the rotation of an upright camera."""

import numpy as np

from common.array_types import Floats


def direction(azimuth_deg: float, elevation_deg: float) -> Floats:
    """(3,) unit vector in the head frame: (0, 0) is out of the face (+z), azimuth turns to the subject's left (+x)."""
    az, el = np.radians([azimuth_deg, elevation_deg])
    return np.array([np.sin(az) * np.cos(el), np.sin(el), np.cos(az) * np.cos(el)])


def upright_rotation(forward: Floats) -> Floats:
    """(3, 3) rotation, head frame to camera, of an upright camera (x right, y down) that looks along a unit vector."""
    right = np.cross(forward, [0.0, 1.0, 0.0])
    right /= np.linalg.norm(right)
    return np.stack([right, np.cross(forward, right), forward])
