"""`mien reconstruct`: the scan of one take, by the stage that `mien process` and the farm run."""

import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.files.hard_links import link_or_copy
from common.files.json_object import read_json_object
from common.progress import Progress, no_progress
from processing.errors import TakeError
from processing.farm.display.scan_report import ScanResult
from processing.farm.execution.single_take import SingleTake, copy_whole, take_results
from processing.farm.execution.stage_run import made
from processing.files.camera_models import camera_from_params, is_valid, params_of
from processing.files.colour_profiles import params_of_profiles, read_profiles
from processing.files.stage_files import read_json
from processing.files.take_folder import read_take_params, require_millimetres, take_files
from processing.stages.base import TAKE
from processing.stages.discovery import discover, upstream
from processing.stages.outputs import LOOK, LOOK_MESH, LOOK_REPORT, SCAN, SCAN_PICTURE, SCAN_REPORT, SCAN_REVIEW
from processing.stages.reconstruct import Reconstruct


@dataclass(frozen=True)
class CameraFiles:
    """Files that go before what a take's params.json says of its cameras."""

    rig: Path | None = None  # a FaceScape params.json: the cameras, and their colour profiles
    colours: Path | None = None  # colour profiles of the views, in place of the rig's


def reconstruct_take(
    take_dir: Path,
    out: Path,
    params: Mapping[str, Any],
    *,
    cameras: CameraFiles | None = None,
    picture: Path | None = None,
    device: str = "cpu",
    memory_gb: float | None = None,
    progress: Progress = no_progress,
) -> ScanResult:
    """Write the take's scan as PLY, and where asked a PNG of its quality, whole or not at all.

    params: of the stage, where they differ from the defaults.  device, memory_gb: as Inputs has them.
    Raises DataError with what is wrong.
    """
    if out.is_dir() or out.suffix.lower() != ".ply":
        raise TakeError(f"--out {out} is not a file name ending in .ply")
    if picture is not None and picture.suffix.lower() != ".png":
        raise TakeError(f"--picture {picture} is not a file name ending in .png")
    stage = Reconstruct.name
    with tempfile.TemporaryDirectory(prefix="mien-take-") as folder:
        source = with_camera_files(take_dir, cameras or CameraFiles(), Path(folder))
        take = SingleTake(source.resolve().name, {TAKE: source}, upstream(discover(), stage), {stage: params})
        with take_results(take, device=device, memory_gb=memory_gb, progress=progress) as results:
            copy_whole(made(results, SCAN), out)
            if picture is not None:
                copy_whole(made(results, SCAN_PICTURE), picture)
            progress(1.0, f"wrote {out}")
            return ScanResult.read(made(results, SCAN_REPORT), made(results, SCAN_REVIEW))


def preview_take(
    take_dir: Path,
    out: Path,
    *,
    rig: Path | None = None,
    device: str = "cpu",
    progress: Progress = no_progress,
) -> dict[str, Any]:
    """Write a coarse scan of the take's frontal views, as PLY or GLB; the report of the reconstruction.

    rig: cameras that go before the take's. Raises DataError with what is wrong.
    """
    kind = out.suffix.lower()
    if out.is_dir() or kind not in (".ply", ".glb"):
        raise TakeError(f"--out {out} is not a file name ending in .ply or .glb")
    with tempfile.TemporaryDirectory(prefix="mien-take-") as folder:
        source = with_camera_files(take_dir, CameraFiles(rig), Path(folder))
        take = SingleTake(source.resolve().name, {TAKE: source}, upstream(discover(), LOOK.stage))
        with take_results(take, device=device, progress=progress) as results:
            copy_whole(made(results, LOOK if kind == ".ply" else LOOK_MESH), out)
            progress(1.0, f"wrote {out}")
            return dict(read_json(made(results, LOOK_REPORT))["report"])


def with_camera_files(take_dir: Path, files: CameraFiles, folder: Path) -> Path:
    """The take's folder; where files go before its cameras, one made under `folder` with a params.json that says so.

    Raises TakeError, CameraError and ProfileError.
    """
    if files == CameraFiles():
        return take_dir
    params = read_take_params(take_dir)
    photographs = take_files(take_dir)
    views = sorted(int(Path(name).stem) for name in photographs if name != "params.json")
    if files.rig is not None:
        rig = read_json_object(files.rig, TakeError, what="the rig")
        valid = [view for view in views if is_valid(params, view) and is_valid(rig, view)]
        cameras = {view: camera_from_params(rig, view) for view in valid}
        require_millimetres(cameras.values(), files.rig)
        serials = {view: str(params.get(f"{view}_sn", "")) for view in valid}
        params |= {f"{view}_valid": False for view in views} | params_of(cameras, serials)
    for view in views:
        params |= dict.fromkeys((f"{view}_colour", f"{view}_vignetting"))
    profiles = read_profiles(files.colours or files.rig or take_dir / "params.json", views)
    place = folder / take_dir.resolve().name
    place.mkdir()
    for name, file in photographs.items():
        if name != "params.json":
            link_or_copy(file, place / name)
    (place / "params.json").write_text(json.dumps(params | params_of_profiles(profiles)), encoding="utf-8")
    return place
