"""Calibrated cameras in files: FaceScape's params.json, and COLMAP's models."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from common.bounded.limits import MAX_PIXELS
from common.files.atomic_write import atomic_write
from common.files.json_object import read_json_object
from common.plain_values import truth_value
from processing.files.calibration_errors import CalibrationError
from processing.files.colmap import read_colmap, write_colmap
from processing.files.take_photographs import find_photographs
from processing.geometry.cameras import Camera, CameraError


def read_cameras(path: Path, *, scale: float = 1.0) -> dict[int, Camera]:
    """View -> camera of a params.json, or of a folder with a COLMAP model. scale: mm a unit of what is read.

    Views marked invalid are left out. Raises CalibrationError and CameraError.
    """
    if path.is_dir():
        return read_colmap(path, scale=scale)[0]
    return _cameras_of(read_params(path), path, scale)


def _cameras_of(params: Mapping[str, Any], path: Path, scale: float) -> dict[int, Camera]:
    views = sorted({int(m[1]) for key in params if (m := re.fullmatch(r"(\d+)_K", key))})
    if not views:
        raise CalibrationError(f"{path} names no view; keys are '0_K', '0_Rt', '0_distortion', ...")
    found = {view: camera_from_params(params, view) for view in views if is_valid(params, view)}
    return {view: replace(camera, t=camera.t * scale) for view, camera in found.items()}


@dataclass(frozen=True)
class Conversion:
    """Cameras that were brought into another file."""

    cameras: Mapping[int, Camera]  # view -> camera, in the unit that was written
    photographs: Mapping[int, str]  # view -> the photograph that its camera took


def convert_cameras(source: Path, target: Path, *, scale: float = 1.0, binary: bool = False) -> Conversion:
    """Cameras of one file in another: params.json where its name ends in .json, else a folder with a COLMAP model.

    Which photograph is which view stands in what is written: as '<v>_ori', or as the images' names. From params.json to
    params.json everything is kept but the unit. scale: mm a unit of what is read. Raises CalibrationError, CameraError.
    """
    to_params = target.suffix.lower() == ".json"
    if source.is_dir():
        cameras, photographs = read_colmap(source, scale=scale)
        params = params_of(cameras) | {f"{view}_ori": name for view, name in photographs.items()}
    else:
        params = read_params(source)
        cameras = _cameras_of(params, source, scale)
        photographs = _beside(source, params, cameras)
        params = params | {f"{v}_Rt": np.c_[c.R, c.t].tolist() for v, c in cameras.items()}
    if to_params:
        write_params(target, params)
    else:
        write_colmap(target, cameras, names=photographs, binary=binary)
    return Conversion(cameras, photographs)


def _beside(source: Path, params: Mapping[str, Any], views: Iterable[int]) -> dict[int, str]:
    """The photographs that lie beside a params.json, by view; as in 7.jpg where there is none."""
    there = find_photographs(source.parent, params).of_view
    return {v: there[v].relative_to(source.parent).as_posix() if v in there else f"{v}.jpg" for v in views}


def read_params(path: Path) -> dict[str, Any]:
    return read_json_object(path, CalibrationError, keys="'0_K', '0_Rt', ...")


def is_valid(params: Mapping[str, Any], view: int) -> bool:
    """Whether a FaceScape params.json has view `view` valid: as it has what it says nothing of.

    Raises CameraError for a value that is neither true nor false.
    """
    said = params.get(f"{view}_valid", True)
    meant = truth_value(said)
    if meant is None:
        raise CameraError(f"params.json: {view}_valid is {json.dumps(said)[:40]}: neither true nor false; write which")
    return meant


def camera_from_params(params: Mapping[str, Any], view: int) -> Camera:
    """View `view` of a FaceScape params.json. Raises CameraError naming a missing or unusable key."""
    missing = [k for k in ("K", "Rt", "distortion", "width", "height") if f"{view}_{k}" not in params]
    if missing:
        raise CameraError(f"params.json lacks {', '.join(f'{view}_{k}' for k in missing)}")
    try:
        Rt = np.array(params[f"{view}_Rt"], dtype=np.float64)
        distortion = np.array(params[f"{view}_distortion"], dtype=np.float64).ravel()
        width, height = int(params[f"{view}_width"]), int(params[f"{view}_height"])
        K = np.array(params[f"{view}_K"], dtype=np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise CameraError(f"params.json: view {view} holds a value that is no number ({error})") from None
    for key, array, wanted in (("K", K, (3, 3)), ("Rt", Rt, (3, 4))):
        if array.shape != wanted:
            raise CameraError(f"params.json: {view}_{key} has shape {array.shape}; wanted {wanted}")
    if len(distortion) not in (4, 5):
        raise CameraError(f"params.json: {view}_distortion has {len(distortion)} numbers; wanted 5 (k1 k2 p1 p2 k3)")
    if width * height > MAX_PIXELS:
        raise CameraError(f"params.json: view {view} has {width} x {height} pixels; at most {MAX_PIXELS:,} are read")
    padded = np.zeros(5)
    padded[: len(distortion)] = distortion
    return Camera(K=K, R=Rt[:, :3], t=Rt[:, 3], distortion=padded, width=width, height=height, name=str(view))


def params_from_cameras(cameras: Iterable[Camera], serials: Sequence[str] | None = None) -> dict[str, Any]:
    """A FaceScape params.json of these cameras, view 0 first."""
    params: dict[str, Any] = {}
    for i, camera in enumerate(cameras):
        params |= {
            f"{i}_K": camera.K.tolist(),
            f"{i}_Rt": np.c_[camera.R, camera.t].tolist(),
            f"{i}_distortion": camera.distortion.tolist(),
            f"{i}_width": camera.width,
            f"{i}_height": camera.height,
            f"{i}_matches": 0,
            f"{i}_valid": True,
            f"{i}_sn": serials[i] if serials else camera.name,
            f"{i}_ori": f"{i}.jpg",
        }
    return params


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
