"""Progress of one take: stamps, photographs and faults by camera as they come in, and waiting until all is settled."""

import threading
import time
from collections.abc import Callable, Iterable, Mapping

from camera_nodes.wire import Stamps
from common.guarding.safe_text import plain
from controller.firing.fire_timing import Skew, measure
from controller.image_files.photograph_reader import PhotographHeader


class TakeProgress:
    """Thread-safe. A camera is settled when its photograph is filed or it has a fault.

    cameras: those that take part. aside: the others of the rig, and why; whatever they say changes nothing.
    changed: told the camera of which something came in, "" for the take; it returns at once.
    """

    def __init__(
        self,
        take: str,
        cameras: Iterable[str],
        frames: Iterable[str] = (),
        aside: Mapping[str, str] | None = None,
        changed: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.take = take
        self.aside: Mapping[str, str] = dict(aside or {})
        self.cameras = tuple(camera for camera in cameras if camera not in self.aside)
        self._tell = changed
        self._fired = False
        self._hashes: dict[str, str] = {}
        self._frames = set(frames)
        self._spooled: set[str] = set()
        self._notes: dict[str, str] = {}
        self._warnings: dict[str, str] = {}
        self._faults: dict[str, str] = {}
        self._stamps: dict[str, Stamps] = {}
        self._photos: dict[str, PhotographHeader] = {}
        self._changed = threading.Condition()
        self._moved = time.monotonic()
        self._stopped = False
        self._called_off = False

    def add_stamps(self, stamps: Stamps) -> None:
        with self._changed:
            if stamps.camera not in self.aside:
                self._stamps.setdefault(stamps.camera, stamps)
                self._touch(stamps.camera)

    def mark_fired(self) -> None:
        """Every camera is armed and the moment is being named: photographs may come."""
        with self._changed:
            self._fired = True
            self._touch("")

    def add_frame(self, camera: str, photo: PhotographHeader, sha256: str = "") -> None:
        with self._changed:
            self._frames.add(camera)
            self._photos[camera] = photo
            if sha256:
                self._hashes[camera] = sha256
            self._touch(camera)

    def add_spooled(self, camera: str) -> None:
        """The photograph is safe on the node's disk, and the body is free."""
        with self._changed:
            self._spooled.add(camera)
            self._touch(camera)

    def add_note(self, camera: str, text: str) -> None:
        """Advice to the operator that spoils nothing."""
        text = plain(text)
        with self._changed:
            self._notes[camera] = f"{self._notes[camera]}; {text}" if camera in self._notes else text

    def add_warnings(self, camera: str, texts: Iterable[str]) -> None:
        """What the camera was asked for and cannot do; it fires all the same."""
        told = "; ".join(plain(text) for text in texts)
        with self._changed:
            if told:
                self._warnings[camera] = told

    def add_fault(self, camera: str, reason: str) -> None:
        """The first reason stands: what follows is mostly its consequence."""
        with self._changed:
            if camera not in self.aside:
                self._faults.setdefault(camera, plain(reason))
                self._touch(camera)

    def call_off(self) -> None:
        """Nothing was fired, so nothing comes: nobody waits for the cameras that have no fault."""
        with self._changed:
            self._called_off = True
            self._touch("")

    def stop_waiting(self) -> None:
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def stamps_of(self, camera: str) -> Stamps | None:
        with self._changed:
            return self._stamps.get(camera)

    @property
    def stamps(self) -> Mapping[str, Stamps]:
        with self._changed:
            return dict(self._stamps)

    @property
    def photos(self) -> Mapping[str, PhotographHeader]:
        """What was seen of the photographs that came in since the controller started."""
        with self._changed:
            return dict(self._photos)

    @property
    def fired(self) -> bool:
        """Whether the rig was told to fire: stamps, photographs or faults come from now on."""
        with self._changed:
            return self._fired or bool(self._stamps or self._frames)

    @property
    def called_off(self) -> bool:
        """Whether nothing was fired, so that nothing comes."""
        with self._changed:
            return self._called_off

    @property
    def hashes(self) -> Mapping[str, str]:
        """SHA-256 of the photographs that came in since the controller started."""
        with self._changed:
            return dict(self._hashes)

    @property
    def safe(self) -> frozenset[str]:
        """Cameras whose photograph is at least on its node's disk."""
        with self._changed:
            return frozenset(self._spooled | self._frames)

    @property
    def notes(self) -> Mapping[str, str]:
        with self._changed:
            return dict(self._notes)

    @property
    def warnings(self) -> Mapping[str, str]:
        with self._changed:
            return dict(self._warnings)

    @property
    def frames(self) -> frozenset[str]:
        with self._changed:
            return frozenset(self._frames)

    @property
    def faults(self) -> Mapping[str, str]:
        """Faults of cameras whose photograph is in all the same stay: such a camera did not do what it was told."""
        with self._changed:
            return dict(self._faults)

    def skew(self) -> Skew:
        """The three numbers from the stamps that came; nothing when no camera sent any."""
        with self._changed:
            return measure(self._stamps.values())

    def fully_stamped(self) -> bool:
        with self._changed:
            return set(self.cameras) <= self._stamps.keys()

    def wait(self, quiet_s: float) -> bool:
        """Until every camera is settled (True), or nothing has come in for `quiet_s` seconds, or stop_waiting()."""
        return self._wait(quiet_s, lambda: self._frames | self._faults.keys())

    def wait_spooled(self, quiet_s: float) -> bool:
        """As wait(), but until every photograph is safe on its node's disk: the bodies are free for the next fire."""
        return self._wait(quiet_s, lambda: self._spooled | self._frames | self._faults.keys())

    def _wait(self, quiet_s: float, settled: Callable[[], set[str]]) -> bool:
        with self._changed:
            self._moved = time.monotonic()
            while not self._stopped:
                if self._called_off or settled() >= set(self.cameras):
                    return True
                patience = self._moved + quiet_s - time.monotonic()
                if patience <= 0:
                    return False
                self._changed.wait(patience)
            return False

    def missing(self) -> list[str]:
        """Cameras with neither photograph nor fault."""
        with self._changed:
            return [name for name in self.cameras if name not in self._frames and name not in self._faults]

    def lacking(self) -> list[str]:
        """Cameras without a photograph, with a fault or not."""
        with self._changed:
            return [name for name in self.cameras if name not in self._frames]

    def _touch(self, camera: str) -> None:
        self._moved = time.monotonic()
        self._changed.notify_all()
        self._tell(camera)
