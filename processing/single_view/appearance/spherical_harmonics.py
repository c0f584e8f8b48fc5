"""Real spherical harmonics up to order 2: nine functions of a direction, in which a face's light is written.

Order and normalisation (orthonormal over the sphere): 1; y, z, x; xy, yz, 3 z^2 - 1, xz, x^2 - y^2. Directions are in
OpenCV's camera axes - x to the right of the picture, y down, z away from the camera - so a normal that faces the camera
has negative z. Ramamoorthi and Hanrahan 2001, section 3.2; supplement of FaceScape, section 3.
"""

import numpy as np

from common.array_types import Floats
from processing.errors import ShapeError

FUNCTIONS = 9
_C0 = 0.5 / np.sqrt(np.pi)
_C1 = np.sqrt(3 / (4 * np.pi))
_C2 = np.sqrt(15 / (4 * np.pi))
_C20 = 0.25 * np.sqrt(5 / np.pi)
_C22 = 0.5 * _C2
_SCALE = np.array([_C0, _C1, _C1, _C1, _C2, _C2, _C20, _C2, _C22])
#: By which a matt surface weakens the bands of the light that falls on it, over pi: irradiance / pi of radiance.
#: Ramamoorthi and Hanrahan 2001, equation 8. Coefficients of a `Lighting` have these in them already.
LAMBERT = np.array([1.0, *[2 / 3] * 3, *[1 / 4] * 5])
_PROBES = 64  # directions by which a turn of the light is found; nine would do


def sh_basis(normals: Floats) -> Floats:
    """(N, 3) unit directions -> (N, 9) values of the functions there.

    Shading is basis @ coefficients, without more: the constants of a matt surface (`LAMBERT`) are in the coefficients.
    Raises ShapeError.
    """
    x, y, z = _axes(normals)
    one = np.ones_like(x)
    return np.asarray(np.stack([one, y, z, x, x * y, y * z, 3 * z * z - 1, x * z, x * x - y * y], axis=1) * _SCALE)


def sh_basis_gradient(normals: Floats) -> Floats:
    """(N, 3) -> (N, 9, 3) derivatives of `sh_basis`'s polynomials by x, y and z of the normal.

    As polynomials of a free vector: what a normal cannot do, change its length, is for the caller to leave out.
    """
    x, y, z = _axes(normals)
    o, one = np.zeros_like(x), np.ones_like(x)
    rows = [
        (o, o, o), (o, one, o), (o, o, one), (one, o, o), (y, x, o), (o, z, y), (o, o, 6 * z), (z, o, x),
        (2 * x, -2 * y, o),
    ]  # fmt: skip
    return np.asarray(np.stack([np.stack(row, axis=1) for row in rows], axis=1) * _SCALE[:, None])


def directional(direction: Floats, colour: Floats) -> Floats:
    """(9, C) coefficients of light from far away, towards which `direction` (3,) points, of irradiance `colour` (C,).

    A matt white surface that faces it is shaded as close to `colour` as nine functions can say: 0.9375 of it.
    """
    unit = np.asarray(direction, dtype=np.float64) / np.linalg.norm(direction)
    lobe = np.pi * LAMBERT * sh_basis(unit[None])[0]
    return np.asarray(lobe[:, None] * np.asarray(colour, dtype=np.float64)[None])


def ambient(level: Floats | float) -> Floats:
    """(9, C) coefficients of light that shades everything as `level` (C,); a number: (9, 3), grey."""
    colour = np.broadcast_to(level, (3,)) if np.ndim(level) == 0 else np.asarray(level, dtype=np.float64)
    coefficients = np.zeros((FUNCTIONS, len(colour)))
    coefficients[0] = colour / _C0
    return coefficients


def turned(coefficients: Floats, R: Floats) -> Floats:
    """(9, C) of the same light in axes turned by R (3, 3): what shaded n shades R n alike. Exact."""
    i = np.arange(_PROBES) + 0.5
    z = 1 - 2 * i / _PROBES
    angle, ring = np.pi * (1 + 5**0.5) * i, np.sqrt(1 - z**2)
    probes = np.stack([ring * np.cos(angle), ring * np.sin(angle), z], axis=1)
    return np.asarray(np.linalg.lstsq(sh_basis(probes @ R.T), sh_basis(probes) @ coefficients, rcond=None)[0])


def _axes(normals: Floats) -> tuple[Floats, Floats, Floats]:
    if normals.ndim != 2 or normals.shape[1] != 3:
        raise ShapeError("normals", normals.shape, "(N, 3)")
    n = np.asarray(normals, dtype=np.float64)
    return n[:, 0], n[:, 1], n[:, 2]
