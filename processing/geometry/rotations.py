"""What SciPy's Rotation lacks: cross products as matrices, derivatives of rotation vectors, angles between matrices."""

import numpy as np
from scipy.spatial.transform import Rotation

from common.array_types import Floats


def skew_matrix(vectors: Floats) -> Floats:
    """The cross product as a matrix: (..., 3) -> (..., 3, 3) with skew_matrix(a) @ b = a x b."""
    x, y, z = np.moveaxis(vectors, -1, 0)
    zero = np.zeros_like(x)
    return np.stack([zero, -z, y, z, zero, -x, -y, x, zero], axis=-1).reshape(*vectors.shape, 3)


def left_jacobian(vectors: Floats) -> Floats:
    """Left Jacobian of SO(3): (..., 3) rotation vectors, radians -> (..., 3, 3) J with exp(v + d) = exp(J d) exp(v).

    To first order in d (Sola et al. 2018, equation 145).
    """
    angle = np.linalg.norm(vectors, axis=-1)[..., None, None]
    small = angle < 1e-4
    safe = np.where(small, 1.0, angle)
    b = np.where(small, 0.5 - angle**2 / 24, (1 - np.cos(safe)) / safe**2)
    c = np.where(small, 1 / 6 - angle**2 / 120, (safe - np.sin(safe)) / safe**3)
    skew = skew_matrix(vectors)
    return np.asarray(np.eye(3) + b * skew + c * (skew @ skew))


def rotation_angle_deg(a: Floats, b: Floats) -> Floats:
    """(..., 3, 3) rotation matrices twice -> (...,) degrees between them."""
    return np.asarray(np.degrees((Rotation.from_matrix(a).inv() * Rotation.from_matrix(b)).magnitude()))
