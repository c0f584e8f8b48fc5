"""Rotations as vectors, many at a time."""

import numpy as np

from common.array_types import Floats


def hat(vectors: Floats) -> Floats:
    """(..., 3) -> (..., 3, 3) with hat(a) @ b = a x b."""
    x, y, z = np.moveaxis(vectors, -1, 0)
    zero = np.zeros_like(x)
    return np.stack([zero, -z, y, z, zero, -x, -y, x, zero], axis=-1).reshape(*vectors.shape, 3)


def exp(vectors: Floats) -> Floats:
    """(..., 3) rotation vectors in radians -> (..., 3, 3). Rodrigues' formula."""
    angle = np.linalg.norm(vectors, axis=-1)[..., None, None]
    small = angle < 1e-6
    safe = np.where(small, 1.0, angle)
    a = np.where(small, 1 - angle**2 / 6, np.sin(safe) / safe)
    b = np.where(small, 0.5 - angle**2 / 24, (1 - np.cos(safe)) / safe**2)
    h = hat(vectors)
    return np.asarray(np.eye(3) + a * h + b * (h @ h))


def left_jacobian(vectors: Floats) -> Floats:
    """(..., 3) -> (..., 3, 3) J with exp(v + d) = exp(J d) exp(v) to first order (Sola et al. 2018, equation 145)."""
    angle = np.linalg.norm(vectors, axis=-1)[..., None, None]
    small = angle < 1e-4
    safe = np.where(small, 1.0, angle)
    b = np.where(small, 0.5 - angle**2 / 24, (1 - np.cos(safe)) / safe**2)
    c = np.where(small, 1 / 6 - angle**2 / 120, (safe - np.sin(safe)) / safe**3)
    h = hat(vectors)
    return np.asarray(np.eye(3) + b * h + c * (h @ h))


def rotation_angle_deg(a: Floats, b: Floats) -> Floats:
    """(..., 3, 3) twice -> (...,) degrees between them; exact for small angles too."""
    chord = np.linalg.norm(a - b, axis=(-2, -1)) / np.sqrt(8.0)  # sin of half of the angle
    return np.asarray(np.degrees(2 * np.arcsin(np.clip(chord, 0, 1))))


def nearest_rotation(matrices: Floats) -> Floats:
    """(..., 3, 3) -> the rotations nearest to them (also the chordal mean of rotations that were summed)."""
    u, _, vt = np.linalg.svd(matrices)
    flip = np.linalg.det(u @ vt)
    u = u.copy()
    u[..., :, 2] *= flip[..., None]
    return np.asarray(u @ vt)


def align_rigid(source_mm: Floats, target_mm: Floats) -> tuple[Floats, Floats]:
    """R (3, 3), t (3,) with R source + t nearest to target, both (N, 3) (Kabsch 1976)."""
    a, b = source_mm.mean(0), target_mm.mean(0)
    R = nearest_rotation((target_mm - b).T @ (source_mm - a))
    return R, b - R @ a
