"""A folder of board photographs becomes rig.json: what `mien calibrate` does."""

from dataclasses import dataclass
from pathlib import Path

from common.progress import Progress, no_progress, part
from processing.calibration.board_photographs import BoardShots, detect_all, find_shots, image_up_vectors
from processing.calibration.calibration_report import rig_json
from processing.calibration.head_frame import Motion, frame_like, frame_of_pose, frame_of_rig
from processing.calibration.rig_calibration import Calibration, calibrate
from processing.files.calibration_errors import CalibrationError
from processing.files.camera_models import read_cameras, write_params
from processing.geometry.camera_units import other_unit

FRAME_POSE = "frame"


@dataclass(frozen=True)
class FolderOptions:
    """What BOARD_DIR alone does not say."""

    #: Another board.toml than the folder's.
    board: Path | None = None
    #: A rig.toml: which camera is which view, and which are frontal.
    rig: Path | None = None
    #: The head frame: "rig", "pose:NAME", "like:FILE", or "" for the pose named `frame` if there is one, else the rig.
    frame: str = ""
    #: Views before the face.
    front: tuple[int, ...] = ()
    #: Go on with the largest linked part of the rig.
    allow_unlinked: bool = False


def calibrate_folder(
    folder: Path,
    out: Path,
    options: FolderOptions | None = None,
    *,
    workers: int = 2,
    progress: Progress = no_progress,
) -> tuple[Calibration, BoardShots, str]:
    """Detect, calibrate, move to the head frame, write the file whole or not at all.

    Returns the calibration in that frame, what was photographed, and how the frame was chosen. Raises CalibrationError.
    """
    options = options or FolderOptions()
    if out.suffix.lower() != ".json" or out.is_dir():
        raise CalibrationError(f"--out {out} is not a file name ending in .json")
    shots = find_shots(folder, board=options.board, rig=options.rig)
    chosen = options.frame or (f"pose:{FRAME_POSE}" if FRAME_POSE in shots.poses else "rig")
    _check_frame(chosen, shots, options.front)
    detections = detect_all(shots, workers=workers, progress=part(progress, 0.0, 0.7))
    names = [camera.name for camera in shots.cameras]
    found = calibrate(
        detections, names, shots.poses, shots.board.corners_mm, allow_unlinked=options.allow_unlinked,
        progress=part(progress, 0.7, 1.0),
    )  # fmt: skip
    found = found.moved(*_motion(found, shots, chosen, options.front))
    unlikely = other_unit(list(found.cameras.values()))
    if unlikely:
        w, h = shots.board.size_mm
        raise CalibrationError(
            f"{unlikely}. The calibration has the unit of {shots.measures}: its square_mm of {shots.board.square_mm:g} "
            f"makes a board of {w:g} x {h:g} mm. Measure a square and correct it"
        )
    write_params(out, rig_json(found, shots.cameras, chosen))
    return found, shots, chosen


def _check_frame(frame: str, shots: BoardShots, front: tuple[int, ...]) -> None:
    """Before minutes of work: whether the frame is one that can be had."""
    kind, _, name = frame.partition(":")
    if kind not in ("rig", "pose", "like") or (kind != "rig") != bool(name):
        raise CalibrationError(f"--frame {frame} is not known: give rig, pose:NAME or like:FILE")
    if kind == "pose" and name not in shots.poses:
        raise CalibrationError(
            f"--frame {frame}: {shots.folder} has no pose {name}; it has {', '.join(shots.poses[:20])}"
        )
    if kind == "like":
        read_cameras(Path(name))
    strangers = set(front) - {camera.view for camera in shots.cameras}
    if strangers:
        raise CalibrationError(f"--front names views that are not there: {', '.join(map(str, sorted(strangers)))}")


def _motion(found: Calibration, shots: BoardShots, frame: str, front: tuple[int, ...]) -> Motion:
    kind, _, name = frame.partition(":")
    if kind == "pose":
        if name not in found.poses:
            raise CalibrationError(
                f"--frame {frame}: that pose was not used, so it cannot be the frame; see what was rejected"
            )
        return frame_of_pose(*found.poses[name])
    by_view = {shots.cameras[c].view: camera for c, camera in found.cameras.items()}
    if kind == "like":
        motion, _ = frame_like(by_view, read_cameras(Path(name)))
        return motion
    up = image_up_vectors(shots)
    chosen = set(front) or {camera.view for camera in shots.cameras if camera.frontal}
    return frame_of_rig(
        list(by_view.values()),
        [camera for view, camera in by_view.items() if view in chosen],
        [up[c] for c in found.cameras],
    )
