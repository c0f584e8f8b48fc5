"""Qualify a body: what this one with its firmware really does, before the rig relies on it.

Connects, asks for target, stores and formats, times its settings, sets its clock, makes many exposures, cuts the
connection between an exposure and its reading, and judges.  It may be broken off at any moment: what was measured until
then is in the report.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Literal

from camera_nodes.camera import BodyFile, Camera, CameraState
from camera_nodes.camera_models.models import BodyModel, BodyModels
from camera_nodes.errors import CameraFault, CameraMissing, CardFull, EquipmentError, SettingsRefused
from camera_nodes.qualification.body_checks import BodyProbe
from camera_nodes.qualification.call_recording import CallRecord
from camera_nodes.qualification.exposure_trials import ExposureTrials
from camera_nodes.qualification.report import (
    BodyClock,
    Events,
    Fault,
    QualificationReport,
    Recovery,
    SettleTime,
    spread,
)
from camera_nodes.qualification.verdict import decide_fitness
from camera_nodes.wire import Exposure

_REOPENINGS = 3
_IN_VAIN = 5  # exposures in a row without a photograph, and it is over: each is waited for as long as the table says
_AGAIN_S = 0.5  # between tries to connect
_ABSENT = ("GP_ERROR_BAD_PARAMETERS", "GP_ERROR_NOT_SUPPORTED")  # of reading a setting: it has none of that name


class PhotoMissingAgain(CameraFault):
    """Photographs do not come at all."""

    code = "photo_missing"


@dataclass(frozen=True)
class QualifyOptions:
    """What a qualification does."""

    shots: int = 100  # exposures to make
    keep: bool = False  # leave them on the card
    set_clock: bool = True  # set the body's clock to this computer's
    pull_cable: bool = False  # ask a person to pull the cable and put it back


def qualify(
    camera: Camera,
    address: str,
    models: BodyModels,
    options: QualifyOptions,
    *,
    record: CallRecord | None = None,
    release: str = "",
    say: Callable[[str], None] = lambda _: None,
    ask: Callable[[str], object] = lambda _: None,
) -> tuple[QualificationReport, BodyModel]:
    """The report on the camera at `address`, and what the table says of its model; the camera is closed afterwards.

    `record`: notes of the library's calls, where it is a body under libgphoto2 (qualify_record.recording).
    `ask` shows a text and returns when the person has done what it says.
    Raises CameraMissing and others of EquipmentError when it cannot be opened at all; from then on everything that goes
    wrong is in the report.  Ctrl-C ends it: the report is then not `finished`.
    """
    run = _Run(camera, models, options, record if record is not None and address.startswith("gphoto2:") else None)
    run.say, run.ask = say, ask
    run.wired = bool(release)
    say(f"connecting to {address}")
    run.open()
    finished = False
    try:
        run.all()
        finished = True
    except KeyboardInterrupt:
        say("broken off")
    except EquipmentError as error:
        run.end_fault = error
        finished = True
    try:
        run.conclude()
    finally:
        camera.close()
    found: dict[str, Any] = run.found | {
        "made_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "mien": _version(),
        "address": address,
        "release": release,
        "finished": finished,
        "table": run.known.entries,
    }
    verdict, reasons = decide_fitness(QualificationReport(**found), run.known)
    return QualificationReport(**found, verdict=verdict, reasons=reasons), run.known


class _Run:
    """One qualification.  `found` fills up with the fields of the report."""

    def __init__(self, camera: Camera, models: BodyModels, options: QualifyOptions, record: CallRecord | None) -> None:
        self.camera = camera
        self.options = options
        self.record = record
        self.known = BodyModel()
        self.say: Callable[[str], None] = lambda _: None
        self.ask: Callable[[str], object] = lambda _: None
        self.found: dict[str, Any] = {}
        self.end_fault: EquipmentError | None = None
        self._models = models
        self._open_s: list[float] = []
        self._recoveries: list[Recovery] = []
        self._asked = options.shots
        self.wired = False
        self._shots = ExposureTrials(camera, self.known)

    def open(self) -> None:
        """The first connection.  Raises as Camera.open."""
        self._reopen()
        info = self.camera.info
        self.known = self._models.find(info.model)
        heard = self.record.heard if self.record else lambda: 0
        self._shots = ExposureTrials(
            self.camera,
            self.known,
            keep=self.options.keep,
            heard=heard,
            delete_at_body=self._delete_at_body if self.record else None,
        )
        self.found |= {"model": info.model, "serial": info.serial, "library": ""}
        entries = " > ".join(self.known.entries) or "no entry"
        self.say(f"{info.model}, serial {info.serial or 'not told'}; table of models: {entries}")

    def all(self) -> None:
        """Everything in order.  Raises EquipmentError when it cannot go on."""
        self._identity()
        self._settings()
        self._clock()
        with self._counted("searching"):
            self._shots.begin()
        if self._expose():
            self._cuts()

    def conclude(self) -> None:
        """The figures of what was done; never raises."""
        if self.camera.state not in (CameraState.CLOSED, CameraState.IDLE):
            with self._counted("ending"):
                self.camera.disarm()
        with self._counted("ending"):
            self.found["deletion"] = self._shots.deletion()
        polls = [s * 1e3 for s in self.record.polls_over] if self.record else []
        faults = [*self._shots.faults(), *self._library_faults()]
        if self.end_fault is not None:
            faults.insert(0, Fault("ended", getattr(self.end_fault, "code", "fault"), 1, str(self.end_fault)[:300]))
        kinds = dict(self.record.events.most_common()) if self.record else {}
        self.found |= {
            "exposures": self._shots.exposures(self._asked),
            "times": self._shots.times(self._open_s, polls),
            "events": Events(kinds, self._shots.busiest, self._shots.runs_dry()),
            "busy_answers": self.record.busy_answers if self.record else self._shots.counts["busy"],
            "busy_longest_s": round(self.record.busy_longest_s, 3) if self.record else 0.0,
            "faults": tuple(faults),
            "lag": self._shots.lag(),
            "recoveries": tuple(self._recoveries),
        }

    # --- parts

    def _identity(self) -> None:
        if self.record is not None:
            body = self._body()
            self.found |= {"library": body.library(), "firmware": body.firmware()}
            self.say("capture target, stores, formats")
            with self._counted("target"):
                self.found |= {"target": body.target()}
            self.found |= {"stores": body.stores(), "formats": body.formats()}
        with self._counted("checking"):
            condition = self.camera.check()
            self.found |= {"battery_percent": condition.battery_percent, "photos_left": condition.photos_left}

    def _settings(self) -> None:
        with self._counted("settings"):
            self.found["settles"] = self._body().settles(self.say) if self.record else self._settles_by_arming()

    def _settles_by_arming(self) -> tuple[SettleTime, ...]:
        """A camera without settings of its own: ISO by arming."""
        refused: list[str] = []
        took_ms = []
        self.say("settings: iso")
        for value in ("100", "200") * 3:
            began = time.monotonic()
            try:
                self.camera.arm(Exposure(iso=value))
                took_ms.append((time.monotonic() - began) * 1e3)
                self.camera.disarm()
            except SettingsRefused as error:
                refused += error.differences
            except CameraMissing:
                raise
            except CameraFault as error:
                self._shots.note("settings", error)
        return (SettleTime("iso", spread(took_ms), None, tuple(dict.fromkeys(refused))),)

    def _clock(self) -> None:
        self.say("clock")
        with self._counted("clock"):
            if self.record is not None:
                self.found["clock"] = self._body().clock(set_it=self.options.set_clock)
            else:
                error_s = self.camera.body_clock_s()
                self.found["clock"] = BodyClock(error_s=None if error_s is None else round(error_s, 1))

    def _expose(self) -> bool:
        """The exposures; False when there can be no more: the card is full, or it is not released over the cable."""
        if not self.known.releases and not self.wired:
            return False
        asked = self.options.shots
        every = max(1, asked // 20)
        for number in range(1, asked + 1):
            began = time.monotonic()
            try:
                whole = self._shots.shoot()
            except CameraMissing:
                self._come_back()
                whole = False
            except CardFull:
                self.say("the card is full")
                return False
            if self._shots.in_vain >= _IN_VAIN:
                raise PhotoMissingAgain(
                    f"{_IN_VAIN} exposures in a row gave no photograph; there is no use in going on"
                )
            if number % every == 0 or not whole:
                self.say(f"exposure {number} of {asked}{'' if whole else ': no whole photograph'}")
            time.sleep(max(0.0, self.known.between_s - (time.monotonic() - began)))
        return True

    def _cuts(self) -> None:
        for _ in range(_REOPENINGS):
            with self._counted("reopening"):
                self._cut("reopened")
        if self.options.pull_cable:
            with self._counted("cable pulled"):
                self._cut("cable pulled")

    def _cut(self, how: Literal["reopened", "cable pulled"]) -> None:
        """An exposure, the connection cut before it is read, and what is there afterwards."""
        self.say(f"recovery: {how}")
        self._asked += 2
        announced = self._shots.shoot(read=False)
        if how == "cable pulled":
            self.ask("Pull the camera's cable out now, put it back, and press Enter when it is in.")
        self.camera.close()
        began = time.monotonic()
        try:
            self._come_back()
        except CameraMissing:
            self._recoveries.append(Recovery(how))
            raise
        took = round(time.monotonic() - began, 3)
        found = self._shots.fetch_missed() if announced else None
        self._recoveries.append(Recovery(how, took, found, self._shots.shoot()))

    # --- connection

    def _reopen(self) -> None:
        self.camera.close()
        began = time.monotonic()
        self.camera.open()
        self._open_s.append(time.monotonic() - began)

    def _come_back(self) -> None:
        """Open again, as long as the table says that it may take.  Raises CameraMissing."""
        until = time.monotonic() + self.known.init_s
        while True:
            try:
                self._reopen()
            except CameraMissing:
                if time.monotonic() > until:
                    raise
                time.sleep(_AGAIN_S)
            else:
                return

    def _body(self) -> BodyProbe:
        assert self.record is not None
        return BodyProbe(self.record, self.known, self._reopen)

    def _delete_at_body(self, file: BodyFile) -> bool:
        folder, _, name = file.path.rpartition("/")
        return self._body().delete(folder or "/", name)

    @contextmanager
    def _counted(self, where: str) -> Iterator[None]:
        """A fault in here is counted, and the next part goes on; a camera that is gone is waited for."""
        try:
            yield
        except CameraMissing as error:
            self._shots.note(where, error)
            self._come_back()
        except CameraFault as error:
            self._shots.note(where, error)

    def _library_faults(self) -> Iterator[Fault]:
        if self.record is None:
            return
        absent = {getattr(self.record.gp, name, None) for name in _ABSENT}
        for (name, code), count in self.record.errors.most_common():
            if name != "get_single_config" or code not in absent:
                yield Fault(name, str(code), count, self.record.example[name, code][:300])


def _version() -> str:
    try:
        return version("mien")
    except PackageNotFoundError:
        return "unknown"
