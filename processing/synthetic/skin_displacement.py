"""Procedural displacement of a synthetic head's skin along its normals: pores at rest, wrinkles where it is squeezed.

Laid on the average head's coordinates like its paint, so that it follows the surface of every identity and expression.
"""

from collections.abc import Mapping
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from common.array_types import Floats32
from processing.geometry.noise_field import NoiseField
from processing.template.template import SKIN, Labels


class SkinPlaces(Protocol):
    """N places of a head that skin lies on: a FineHead's vertices, a map's texels."""

    @property
    def average_mm(self) -> NDArray[np.floating]: ...  # (N, 3) on the average head

    @property
    def parts(self) -> Labels: ...  # (N,)

    @property
    def masks(self) -> Mapping[str, Floats32]: ...  # "lips", "face" -> (N,) in 0..1


def pore_displacement(fine: SkinPlaces, noise: NoiseField) -> Floats32:
    """(N,) mm along the normal: pores and fine texture of the skin at rest; zero on eyes, teeth and mouth."""
    p = fine.average_mm.astype(np.float32)
    height = 0.055 * noise(p, 4.0, 11) + 0.035 * noise(p, 2.2, 12) + 0.018 * noise(p, 1.3, 13)
    height -= 0.06 * np.clip(noise(p, 1.7, 14) - 1.3, 0, 1) * fine.masks["face"]
    calm = 1 - 0.6 * fine.masks["lips"]
    return np.asarray(height * calm * (fine.parts == SKIN), np.float32)


def wrinkle_displacement(fine: SkinPlaces, squeeze: Floats32, noise: NoiseField) -> Floats32:
    """(N,) mm: creases where the skin is squeezed; squeeze: (N,) 0 .. 1, the share of its area a place has lost.

    Lines run across the forehead, fan out at the eyes' corners and ring the mouth elsewhere.
    """
    p = fine.average_mm.astype(np.float32)
    x, y = np.abs(p[:, 0]), p[:, 1]
    bend = 1.2 * noise(p, 14.0, 15)
    forehead = np.clip((y - 56) / 8, 0, 1)
    fan = np.exp(-(((x - 56) / 12) ** 2) - ((y - 34) / 20) ** 2)
    ring = 2 * np.pi * np.hypot(x, y + 38) / 5.5
    rays = np.arctan2(y - 34, x - 44) * 14
    lines = forehead * np.sin(2 * np.pi * y / 6.5 + bend)
    lines += (1 - forehead) * (fan * np.sin(rays + bend) + (1 - fan) * np.sin(ring + bend))
    depth = 0.35 * np.clip(squeeze / 0.35, 0, 1) * (p[:, 2] > 10) * (fine.masks["lips"] < 0.3)
    return np.asarray(depth * lines * (fine.parts == SKIN), np.float32)
