"""How a face is lit and coloured in one photograph, and the colour that this makes.

Light is linear; colours of the model's albedo and of photographs are display values, sRGB 0..255. A matt surface of
colour a under shading s is seen as `display(linear(a) * s)`: shading 1 shows the colour as the model has it. So
exposure and white balance of the photograph are in the light.
"""

from dataclasses import dataclass

import numpy as np

from common.array_types import Bools, Floats
from processing.errors import ShapeError
from processing.single_view.appearance.spherical_harmonics import FUNCTIONS, ambient, sh_basis, turned

LEAST_SHADING = 0.02  # nine functions can go below nothing; light cannot
_KNEE, _BELOW = 0.04045, 12.92
_OFFSET, _POWER = 0.055, 2.4


@dataclass(frozen=True, eq=False)
class Lighting:
    """Light of a photograph: shading(normal) = sh_basis(normal) @ coefficients, a factor on linear colour."""

    coefficients: (
        Floats  # (9, 3) of R, G, B, linear; in the camera's axes (OpenCV); a matt surface's constants included
    )

    def __post_init__(self) -> None:
        if self.coefficients.shape != (FUNCTIONS, 3):
            raise ShapeError("lighting", self.coefficients.shape, f"({FUNCTIONS}, 3)")

    @classmethod
    def ambient(cls, level: float = 1.0) -> "Lighting":
        """The same from everywhere."""
        return cls(ambient(level))

    def shading(self, normals: Floats) -> Floats:
        """(N, 3) unit normals, camera axes -> (N, 3) factors of R, G, B, at least LEAST_SHADING."""
        return np.asarray((sh_basis(normals) @ self.coefficients).clip(LEAST_SHADING))

    def turned(self, R: Floats) -> "Lighting":
        """The same light in axes turned by R (3, 3): what shaded n shades R n alike."""
        return Lighting(turned(self.coefficients, R))


@dataclass(frozen=True, eq=False)
class Appearance:
    """Light, colour and what is skin, of one face in one photograph."""

    lighting: Lighting
    albedo: Floats  # (C,) of the model's albedo, in its deviations; (0,) of a model that has none: one grey for all
    skin: Bools  # (H, W) of the photograph's pixels, where the face's own skin is seen
    deviation: float  # of the skin's colours from this appearance, display values 0..255: a robust standard deviation
    share: float = 1.0  # of the visible face, how much is skin


def linear(display: Floats) -> Floats:
    """Display values, sRGB 0..255, to linear light 0..1 (IEC 61966-2-1)."""
    c = np.asarray(display, dtype=np.float64).clip(0) / 255
    return np.asarray(np.where(c <= _KNEE, c / _BELOW, ((c + _OFFSET) / (1 + _OFFSET)) ** _POWER))


def linear_slope(display: Floats) -> Floats:
    """Derivative of `linear`: linear light a display value."""
    c = np.asarray(display, dtype=np.float64).clip(0) / 255
    steep = _POWER / (1 + _OFFSET) * ((c + _OFFSET) / (1 + _OFFSET)) ** (_POWER - 1)
    return np.asarray(np.where(c <= _KNEE, 1 / _BELOW, steep) / 255)


def display(light: Floats) -> Floats:
    """Linear light to display values 0..255 and beyond: what is lighter than white stays so."""
    c = np.asarray(light, dtype=np.float64).clip(0)
    knee = _KNEE / _BELOW
    return np.asarray(255 * np.where(c <= knee, _BELOW * c, (1 + _OFFSET) * c ** (1 / _POWER) - _OFFSET))


def display_slope(light: Floats) -> Floats:
    """Derivative of `display`: display values a unit of linear light."""
    c = np.asarray(light, dtype=np.float64).clip(0)
    knee = _KNEE / _BELOW
    steep = (1 + _OFFSET) / _POWER * c.clip(knee) ** (1 / _POWER - 1)
    return np.asarray(255 * np.where(c <= knee, _BELOW, steep))


def shaded(albedo: Floats, shading: Floats) -> Floats:
    """(..., 3) display colours under shading (..., 3): display values 0..255 and beyond."""
    return display(linear(albedo) * shading)
