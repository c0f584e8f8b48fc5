"""A bench for the collector: a quirky body, one node after the other around it, and a studio.

For test_collector_machine.py.
"""

import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

from quirky_body import (
    Body,
    BodyCamera,
    Habits,
    Killed,
    VirtualTime,
    Wrong,
    shows,
)

from camera_nodes.camera import CameraState
from camera_nodes.errors import (
    CameraFault,
    EquipmentError,
    NotSupported,
)
from camera_nodes.photo_collection import exposure_journal
from camera_nodes.photo_collection.collector import CollectionFault, Collector, FileSpooled
from camera_nodes.photo_transfer.spool import Spool
from camera_nodes.wire import Exposure
from common.photograph_facts import PhotographFacts


class Misfiled(Wrong):
    """A file was put under an exposure whose it is not."""


class WatchedSpool(Spool):
    """A spool that knows whose each file is."""

    def put(self, photo: PhotographFacts, data: bytes) -> None:
        if shows(data) != photo.fire_id:
            raise Misfiled(f"{photo.name} shows {shows(data)} and was filed under {photo.fire_id}")
        super().put(photo, data)


@dataclass
class Bench:
    """One body, one node at a time with its spool's folder, and a studio that stores, rejects or says nothing."""

    folder: Path
    habits: Habits
    said: list[str] = field(default_factory=list)
    stored: set[bytes] = field(default_factory=set)
    released: list[float] = field(default_factory=list)  # when shutters were released or may have been, and armings
    wrong: bool = False

    def __post_init__(self) -> None:
        self.clock = VirtualTime()
        self._undo = self.clock.install()
        self.body = Body(self.clock, self.habits, self.stored)
        self._undo.enter_context(mock.patch("os.fsync", self._fsync))
        self._log = logging.getLogger("camera_nodes")
        self._handler = logging.Handler(logging.WARNING)
        self._handler.emit = lambda record: self.said.append(record.getMessage())  # type: ignore[method-assign]
        self._log.addHandler(self._handler)
        self.start()

    def _fsync(self, _: int) -> None:
        self.body.step("fsync")

    def close(self) -> None:
        self._log.removeHandler(self._handler)
        self._undo.close()

    def start(self) -> None:
        """A node begins, with what the last one left in its folder."""
        self.spool = WatchedSpool(self.folder, min_free_bytes=0)
        self.camera = BodyCamera(self.body)
        self.collector = Collector(self.camera, self.spool, "cam-00")

    def live(self, act: Callable[[], Any]) -> bool:
        """Do it; False when the node was killed meanwhile, and there is a new one."""
        try:
            act()
        except Wrong:
            self.wrong = True
            raise
        except Killed:
            self.body.connection_ends()
            self.start()
            return False
        finally:
            self.body.kill_in = None
        return True

    def tell(self, reports: Any) -> None:
        for report in reports:
            if isinstance(report, CollectionFault):
                self.said.append(f"{report.code}: {report.text}")
            else:
                assert isinstance(report, FileSpooled)

    def open(self) -> bool:
        """As the node does while it has no camera."""
        if self.camera.state is CameraState.CLOSED:
            try:
                self.camera.open()
                self.tell(self.collector.connect())
            except EquipmentError as error:
                self.said.append(str(error))
                self.camera.close()
                return False
        return True

    def idle(self, turns: int = 1, every_s: float = 0.5) -> None:
        """As the node does between takes."""
        for _ in range(turns):
            if self.open():
                try:
                    self.camera.check()
                    self.tell(self.collector.idle())
                except CameraFault as error:
                    self.said.append(str(error))
                    self.camera.close()
                except EquipmentError as error:
                    self.said.append(str(error))
            self.clock.sleep(every_s)

    def arm(self, fire: str) -> bool:
        if not self.open():
            return False
        try:
            if self.camera.state is not CameraState.IDLE:
                self.camera.disarm()
            warnings, reports = self.collector.before_arming()
            self.said += warnings
            self.tell(reports)
            condition = self.camera.arm(Exposure())
            self.released.append(self.clock.time())
            self.collector.arming(fire, f"take-{fire}", keeps_raw=bool(condition.keeps_raw))
        except EquipmentError as error:
            self.said.append(str(error))
            self.tell(self.collector.take_reports())
            return False
        return True

    def rest(self, fire: str, at_s: float | None = None) -> None:
        """Disarmed; at_s: when the shutter may have been released all the same."""
        try:
            if at_s is None:
                self.collector.not_released(fire)
            else:
                self.collector.released(fire, at_s, doubtful=True)
            if self.camera.state is not CameraState.CLOSED:
                self.camera.disarm()
        except EquipmentError as error:
            self.said.append(str(error))

    def fetch(self, fire: str, at_s: float) -> None:
        try:
            self.collector.released(fire, at_s)
            self.tell(self.collector.collect(fire))
        except EquipmentError as error:
            self.said.append(str(error))
            self.tell(self.collector.take_reports())

    def store(self, entry: PhotographFacts, *, told: bool, first_removed: bool) -> None:
        """The studio has stored it; the node hears of it, or not."""
        self.stored.add((self.folder / entry.entry / "photo").read_bytes())
        if not told:
            return
        if first_removed:
            self.spool.remove(entry.entry, entry.sha256)
            self.body.step("between")
        self.tell(self.collector.stored(entry))
        self.body.step("between")
        self.spool.remove(entry.entry, entry.sha256)

    def reject(self, entry: PhotographFacts) -> None:
        self.spool.reject(entry.entry)
        self.body.step("between")
        with suppress(NotSupported):
            self.tell(self.collector.rejected(entry, "no use"))

    @property
    def outstanding(self) -> list[exposure_journal.ExposureRecord]:
        """Exposures that may have been made and whose photograph the node does not have."""
        return exposure_journal.load(self.folder).live()

    def unaccounted(self) -> list[str]:
        """Files of which nobody can say where they are."""
        kept = set(self.stored)
        for path in self.folder.rglob("photo"):
            kept.add(path.read_bytes())
        told = "\n".join(self.said)
        missing = []
        for made in self.body.made:
            on_card = self.body.card.get(made.path) == made.data and made.path in told
            if made.data not in kept and not on_card and not made.vanished:
                where = "on the card and not named" if self.body.card.get(made.path) == made.data else "nowhere"
                missing.append(f"{made.path} of {made.of} is {where}")
        return missing
