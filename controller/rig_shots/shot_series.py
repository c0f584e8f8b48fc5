"""A series of rig shots on disk, in the layout that `mien calibrate` and `mien cameras colours` read.

    HOME/rig-shots/board-<utc>/board.toml  <pose>/<camera>.jpg
    HOME/rig-shots/colours-<utc>/<view>.jpg
    HOME/rig-shots/test-<utc>/<pose>/<camera>.jpg

Beside them series.toml says what was asked for, fired.txt which poses were fired, and photographs.jsonl which
photograph lies where, with its hash. A line is written once the photograph is on the disk, and the node forgets its
copy after that: whoever is killed meanwhile, nothing is lost, and a photograph that is offered again is known.
"""

import json
import logging
import shutil
import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from common.bounded.files import read_bytes
from common.bounded.limits import MAX_JSON_BYTES
from common.configuration.loader import from_table, read_toml
from common.files.append_lines import append_lines
from common.files.atomic_write import write_whole
from common.files.durable import fsync_file, fsync_folder
from controller.errors import ConfigurationError, FrameRejected
from controller.rig_file import DEFAULT_PROFILE
from controller.rig_shots.shot_names import FRAME, Kind, ShotName, is_series, new_series, pose_name

log = logging.getLogger(__name__)

FOLDER = "rig-shots"
BOARD_FILE = "board.toml"
_ASKED_FILE = "series.toml"
_FIRED_FILE = "fired.txt"
_PHOTOGRAPHS_FILE = "photographs.jsonl"


@dataclass(frozen=True)
class ShotRequest:
    """What a series is to be."""

    kind: Kind
    poses: int = 1  # how many
    cameras: tuple[str, ...] = ()  # that take part; without any all of the rig that are ready
    profile: str = DEFAULT_PROFILE  # settings and lights
    frame: bool = False  # the first pose of a board is the head frame


@dataclass(frozen=True)
class ShotPhotograph:
    """A photograph of a series, where it lies."""

    pose: str
    camera: str
    file: str  # relative to the series' folder
    sha256: str


@dataclass
class ShotSeries:
    """A series and what is known to be in it. Changed by ShotFolder alone."""

    name: str
    folder: Path
    asked: ShotRequest
    photographs: dict[tuple[str, str], ShotPhotograph] = field(default_factory=dict)  # by pose and camera
    fired: list[str] = field(default_factory=list)  # names of poses that were fired, or were to be

    def poses(self) -> list[str]:
        """Of which there is a photograph, in the order in which they were made."""
        return list(dict.fromkeys(pose for pose, _ in self.photographs))

    def next_pose(self) -> str:
        """The name of the next shot: one that was never fired, for its photographs may still be on the nodes."""
        if self.asked.frame and FRAME not in self.fired:
            return FRAME
        return pose_name(max((int(name) for name in self.fired if name != FRAME), default=0) + 1)


