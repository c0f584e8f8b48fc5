"""Rig shots as they are made: one series at a time, a shot when somebody asks for it or every so many seconds.

What comes in is filed in the series' folder and looked at; how a series stands can be asked at any time.
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from camera_nodes import wire
from common.configuration.loader import read_toml
from controller.errors import ConfigurationError, ControllerError, RigNotReady, SessionError
from controller.firing.firing_lock import FiringLock
from controller.rig_file import Rig
from controller.rig_shots.board_coverage import Sighting, advice, coverage
from controller.rig_shots.shot_firing import ShotFiring
from controller.rig_shots.shot_names import FRAME, ShotName
from controller.rig_shots.shot_series import BOARD_FILE, ShotFolder, ShotPhotograph, ShotRequest, ShotSeries
from controller.rig_shots.shot_watcher import Look, Seen, ShotWatcher
from db.errors import RecordError

if TYPE_CHECKING:
    from common.charuco.charuco_board import Board

log = logging.getLogger(__name__)

MOST_POSES = 999
FAILURES = 3  # shots in a row that could not be fired, after which nobody waits for the next one
State = Literal["running", "done", "failed", "stopped"]


@dataclass
class _Pose:
    """The shot that was fired last."""

    name: str
    fired: tuple[str, ...] = ()
    lacking: dict[str, str] = field(default_factory=dict)  # camera -> why there is no photograph of it


@dataclass
class _Job:
    """The series that is photographed, or was last."""

    series: ShotSeries
    board: "Board | None"
    every_s: float | None  # between shots; None: somebody asks for each
    state: State = "running"
    told: str = ""
    done: int = 0  # poses fired
    next_at: float = 0.0  # monotonic; of the next shot, where they come by themselves
    pose: _Pose | None = None


class RigShooting:
    """start() and stop() once; attach() the rig before the first shot. Methods may be called from any thread."""

    def __init__(self, rig: Rig, home: Path, firing: FiringLock, changed: Callable[[], None] = lambda: None) -> None:
        """changed: told when a series stands otherwise; it returns at once."""
        self._tell = changed
        self._rig = rig
        self._home = home
        self._firing = firing
        self._folder = ShotFolder(home, {camera.name: camera.view for camera in rig.cameras})
        self._watcher = ShotWatcher(lambda: firing.held, self._looked)
        self._fire: ShotFiring | None = None
        self._ready: Callable[[], Mapping[str, str]] = dict
        self._lock = threading.RLock()
        self._job: _Job | None = None
        self._sightings: dict[tuple[str, str], Sighting] = {}  # by pose and camera, of the present series
        self._problems: dict[str, str] = {}  # camera -> what is wrong with its last photograph
        self._looking = 0
        self._stopping = threading.Event()
        self._clock = threading.Condition(self._lock)
        self._timer: threading.Thread | None = None

    def start(self) -> None:
        self._watcher.start()

    def attach(self, fire: ShotFiring, ready: Callable[[], Mapping[str, str]]) -> None:
        """ready: by camera why it cannot take part, "" when it can; raises when nothing may be photographed now."""
        self._fire = fire
        self._ready = ready

    def stop(self) -> None:
        self._stopping.set()
        with self._lock:
            self._clock.notify_all()
            timer = self._timer
        if timer is not None:
            timer.join(30)
        self._watcher.stop()

    # --- for whoever photographs ---

    def begin(
        self, asked: ShotRequest, *, every_s: float | None = None, resume: str = "", board: "Board | None" = None
    ) -> None:
        """Begin a series, or go on with an earlier one; one of a ColorChecker and a test are fired at once.

        board: its measures; by default those in the home's board.toml, and of an earlier series its own. Raises
        SessionError while another series is photographed, ConfigurationError, and like shoot().
        """
        with self._lock:
            if self._job is not None and self._job.state == "running":
                raise SessionError(f"{self._job.series.name} is being photographed: stop it first")
            for name in asked.cameras:
                self._rig.camera(name)
            self._rig.profile(asked.profile)
            job = self._resumed(asked, resume) if resume else self._new(asked, board)
            self._job, job.every_s = job, every_s
            self._sightings, self._problems, self._looking = {}, {}, 0
            for photograph in job.series.photographs.values():
                self._look(job, photograph)
            self._changed()
        if asked.kind != "board":
            self.shoot()
        elif every_s is not None:
            job.next_at = time.monotonic() + every_s
            self._timer = threading.Thread(target=self._run, args=(job,), name="mien-rig-shots-timer", daemon=True)
            self._timer.start()

    def shoot(self, name: str = "") -> None:
        """Fire the next shot of the series now. name: "frame" for the pose that is the head frame.

        Raises SessionError when no series is begun or all of it is photographed, or while another uses the shutters;
        RigNotReady when no camera can be fired, LightsFailed.
        """
        with self._lock:
            job = self._job
            if job is None or job.state != "running":
                raise SessionError("No series is begun:  mien rig shoot board|colours|test")
            if name not in ("", FRAME):
                raise SessionError(f"a pose is numbered, or named {FRAME!r}; not {name!r}")
            pose = name or job.series.next_pose()
            if name and name in job.series.fired:
                raise SessionError(f"{job.series.name} has its pose {FRAME} already")
        try:
            self._shoot(job, pose)
        except (ControllerError, RecordError) as error:
            with self._lock:
                job.told = str(error)
                if job.series.asked.kind != "board":
                    job.state = "failed"
                self._changed()
            raise

    def end(self) -> None:
        """No more shots of this series; what is under way still comes in."""
        with self._lock:
            if self._job is not None and self._job.state == "running":
                self._job.state = "stopped"
                self._changed()

    def thumbnail(self, sha256: str) -> bytes | None:
        """Of a photograph of the series, JPEG; None when it is not known any more."""
        return self._watcher.thumbnail(sha256)

    def job(self) -> dict[str, Any] | None:
        """The series in a line, for the list of what is under way; None when there was none."""
        with self._lock:
            job = self._job
            if job is None:
                return None
            asked = job.series.asked
            poses = f"{job.done} of {asked.poses} poses" if asked.kind == "board" else f"{job.done} shot"
            text = f"{poses}, {self._looking} to look at" if self._looking else poses
            return {
                "id": job.series.name, "kind": asked.kind, "text": text, "done": job.done, "total": asked.poses,
                "state": job.state, "told": job.told,
            }  # fmt: skip

    def state(self) -> dict[str, Any]:
        """How the series stands; `state` is "none" when there was none."""
        with self._lock:
            job = self._job
            if job is None:
                return {"state": "none"}
            asked = job.series.asked
            left = max(0.0, job.next_at - time.monotonic()) if job.every_s and job.state == "running" else None
            cameras = self._camera_data(job)
            data: dict[str, Any] = {
                "id": job.series.name, "kind": asked.kind, "state": job.state, "told": job.told,
                "folder": str(job.series.folder), "done": job.done, "total": asked.poses, "profile": asked.profile,
                "every_s": job.every_s, "next_in_s": left, "firing": self._firing.held,
                "pose": self._pose_data(job), "looking": self._looking, "cameras": cameras,
            }  # fmt: skip
            if job.board is None:
                return data
            found = coverage(self._names(job), self._sightings)
            for camera, one in found.items():
                cameras[camera] |= {
                    "poses": one.poses, "cells": one.cells, "covered": one.covered, "linked": one.linked,
                    "enough": one.enough, "lacks": one.lacks,
                }  # fmt: skip
            lacking = [camera for camera, one in found.items() if not one.enough]
            return data | {"enough": not lacking, "lacking": lacking, "advice": advice(found)}

    # --- what comes in; called from filing and control threads ---

    def judge(self, offer: wire.Offer) -> Literal["want", "stored"]:
        """Whether a shot's photograph is wanted; raw files are let go. Raises FrameRejected."""
        if offer.kind != "jpeg":
            return "stored"
        return self._folder.judge(offer.take_id, offer.camera, offer.sha256)

    def keep(self, take_id: str, camera: str, path: Path, sha256: str) -> None:
        """File a photograph that was verified; moves `path`. Raises OSError."""
        made = self._folder.keep(take_id, camera, path, sha256)
        shot = ShotName.parse(take_id)
        with self._lock:
            if made is not None and self._job is not None and shot is not None and self._job.series.name == shot.series:
                self._look(self._job, made)
                self._changed()

    def fault(self, take_id: str, camera: str, text: str) -> None:
        """A camera's photograph of a shot does not come, and why."""
        shot = ShotName.parse(take_id)
        with self._lock:
            job = self._job
            if job is None or shot is None or job.series.name != shot.series or job.pose is None:
                return
            if job.pose.name == shot.pose:
                job.pose.lacking[camera] = text
            self._changed()

    # ---

    def _new(self, asked: ShotRequest, board: "Board | None") -> _Job:
        from common.charuco.charuco_board import board_toml

        if asked.kind != "board":
            return _Job(self._folder.begin(asked), None, None)
        board = board or self._home_board()
        return _Job(self._folder.begin(asked, board_toml(board)), board, None)

    def _resumed(self, asked: ShotRequest, name: str) -> _Job:
        from common.charuco.charuco_board import read_board

        series = self._folder.open(name)
        if series.asked.kind != asked.kind:
            raise ConfigurationError(f"{name} is no series of kind {asked.kind!r}")
        series.asked = asked
        board = read_board(series.folder / BOARD_FILE) if asked.kind == "board" else None
        return _Job(series, board, None, done=len(series.poses()) if asked.kind == "board" else 0)

    def _home_board(self) -> "Board":
        from common.charuco.charuco_board import board_from

        path = self._home / BOARD_FILE
        if not path.is_file():
            raise ConfigurationError(
                f"{path} is missing: it says how many squares of what size the board has. `mien cameras board"
                f" --out board.pdf` prints a board and writes its {BOARD_FILE}; copy that here, or give it with --board"
            )
        return board_from(read_toml(path, ConfigurationError), str(path))

    def _shoot(self, job: _Job, pose: str) -> None:
        assert self._fire is not None
        with self._firing.hold("the rig photographs without a subject"):
            ready = self._ready()
            asked = job.series.asked
            wanted = {camera: why for camera, why in ready.items() if camera in (asked.cameras or ready)}
            lacking = {camera: why for camera, why in wanted.items() if why}
            if len(lacking) == len(wanted):
                told = "\n".join(f"  {camera}  {why}" for camera, why in lacking.items())
                raise RigNotReady(f"Nothing was photographed: no camera is ready.\n{told}".rstrip())
            with self._lock:
                job.pose = shot = _Pose(pose, lacking=lacking)
            self._folder.fire(job.series, pose)
            name = str(ShotName(job.series.name, pose))
            outcome = self._fire.fire(name, wanted.keys() - lacking.keys(), asked.profile)
        with self._lock:
            shot.fired = outcome.fired
            shot.lacking = dict(outcome.lacking) | shot.lacking
            job.done += 1
            job.told = ""
            if job.done >= asked.poses and job.state == "running":
                job.state = "done"
            self._changed()

    def _run(self, job: _Job) -> None:
        """A series whose shots come by themselves."""
        failures = 0
        while not self._stopping.is_set():
            with self._lock:
                if job.state != "running":
                    return
                left = job.next_at - time.monotonic()
                if left > 0:
                    self._clock.wait(min(left, 0.5))
                    continue
                job.next_at = time.monotonic() + (job.every_s or 0.0)
            try:
                self.shoot()
                failures = 0
            except (ControllerError, RecordError) as error:
                failures += 1
                log.warning("rig shot: %s", error)
                with self._lock:
                    if failures >= FAILURES and job.state == "running":
                        job.state = "failed"
                        self._changed()

    def _look(self, job: _Job, photograph: ShotPhotograph) -> None:
        self._looking += 1
        path = job.series.folder / photograph.file
        self._watcher.add(Look(photograph.pose, photograph.camera, path, photograph.sha256, job.board))

    def _looked(self, seen: Seen) -> None:
        look = seen.look
        with self._lock:
            job = self._job
            known = job.series.photographs.get((look.pose, look.camera)) if job is not None else None
            if (
                job is None
                or known is None
                or known.sha256 != look.sha256
                or job.series.folder not in look.path.parents
            ):
                return  # of a series before
            self._looking = max(0, self._looking - 1)
            if seen.problem:
                self._problems[look.camera] = seen.problem
            else:
                self._problems.pop(look.camera, None)
            if seen.sighting is not None:
                self._sightings[look.pose, look.camera] = seen.sighting
            self._changed()

    def _names(self, job: _Job) -> list[str]:
        asked = job.series.asked.cameras
        return [camera.name for camera in self._rig.cameras if not asked or camera.name in asked]

    def _pose_data(self, job: _Job) -> dict[str, Any] | None:
        if job.pose is None:
            return None
        there = [camera for camera in job.pose.fired if (job.pose.name, camera) in job.series.photographs]
        return {
            "name": job.pose.name, "fired": list(job.pose.fired), "in": there, "lacking": dict(job.pose.lacking),
        }  # fmt: skip

    def _camera_data(self, job: _Job) -> dict[str, dict[str, Any]]:
        data: dict[str, dict[str, Any]] = {camera: {"photographs": 0} for camera in self._names(job)}
        for (_, camera), photograph in job.series.photographs.items():
            if camera in data:
                data[camera]["photographs"] += 1
                data[camera]["picture"] = photograph.sha256
        for camera, one in data.items():
            if camera in self._problems:
                one["problem"] = self._problems[camera]
            if job.board is not None and job.pose is not None:
                sighted = self._sightings.get((job.pose.name, camera))
                one["seen"] = None if sighted is None else sighted.seen
        return data

    def _changed(self) -> None:
        self._tell()
        self._clock.notify_all()
