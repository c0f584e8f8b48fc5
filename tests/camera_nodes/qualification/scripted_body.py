"""A camera with habits that a test sets: what it announces when, what it refuses, what it forgets."""

import time
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any

from camera_nodes.camera import CameraCondition, CameraInfo, CameraState, ReleaseStamps, UncollectedExposure
from camera_nodes.camera_models.models import BodyModels, parse
from camera_nodes.clock_sync.clock import MonotonicClock
from camera_nodes.errors import (
    CameraBusy,
    CameraFault,
    CameraMissing,
    CardFull,
    FileGone,
    FileNotDeleted,
    FileTruncated,
)
from camera_nodes.qualification.qualify import QualifyOptions, qualify
from camera_nodes.qualification.report import QualificationReport
from camera_nodes.sim_camera import built_in_photo, built_in_raw
from camera_nodes.wire import Exposure

QUICK = parse('[[body]]\nname = "any"\nmatch = ["*"]\nfile_s = 0.1\nbusy_s = 0.3\ninit_s = 0.1\nquiet_s = 0.001\n', "t")


@dataclass(frozen=True)
class File:
    folder: str
    name: str
    bytes: int | None = None
    epoch: int = 0

    @property
    def path(self) -> str:
        return f"{self.folder.rstrip('/')}/{self.name}"


@dataclass
class Habits:
    """Numbers are of exposures, from 1."""

    drop: tuple[int, ...] = ()  # no photograph comes
    late: tuple[int, ...] = ()  # it comes when the next exposure is about to be armed
    cut: tuple[int, ...] = ()  # it comes short, without an error
    damaged: tuple[int, ...] = ()  # reading raises FileTruncated
    twice: tuple[int, ...] = ()  # it is announced a second time
    stray: tuple[int, ...] = ()  # a file that no exposure made comes with it
    copies: bool = False  # each photograph lies in a second slot too
    raw: str = ""  # "first", "last": a raw file beside each photograph
    raw_named_otherwise: bool = False
    raw_missing: tuple[int, ...] = ()
    busy_release: tuple[int, ...] = ()  # busy once at that exposure's first try
    gone_release: tuple[int, ...] = ()  # gone at that exposure's first try
    fault_arm: tuple[int, ...] = ()
    full_at: int = 0
    refuses_deletion: bool = False
    pretends_deletion: bool = False
    forgets: bool = False  # its files go with the connection
    dead_after: int = 0  # exposures; never answers again
    never_dry: bool = False
    lag_ms: tuple[float, ...] = ()
    clock_s: float | None = 0.0
    photos_left: int | None = 500
    battery: int | None = 90
    interrupt_at: int = 0  # Ctrl-C while this exposure is awaited