class ShotFolder:
    """All series of a home. Thread-safe; filing threads and whoever shoots call it."""

    def __init__(self, home: Path, views: Mapping[str, int]) -> None:
        """views: camera -> its view, by which a ColorChecker's photograph is named."""
        self.root = home / FOLDER
        self._views = views
        self._known: dict[str, ShotSeries] = {}
        self._lock = threading.Lock()

    def begin(self, asked: ShotRequest, board: str = "") -> ShotSeries:
        """A new series, its folder made. board: the text of its board.toml. Raises OSError."""
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        first = new_series(asked.kind, datetime.now(UTC))
        names = (first, *(f"{first}-{number}" for number in range(2, 100)))
        with self._lock:
            name = next(name for name in names if not (self.root / name).exists())
            folder = self.root / name
            folder.mkdir(mode=0o700)
            if board:
                write_whole(folder / BOARD_FILE, board)
            write_whole(folder / _ASKED_FILE, _toml(asked))
            fsync_folder(self.root)
            self._known[name] = ShotSeries(name, folder, asked)
            return self._known[name]

    def open(self, name: str) -> ShotSeries:
        """A series that was begun earlier. Raises ConfigurationError where there is none of this name."""
        with self._lock:
            found = self._find(name)
        if found is None:
            known = sorted(path.name for path in self.root.glob("*") if is_series(path.name))
            told = f"; there are {', '.join(known[-5:])}" if known else ""
            raise ConfigurationError(f"{self.root} has no series {name!r}{told}")
        return found

    def fire(self, series: ShotSeries, pose: str) -> None:
        """A pose is about to be fired: its name is used for ever. Raises OSError."""
        with self._lock:
            append_lines(series.folder / _FIRED_FILE, f"{pose}\n")
            series.fired.append(pose)

    def judge(self, take_id: str, camera: str, sha256: str) -> Literal["want", "stored"]:
        """Whether a photograph is wanted. Raises FrameRejected for a second one of the same shot."""
        shot = ShotName.parse(take_id)
        with self._lock:
            series = self._find(shot.series) if shot is not None else None
            if shot is None or series is None:
                log.warning("%s of %s is let go: its series is no more", take_id, camera)
                return "stored"
            if camera not in self._views:
                raise FrameRejected(f"{camera} is no camera of the rig")
            known = series.photographs.get((shot.pose, camera))
            if known is None:
                return "want"
            if known.sha256 != sha256:
                raise FrameRejected(f"{camera} has another photograph in {take_id} already")
            return "stored"

    def keep(self, take_id: str, camera: str, path: Path, sha256: str) -> ShotPhotograph | None:
        """Put a whole photograph at its place; None when its series is no more. Raises OSError.

        path: of the photograph, verified; moved, or copied where it lies on another disk.
        """
        shot = ShotName.parse(take_id)
        with self._lock:
            series = self._find(shot.series) if shot is not None else None
            if shot is None or series is None:
                path.unlink(missing_ok=True)
                return None
            made = ShotPhotograph(shot.pose, camera, self._place(series, shot.pose, camera), sha256)
            if self._outdated(series, made):
                path.unlink(missing_ok=True)
            else:
                _move(path, series.folder / made.file)
            append_lines(series.folder / _PHOTOGRAPHS_FILE, json.dumps(asdict(made)) + "\n")
            series.photographs[shot.pose, camera] = made
            return made

    def _place(self, series: ShotSeries, pose: str, camera: str) -> str:
        if series.asked.kind == "colours":
            return f"{self._views[camera]}.jpg"
        return f"{pose}/{camera}.jpg"

    def _outdated(self, series: ShotSeries, made: ShotPhotograph) -> bool:
        """Whether a later shot's photograph has this place by now: of a ColorChecker the last one counts."""
        return series.asked.kind == "colours" and any(
            one.camera == made.camera and one.pose > made.pose for one in series.photographs.values()
        )

    def _find(self, name: str) -> ShotSeries | None:
        if name not in self._known:
            folder = self.root / name
            if not is_series(name) or not (folder / _ASKED_FILE).is_file():
                return None
            table = read_toml(folder / _ASKED_FILE, ConfigurationError)
            asked = from_table(ShotRequest, table, str(folder / _ASKED_FILE), ConfigurationError)
            fired = _lines(folder / _FIRED_FILE)
            known = [pose for pose in fired if pose == FRAME or pose.isdecimal()]
            self._known[name] = ShotSeries(name, folder, asked, _read_photographs(folder / _PHOTOGRAPHS_FILE), known)
        return self._known[name]


def _read_photographs(path: Path) -> dict[tuple[str, str], ShotPhotograph]:
    """The lines that are whole and whose file is there: a last one that was cut off is offered again."""
    found = {}
    for line in _lines(path):
        try:
            data: Any = json.loads(line)
            one = from_table(ShotPhotograph, data, str(path), ConfigurationError)
        except (ValueError, RecursionError, ConfigurationError):
            log.warning("%s has a line that is none: %.100r", path, line)
            continue
        if (path.parent / one.file).is_file():
            found[one.pose, one.camera] = one
    return found


def _lines(path: Path) -> list[str]:
    try:
        return read_bytes(path, MAX_JSON_BYTES).decode("utf-8", "replace").splitlines()
    except FileNotFoundError:
        return []


def _move(path: Path, target: Path) -> None:
    """On the disk under its name when this returns; whole or not at all."""
    target.parent.mkdir(mode=0o700, exist_ok=True)
    fsync_file(path)
    try:
        path.replace(target)
    except OSError:  # another disk
        copy = target.with_name(f".{target.name}.part")
        shutil.copyfile(path, copy)
        fsync_file(copy)
        copy.replace(target)
        path.unlink()
    fsync_folder(target.parent)
    fsync_folder(target.parent.parent)


def _toml(asked: ShotRequest) -> str:
    rows = {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(asked).items()}
    return "".join(f"{name} = {json.dumps(value)}\n" for name, value in rows.items())
