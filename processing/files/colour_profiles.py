"""Colour profiles of cameras: a 3x3 matrix, and the lens's vignetting, kept beside the cameras in their file.

`<v>_colour`: 3x3, linear RGB of the photograph -> linear sRGB under the studio's light.  `<v>_vignetting`: the share by
which the corner is darker than the centre. Both are keys of a params.json or rig.json, or of a file of their own.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from common.array_types import Floats
from common.files.json_object import read_json_object
from processing.errors import DataError


class ProfileError(DataError):
    """A colour profile cannot be used."""


@dataclass(frozen=True, eq=False)
class Profile:
    """What brings one camera's photographs to true colours."""

    matrix: Floats = field(default_factory=lambda: np.eye(3))  # (3, 3) linear RGB -> linear sRGB
    vignetting: float = 0.0  # share by which the corner is darker than the centre, 0 to below 1

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