class ScriptedBody:
    """See camera_nodes.qualification.exposure_trials.Camera."""

    def __init__(self, habits: Habits | None = None, model: str = "Scripted body", old: tuple[str, ...] = ()) -> None:
        self.habits = habits or Habits()
        self.clock = MonotonicClock()
        self.info = CameraInfo("scripted:", model, "S1")
        self.state = CameraState.CLOSED
        self.card: dict[str, bytes] = {f"/card/{name}": built_in_photo(name) for name in old}
        self.deleted: list[str] = []
        self.armed_with: list[Exposure] = []
        self._exposures = 0
        self._tried: set[int] = set()
        self._queue: list[File] = []
        self._after: list[File] = []  # announced once something else was asked
        self._epoch = 0

    def open(self) -> None:
        if self.state is not CameraState.CLOSED:
            return
        self._check()
        self._epoch += 1
        self.state = CameraState.IDLE

    def close(self) -> None:
        if self.state is not CameraState.CLOSED and self.habits.forgets:
            self.card.clear()
        self._queue.clear()
        self.state = CameraState.CLOSED

    def _check(self) -> None:
        if self.habits.dead_after and self._exposures >= self.habits.dead_after:
            self.state = CameraState.CLOSED
            raise CameraMissing("it no longer answers")

    def arm(self, settings: Exposure, *, allow_ram: bool = False) -> CameraCondition:
        self._check()
        assert self.state is CameraState.IDLE
        assert allow_ram or settings != Exposure()
        number = self._exposures + 1
        if number in self.habits.fault_arm and ("arm", number) not in self._tried:
            self._tried.add(("arm", number))
            self._exposures += 1  # that exposure is not made
            raise CameraFault("the mirror is stuck")
        if self.habits.full_at and number > self.habits.full_at:
            raise CardFull("the card is full")
        self.armed_with.append(settings)
        self.state = CameraState.ARMED
        return SimpleNamespace(keeps_raw=bool(self.habits.raw), warnings=())

    def check(self) -> CameraCondition:
        self._check()
        return CameraCondition(self.habits.battery, self.habits.photos_left)

    def disarm(self) -> None:
        self.state = CameraState.IDLE

    def expose(self, at_ns: int) -> UncollectedExposure:
        assert self.state is CameraState.ARMED
        number = self._exposures + 1
        for which, error in (("busy_release", CameraBusy), ("gone_release", CameraMissing)):
            if number in getattr(self.habits, which) and (which, number) not in self._tried:
                self._tried.add((which, number))
                self.state = CameraState.CLOSED if error is CameraMissing else CameraState.IDLE
                raise error(which)
        self._exposures = number
        self.state = CameraState.EXPOSED
        now = self.clock.now_ns()
        lags = self.habits.lag_ms
        exposed = now + round(lags[number % len(lags)] * 1e6) if lags else None
        self._make(number)
        return UncollectedExposure(at_ns, ReleaseStamps(now, exposed, "simulated" if lags else None))

    def _make(self, number: int) -> None:
        habits = self.habits
        if number in habits.drop:
            return
        name = f"IMG_{number:04d}"
        photo = File("/card", f"{name}.JPG")
        files = [photo]
        if habits.raw and number not in habits.raw_missing:
            raw = File("/card", f"{'CAPT' if habits.raw_named_otherwise else 'IMG_'}{number:04d}.CR2")
            files.insert(0 if habits.raw == "first" else 1, raw)
        if habits.copies:
            files.append(replace(photo, folder="/card2"))
        if number in habits.twice:
            files.append(photo)
        if number in habits.stray:
            files.append(File("/card", f"OLD_{number:04d}.JPG"))
        for file in files:
            data = built_in_raw(name) if file.name.endswith("CR2") else built_in_photo(f"{name} {number}")
            self.card[file.path] = data
        stated = [replace(file, bytes=len(self.card[file.path]), epoch=self._epoch) for file in files]
        if number in habits.late:
            self._after += stated
        else:
            self._queue += stated
        if number in habits.cut:
            self.card[photo.path] = self.card[photo.path][:-20]

    def finish(self) -> None:
        self.state = CameraState.IDLE

    def listen(self, timeout_s: float) -> Any:
        self._check()
        if self.habits.interrupt_at and self._exposures == self.habits.interrupt_at:
            raise KeyboardInterrupt
        if self.state is CameraState.IDLE:
            self._queue += self._after
            self._after = []
        files, self._queue = self._queue, []
        if not files:
            time.sleep(min(timeout_s, 0.002))
        return SimpleNamespace(files=tuple(files), quiet=not self.habits.never_dry, interrupted=False)

    def search(self) -> tuple[File, ...]:
        self._check()
        return tuple(File(*path.rsplit("/", 1), len(data)) for path, data in self.card.items())

    def read(self, file: File) -> bytes:
        self._check()
        if file.path not in self.card:
            raise FileGone(f"no {file.path}")
        if self._exposures in self.habits.damaged:
            raise FileTruncated("it comes short each time", b"")
        return self.card[file.path]

    def delete(self, file: File) -> bool:
        self._check()
        if self.habits.refuses_deletion:
            raise FileNotDeleted("deletion is forbidden")
        if file.path not in self.card:
            raise FileGone(f"no {file.path}")
        self.deleted.append(file.path)
        if not self.habits.pretends_deletion:
            del self.card[file.path]
        return True

    def body_clock_s(self) -> float | None:
        return self.habits.clock_s


@dataclass
class Talk:
    """What was said to the person, and what they were asked to do."""

    said: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)


def run(
    habits: Habits | None = None, shots: int = 20, body: ScriptedBody | None = None, extra: str = "", **options: Any
) -> QualificationReport:
    """The report of a body with these habits, with little patience for it.  extra: a table over the built-in one."""
    body = body or ScriptedBody(habits)
    models = BodyModels((*QUICK, *parse(extra, "extra", layer=1)))
    report, _ = qualify(body, "scripted:", models, QualifyOptions(shots, **options))
    assert body.state is CameraState.CLOSED
    return report
