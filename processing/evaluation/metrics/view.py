"""The camera of a true or predicted face beside it: perspective or orthographic, read from `<name>.camera.json`."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from common.array_types import Floats
from common.bounded.json_toml import read_json
from common.files.atomic_write import write_whole
from processing.errors import DataError

_MOST_BYTES = 100_000  # of a camera's file
SUFFIX = ".camera.json"


class ViewError(DataError):
    """A camera beside a mesh cannot be used."""


def _numbers(value: ArrayLike, shape: tuple[int, ...], what: str) -> Floats:
    try:
        array = np.array(value, dtype=np.float64)
    except (TypeError, ValueError):
        raise ViewError(f"{what} is not made of numbers; wanted {shape}") from None
    if array.shape != shape:
        raise ViewError(f"{what} has shape {array.shape}; wanted {shape}")
    if not np.isfinite(array).all():
        raise ViewError(f"{what} holds a number that is not finite")
    array.setflags(write=False)
    return array


def _rotation(value: ArrayLike) -> Floats:
    R = _numbers(value, (3, 3), "R")
    if not np.allclose(R @ R.T, np.eye(3), atol=1e-3) or np.linalg.det(R) < 0:
        raise ViewError(
            "R is not a rotation (a mirrored or scaled one is none; a scale stands in the mesh or in `scale`)"
        )
    return R


@dataclass(frozen=True, eq=False)
class Perspective:
    """x_cam = R x + t in the mesh's unit, OpenCV's axes; pixel = K x_cam, centres at integers. Raises ViewError."""

    K: Floats  # (3, 3) px
    R: Floats  # (3, 3)
    t: Floats  # (3,)

    def __post_init__(self) -> None:
        object.__setattr__(self, "K", _numbers(self.K, (3, 3), "K"))
        object.__setattr__(self, "R", _rotation(self.R))
        object.__setattr__(self, "t", _numbers(self.t, (3,), "t"))
        lower = np.abs([self.K[1, 0], self.K[2, 0], self.K[2, 1], self.K[2, 2] - 1])
        if self.K[0, 0] <= 0 or self.K[1, 1] <= 0 or lower.max() > 1e-6:
            raise ViewError("K is not fx s cx, 0 fy cy, 0 0 1, row by row, with positive focal lengths")

    def to_camera(self, points: Floats) -> Floats:
        """(N, 3) mesh's frame -> (N, 3) camera's frame, the mesh's unit."""
        return np.asarray(points @ self.R.T + self.t)

    def as_json(self) -> dict[str, Any]:
        return {"projection": "perspective", "K": self.K.tolist(), "R": self.R.tolist(), "t": self.t.tolist()}


@dataclass(frozen=True, eq=False)
class Orthographic:
    """pixel = scale (R x)_xy + t, OpenCV's axes (y down, z away), pixel centres at integers. Raises ViewError."""

    scale: float  # px a unit of the mesh
    R: Floats  # (3, 3)
    t: Floats  # (2,) px

    def __post_init__(self) -> None:
        object.__setattr__(self, "R", _rotation(self.R))
        object.__setattr__(self, "t", _numbers(self.t, (2,), "t"))
        object.__setattr__(self, "scale", float(_numbers(self.scale, (), "scale")))
        if self.scale <= 0:
            raise ViewError(f"scale is {self.scale}: the pixels of one unit of the mesh are wanted")

    def to_camera(self, points: Floats) -> Floats:
        """(N, 3) mesh's frame -> (N, 3) camera's frame, the mesh's unit: pixel = scale (x, y) + t."""
        return np.asarray(points @ self.R.T)

    def as_json(self) -> dict[str, Any]:
        return {"projection": "orthographic", "scale": self.scale, "R": self.R.tolist(), "t": self.t.tolist()}


View = Perspective | Orthographic


@dataclass(frozen=True, eq=False)
class TrueCamera:
    """The camera that made an image: the true mesh's frame, mm, to pixels."""

    view: View
    width: int = 256
    height: int = 256


def read_view(path: Path) -> View:
    """A camera's file. Raises ViewError with the file and what is wrong."""
    try:
        return view_of(read_json(path, _MOST_BYTES))
    except ViewError as error:
        raise ViewError(f"{path}: {error}") from None
    except (OSError, ValueError) as error:
        raise ViewError(f"{path}: not a camera's file: {error}") from None


def view_of(said: Any) -> View:
    """A camera from the content of its file. Raises ViewError."""
    kinds: dict[str, tuple[str, ...]] = {"perspective": ("K", "R", "t"), "orthographic": ("scale", "R", "t")}
    kind = said.get("projection") if isinstance(said, dict) else None
    if not isinstance(kind, str) or kind not in kinds:
        raise ViewError(f'"projection" is {kind!r}; wanted "perspective" or "orthographic"')
    missing = [key for key in kinds[kind] if key not in said]
    if missing:
        raise ViewError(f"a {kind} camera lacks {', '.join(missing)}")
    if kind == "perspective":
        return Perspective(said["K"], said["R"], said["t"])
    return Orthographic(said["scale"], said["R"], said["t"])


def write_view(path: Path, view: View) -> None:
    """The camera's file, whole or not at all."""
    write_whole(path, json.dumps(view.as_json()).encode())
