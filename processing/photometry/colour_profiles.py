"""Colour profiles of cameras: a 3x3 matrix, and the lens's vignetting, kept beside the cameras in their file.

`<v>_colour`: 3x3, linear RGB of the photograph -> linear sRGB under the studio's light.  `<v>_vignetting`: the share by
which the corner is darker than the centre. Both are keys of a params.json or rig.json, or of a file of their own.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from common.array_types import Floats, Image
from common.files.json_object import read_json_object
from processing.errors import DataError

_STEPS = 4096


class ProfileError(DataError):
    """A colour profile cannot be used."""


@dataclass(frozen=True, eq=False)
class Profile:
    """matrix: (3, 3) linear RGB -> linear sRGB.  vignetting: 0 to below 1."""

    matrix: Floats = field(default_factory=lambda: np.eye(3))
    vignetting: float = 0.0

    def __post_init__(self) -> None:
        if self.matrix.shape != (3, 3) or not np.isfinite(self.matrix).all() or np.linalg.det(self.matrix) <= 0:
            raise ProfileError("a colour matrix is 3x3, finite, and of positive determinant")
        if not 0 <= self.vignetting < 1:
            raise ProfileError(f"vignetting is {self.vignetting}; it lies in [0, 1)")


def read_profiles(path: Path, views: Iterable[int]) -> dict[int, Profile]:
    """View -> profile, of those that have one. Raises ProfileError naming the key that cannot be used."""
    params = read_json_object(path, ProfileError, what="the colour profiles", keys="such as '0_colour'")
    return profiles_of(params, views, str(path))


def profiles_of(params: Mapping[str, Any], views: Iterable[int], where: str = "params.json") -> dict[int, Profile]:
    """The same from keys and values."""
    found: dict[int, Profile] = {}
    for view in views:
        given = {k: params[f"{view}_{k}"] for k in ("colour", "vignetting") if params.get(f"{view}_{k}") is not None}
        if not given:
            continue
        try:
            matrix = np.array(given.get("colour", np.eye(3)), dtype=np.float64)
            found[view] = Profile(matrix, float(given.get("vignetting", 0.0)))
        except (TypeError, ValueError) as error:
            raise ProfileError(f"{where}: view {view}'s colour profile holds no numbers ({error})") from None
        except ProfileError as error:
            raise ProfileError(f"{where}: view {view}: {error}") from None
    return found


def params_of_profiles(profiles: Mapping[int, Profile]) -> dict[str, Any]:
    """The keys of these profiles."""
    params: dict[str, Any] = {}
    for view, profile in sorted(profiles.items()):
        params[f"{view}_colour"] = profile.matrix.tolist()
        if profile.vignetting:
            params[f"{view}_vignetting"] = profile.vignetting
    return params


def to_linear(values: NDArray[np.generic]) -> Floats:
    """sRGB's values, 0 to 1 -> light, 0 to 1 (IEC 61966-2-1)."""
    v = np.asarray(values, dtype=np.float64)
    return np.where(v <= 0.04045, v / 12.92, ((np.maximum(v, 0.04045) + 0.055) / 1.055) ** 2.4)


def from_linear(light: NDArray[np.generic]) -> Floats:
    """Light, 0 to 1 -> sRGB's values, 0 to 1."""
    x = np.clip(np.asarray(light, dtype=np.float64), 0, 1)
    return np.where(x <= 0.0031308, 12.92 * x, 1.055 * np.maximum(x, 0.0031308) ** (1 / 2.4) - 0.055)


_LIGHT = to_linear(np.arange(256) / 255).astype(np.float32)
_CODES = np.rint(255 * from_linear(np.linspace(0, 1, _STEPS))).astype(np.uint8)


def apply_profile(image: Image, profile: Profile) -> Image:
    """(H, W, 3) BGR -> the same under the profile; what leaves the scale is cut."""
    light = _LIGHT[image]
    if profile.vignetting:
        height, width = image.shape[:2]
        y, x = np.mgrid[:height, :width].astype(np.float32)
        half = np.array([width, height]) / 2
        r2 = ((x - half[0] + 0.5) ** 2 + (y - half[1] + 0.5) ** 2) / float(half @ half)
        light *= ((1 - profile.vignetting) ** -(2.2 * r2))[..., None].astype(np.float32)
    matrix = profile.matrix[::-1, ::-1].astype(np.float32)  # RGB -> BGR on both sides
    mixed = cv2.transform(light, np.ascontiguousarray(matrix))
    return np.asarray(_CODES[np.clip(mixed * (_STEPS - 1) + 0.5, 0, _STEPS - 1).astype(np.int16)], dtype=np.uint8)
