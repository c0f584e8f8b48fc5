"""Calibrated cameras in files: FaceScape's params.json, and COLMAP's models."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from common.files.json_object import read_json_object
from processing.files.calibration_errors import CalibrationError
from processing.files.colmap import read_colmap, write_colmap
from processing.files.obj import atomic_write
from processing.geometry.cameras import Camera, camera_from_params, params_from_cameras


def read_cameras(path: Path, *, scale: float = 1.0) -> dict[int, Camera]:
    """View -> camera of a params.json, or of a folder with a COLMAP model. scale: mm a unit of what is read.

    Views marked invalid are left out. Raises CalibrationError and CameraError.
    """
    if path.is_dir():
        return read_colmap(path, scale=scale)
    params = read_params(path)
    views = sorted({int(m[1]) for key in params if (m := re.fullmatch(r"(\d+)_K", key))})
    if not views:
        raise CalibrationError(f"{path} names no view; keys are '0_K', '0_Rt', '0_distortion', ...")
    found = {view: camera_from_params(params, view) for view in views if params.get(f"{view}_valid") is not False}
    if scale == 1.0:
        return found
    return {
        view: Camera(K=c.K, R=c.R, t=c.t * scale, width=c.width, height=c.height, distortion=c.distortion, name=c.name)
        for view, c in found.items()
    }


def read_params(path: Path) -> dict[str, Any]:
    return read_json_object(path, CalibrationError, keys="'0_K', '0_Rt', ...")


def params_of(cameras: Mapping[int, Camera], serials: Mapping[int, str] | None = None) -> dict[str, Any]:
    """FaceScape's keys for these views, whatever their numbers."""
    params: dict[str, Any] = {}
    for view, camera in sorted(cameras.items()):
        one = params_from_cameras([camera], [(serials or {}).get(view) or camera.name])
        params |= {f"{view}_{key.partition('_')[2]}": value for key, value in one.items()} | {
            f"{view}_ori": f"{view}.jpg"
        }
    return params


def write_params(path: Path, params: Mapping[str, Any]) -> None:
    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps(params, indent=1), encoding="utf-8")


def write_cameras(path: Path, cameras: Mapping[int, Camera], *, binary: bool = False) -> None:
    """A params.json where the name ends in .json, else a folder with a COLMAP model."""
    if path.suffix.lower() == ".json":
        write_params(path, params_of(cameras))
    else:
        write_colmap(path, cameras, binary=binary)
