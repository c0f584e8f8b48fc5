"""Photograph export: without what the camera wrote into a file, and changed only where asked."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from common.array_types import Floats, Image
from common.bounded.decoder_pool import decode
from common.bounded.jpeg_integrity import check_size
from common.bounded.limits import MAX_PIXELS
from common.files.atomic_write import atomic_write
from processing.files.camera_models import camera_from_params
from processing.files.colour_profiles import Profile, profiles_of
from processing.geometry.cameras import Camera, CameraError
from processing.geometry.mesh import Mesh, Surface
from processing.photometry.colour_correction import apply_profile
from processing.release.formats.assets.colour_profiles import with_profile
from processing.release.formats.assets.jpeg_strip import strip_jpeg as strip_jpeg
from processing.release.formats.errors import ReleaseError
from processing.release.studio.export.eye_mosaic import EyeRegions, mosaic_photograph, seen
from processing.release.studio.selection.selection_rules import Options

JPEG_QUALITY = 95
# A point of the face is seen when nothing lies before it by more than this, and it is not turned away past 80 degrees.
SEEN_MM = 1.0
MIN_COSINE = 0.17


@dataclass(frozen=True, eq=False)
class Face:
    """Where a take's eyes are."""

    #: Its registered mesh.
    mesh: Mesh
    #: The same, for rays.
    surface: Surface
    #: On the topology.
    regions: EyeRegions


def picture_size(data: bytes, name: str) -> tuple[int, int]:
    """(width, height) as stored. Raises ReleaseError."""
    try:
        return check_size(data)
    except ValueError as error:
        raise ReleaseError(f"photograph {name} cannot be read: {error}") from None


def write_photograph(
    data: bytes,
    target: Path,
    size: tuple[int, int],
    camera: Camera | None,
    profile: Profile | None,
    options: Options,
    face: Face | None,
) -> None:
    """One photograph into the release.

    data: the file as it was taken; size: its (width, height).  camera: None where the calibration does not know the
    view.  face: where the eyes are to be mosaicked. A photograph that nothing changes keeps its pixels bit by bit.
    Raises ReleaseError.
    """
    undistort = options.photographs == "undistorted" and camera is not None and not camera.is_pinhole
    correct = options.colour == "corrected" and profile is not None
    with atomic_write(target) as temporary:
        if not undistort and not correct and face is None:
            try:
                temporary.write_bytes(strip_jpeg(data))
            except ReleaseError as error:
                raise ReleaseError(f"photograph {target.name} {error}") from None
            return
        image = _decoded(data, target.name)
        if camera is not None and size != (camera.width, camera.height):
            wanted = f"{camera.width} x {camera.height}"
            raise ReleaseError(f"photograph {target.name} is {size[0]} x {size[1]} px; its camera has {wanted}")
        if correct and profile is not None:
            image = apply_profile(image, profile)
        if face is not None:
            if camera is None:
                raise ReleaseError(f"photograph {target.name}: its camera is not calibrated, its eyes cannot be found")
            image = mosaic_photograph(image, camera, face.mesh, face.surface, face.regions)
        if undistort and camera is not None:
            image = camera.undistort(image)
        done, encoded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
        if not done:
            raise ReleaseError(f"photograph {target.name} cannot be encoded")
        temporary.write_bytes(with_profile(np.asarray(encoded).tobytes(), data))


def _decoded(data: bytes, name: str) -> Image:
    """(H, W, 3) BGR as stored: what K refers to, whatever the camera wrote of its orientation."""
    try:
        (image,), _ = decode("picture", data, most_pixels=MAX_PIXELS)
    except (OSError, ValueError) as error:
        raise ReleaseError(f"photograph {name} cannot be decoded: {error}") from None
    return np.asarray(image, dtype=np.uint8)


def seen_points(camera: Camera, points_mm: Floats, normals: Floats, surface: Surface) -> int:
    """How many of these points on the face a photograph sees: in the picture, turned to it, nothing before them.

    points_mm, normals: (N, 3).
    """
    towards = points_mm - camera.centre
    facing = (normals * towards).sum(axis=1) < -MIN_COSINE * np.linalg.norm(towards, axis=1)
    return int(seen(points_mm[facing], camera, surface, SEEN_MM).sum())


def view_params(
    calibration: Mapping[str, Any],
    photographs: Mapping[int, str | None],
    sizes: Mapping[int, tuple[int, int]],
    *,
    undistorted: bool = False,
    matches: Mapping[int, int] | None = None,
) -> dict[str, Any]:
    """FaceScape's params.json of one take: its nine keys for every calibrated view, and no others.

    photographs: view -> serial of its camera.  sizes: view -> (width, height).  matches: view -> how many points of the
    face its photograph sees.  A view without a photograph is kept and marked invalid. Raises ReleaseError for a
    photograph that no calibration covers.
    """
    calibrated = calibrated_views(calibration)
    uncovered = sorted(photographs.keys() - calibrated)
    if uncovered:
        raise ReleaseError(f"The calibration has no view {', '.join(map(str, uncovered))}; calibrate the rig again")
    params: dict[str, Any] = {}
    for view in sorted(calibrated):
        there = view in photographs
        width, height = sizes.get(view, (calibration.get(f"{view}_width", 0), calibration.get(f"{view}_height", 0)))
        distortion = list(calibration.get(f"{view}_distortion", [0.0] * 5))
        params |= {
            f"{view}_K": _without_skew(calibration[f"{view}_K"]) if undistorted else calibration[f"{view}_K"],
            f"{view}_Rt": calibration[f"{view}_Rt"],
            f"{view}_distortion": [0.0] * 5 if undistorted else distortion,
            f"{view}_width": width,
            f"{view}_height": height,
            f"{view}_matches": (matches or {}).get(view, 0),
            f"{view}_valid": there and bool(calibration.get(f"{view}_valid", True)),
            f"{view}_sn": (photographs.get(view) or calibration.get(f"{view}_sn", "")),
            f"{view}_ori": f"{view}.jpg",
        }
    return params


def _without_skew(K: Sequence[Sequence[float]]) -> list[list[float]]:
    """As `Camera.pinhole` has it."""
    return [[K[0][0], 0.0, K[0][2]], *(list(row) for row in K[1:])]


def calibrated_views(calibration: Mapping[str, Any]) -> set[int]:
    """Views whose cameras are known."""
    return {int(key.removesuffix("_K")) for key in calibration if key.endswith("_K")}


def with_cameras_used(calibration: Mapping[str, Any], used: Mapping[str, Any]) -> dict[str, Any]:
    """The calibration with the cameras as the scan used them: put right, or marked invalid where left out."""
    stated = {key: value for key, value in used.items() if not key.endswith(("_sn", "_ori", "_matches"))}
    return {**calibration, **stated}


def cameras_of(
    calibration: Mapping[str, Any], views: Mapping[int, tuple[int, int]]
) -> tuple[dict[int, Camera], dict[int, Profile]]:
    """Cameras and colour profiles by view; a camera that cannot be used is not in it. views: view -> size in pixels."""
    cameras: dict[int, Camera] = {}
    for view, (width, height) in views.items():
        filled = {f"{view}_width": width, f"{view}_height": height, f"{view}_distortion": [0.0] * 5, **calibration}
        try:
            cameras[view] = camera_from_params(filled, view)
        except CameraError:
            continue
    return cameras, profiles_of(calibration, views)
