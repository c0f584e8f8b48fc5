"""BOARD_DIR: photographs of the board as `<pose>/<camera>.jpg`, its measures in `board.toml`."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, UnidentifiedImageError

from common.array_types import Floats
from common.charuco.charuco_board import Board, read_board
from common.configuration.loader import read_toml
from common.progress import Progress, no_progress
from processing.calibration.corner_detection import Detection, detect
from processing.files.calibration_errors import CalibrationError
from processing.files.take_folder import decode_photo
from processing.files.take_photographs import ENDINGS, natural_order

_UP = {3: (0.0, 1.0, 0.0), 6: (-1.0, 0.0, 0.0), 8: (1.0, 0.0, 0.0)}  # EXIF orientation -> up in the stored picture


@dataclass(frozen=True, eq=False)
class RigCamera:
    """A camera as the rig file has it."""

    name: str
    #: Its number in the rig's and the takes' files.
    view: int
    serial: str = ""
    #: Whether it stands before the face.
    frontal: bool = False


@dataclass(frozen=True, eq=False)
class BoardShots:
    """What BOARD_DIR holds."""

    folder: Path
    #: The file of the board's measures.
    measures: Path
    board: Board
    #: Names, in order.
    poses: tuple[str, ...]
    #: In the order of their views.
    cameras: tuple[RigCamera, ...]
    #: (camera, pose), both as indices -> file.
    photographs: Mapping[tuple[int, int], Path]
    #: Whether all photographs are named by numbers, which then are views.
    numbered: bool


def find_shots(folder: Path, *, board: Path | None = None, rig: Path | None = None) -> BoardShots:
    """Look at BOARD_DIR's files, not yet at their pixels.

    board: another board.toml than the folder's.  rig: a rig.toml, which says which name is which view; without it names
    that are numbers are views, and others are counted in order. Raises CalibrationError with what is missing.
    """
    if not folder.is_dir():
        raise CalibrationError(f"{folder} is not a folder; give one with <pose>/<camera>.jpg and board.toml")
    measures = board or folder / "board.toml"
    if not measures.is_file():
        raise CalibrationError(
            f"{measures} is missing: it says how many squares of what size the board has."
            " `mien cameras board --out board.pdf` prints a board and writes its board.toml"
        )
    files: dict[str, dict[str, Path]] = {}
    for pose in sorted(
        (p for p in folder.iterdir() if p.is_dir() and not p.name.startswith(".")), key=lambda p: natural_order(p.name)
    ):
        shots = [p for p in sorted(pose.iterdir()) if p.suffix.lower() in ENDINGS and not p.name.startswith(".")]
        for shot in shots:
            if shot.stem in files.setdefault(pose.name, {}):
                raise CalibrationError(
                    f"{pose} has two photographs {shot.stem}: {files[pose.name][shot.stem].name}, {shot.name}"
                )
            files[pose.name][shot.stem] = shot
    if not files:
        raise CalibrationError(f"{folder} has no photographs; put them as <pose>/<camera>.jpg, one folder a pose")
    names = sorted({name for shots in files.values() for name in shots}, key=natural_order)
    cameras = read_rig(rig) if rig else _counted(names)
    index = {c.name: i for i, c in enumerate(cameras)} | {str(c.view): i for i, c in enumerate(cameras)}
    strangers = [name for name in names if name not in index]
    if strangers:
        raise CalibrationError(f"{rig} has no camera {', '.join(strangers[:10])}, of which {folder} has photographs")
    photographs = {(index[name], p): path for p, shots in enumerate(files.values()) for name, path in shots.items()}
    return BoardShots(
        folder,
        measures,
        read_board(measures),
        tuple(files),
        tuple(cameras),
        photographs,
        all(n.isdecimal() for n in names),
    )


def _counted(names: Sequence[str]) -> list[RigCamera]:
    if all(name.isdecimal() for name in names):
        views = [int(name) for name in names]
        if len(set(views)) < len(views):
            raise CalibrationError("some photographs have the same number in two writings, such as 7.jpg and 07.jpg")
        return [RigCamera(name, view) for name, view in zip(names, views, strict=True)]
    return [RigCamera(name, view) for view, name in enumerate(names)]


def read_rig(path: Path) -> list[RigCamera]:
    """The cameras of a rig.toml, in the order of their views."""
    entries = read_toml(path, CalibrationError).get("camera")
    if not isinstance(entries, list) or not all(isinstance(e, dict) and "name" in e and "view" in e for e in entries):
        raise CalibrationError(f"{path} is no rig file: it needs [[camera]] entries, each with name and view")
    cameras = [_rig_camera(entry, path) for entry in entries]
    if len({c.name for c in cameras}) < len(cameras) or len({c.view for c in cameras}) < len(cameras):
        raise CalibrationError(f"{path}: two cameras have the same name or view")
    return sorted(cameras, key=lambda camera: camera.view)


def _rig_camera(entry: Mapping[str, Any], path: Path) -> RigCamera:
    if not isinstance(entry["name"], str) or type(entry["view"]) is not int:
        raise CalibrationError(f"{path}: camera {entry['name']!r} needs a name and a whole number as view")
    return RigCamera(entry["name"], entry["view"], str(entry.get("serial", "")), entry.get("tier") == "frontal")


def detect_all(
    shots: BoardShots, *, workers: int = 2, progress: Progress = no_progress
) -> dict[tuple[int, int], Detection]:
    """Every photograph's corners; one that cannot be read, or has another size than its camera's others, says so.

    OpenCV and NumPy leave the interpreter's lock while they work, so threads are enough.
    """
    keys = sorted(shots.photographs)

    def one(key: tuple[int, int]) -> Detection:
        image = _read(shots.photographs[key])
        if isinstance(image, str):
            return Detection(np.zeros(0, np.int64), np.zeros((0, 2)), 0, 0, reason=image)
        return detect(image, shots.board)

    found = {}
    with ThreadPoolExecutor(max(1, workers)) as pool:
        for count, (key, detection) in enumerate(zip(keys, pool.map(one, keys), strict=True), 1):
            found[key] = detection
            progress(count / len(keys), f"photograph {count} of {len(keys)}")
    return _of_one_size(found)


def _read(path: Path) -> NDArray[np.uint8] | str:
    """Grey, as stored (no EXIF rotation), or the reason why it cannot be had."""
    image = decode_photo(path)
    return image if isinstance(image, str) else np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), np.uint8)


def _of_one_size(found: dict[tuple[int, int], Detection]) -> dict[tuple[int, int], Detection]:
    for camera in {c for c, _ in found}:
        sizes = [(d.width, d.height) for (c, _), d in found.items() if c == camera and d.width]
        if len(set(sizes)) < 2:
            continue
        usual = max(set(sizes), key=sizes.count)
        for key, d in found.items():
            if key[0] == camera and d.width and (d.width, d.height) != usual:
                reason = f"{d.width} x {d.height} px; its other photographs have {usual[0]} x {usual[1]}"
                found[key] = Detection(np.zeros(0, np.int64), np.zeros((0, 2)), *usual, reason=reason)
    return found


def image_up_vectors(shots: BoardShots) -> list[Floats]:
    """(3,) a camera: which way is up in its stored photographs, from their EXIF orientation where they have one."""
    first: dict[int, Path] = {}
    for (camera, _), path in sorted(shots.photographs.items()):
        first.setdefault(camera, path)
    return [np.array(_UP.get(_orientation(first.get(c)), (0.0, -1.0, 0.0))) for c in range(len(shots.cameras))]


def _orientation(path: Path | None) -> int:
    if path is None:
        return 1
    try:
        with Image.open(path) as picture:
            return int(picture.getexif().get(ExifTags.Base.Orientation, 1))
    except (OSError, UnidentifiedImageError, ValueError, TypeError, SyntaxError, Image.DecompressionBombError):
        return 1
