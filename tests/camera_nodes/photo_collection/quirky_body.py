"""A body with the habits of real ones, in virtual time: for collector_bench.py.

The body outlives the connections to it and the node.  The content of each of its files says of which exposure it is:
`shows(data)`.  Everything that it does is decided by the test: what it makes of an exposure, when it says so, which of
its answers fail.
"""

import struct
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from types import ModuleType
from typing import Any
from unittest import mock

from camera_nodes.camera import BodyFile, CameraCondition, CameraInfo, CameraState, EventPoll, ReleaseStamps
from camera_nodes.camera_base import CameraBase
from camera_nodes.errors import (
    CameraBusy,
    CameraFault,
    CameraLost,
    CameraMissing,
    FileGone,
    FileNotDeleted,
    FileTruncated,
)
from camera_nodes.photo_collection import collector as collector_module
from camera_nodes.sim_camera import built_in_photo, built_in_raw
from camera_nodes.wire import Exposure

FILE_S = 20.0  # how long the body's model is waited for
MARK = "it shows "


class Killed(BaseException):
    """The node was killed here."""


class Wrong(AssertionError):
    """What must never happen, noticed at the deed."""


class Lost(Wrong):
    """The only copy of a file was deleted."""


class VirtualTime:
    """Stands in for the module `time`: it goes on when somebody sleeps or waits for the body."""

    def __init__(self) -> None:
        self._now = 1_000.0

    def monotonic(self) -> float:
        self._now += 1e-4  # a loop that only looks at the clock comes to an end
        return self._now

    def time(self) -> float:
        return 1_772_360_000.0 + self.monotonic()

    def time_ns(self) -> int:
        return round(self.time() * 1e9)

    def sleep(self, seconds: float) -> None:
        self._now += max(seconds, 1e-4)

    def install(self) -> ExitStack:
        """Give it to the modules that collect; undone when the stack is closed."""
        stack = ExitStack()
        for module in _parts_of(collector_module):
            if hasattr(module, "time") and module.time.__name__ == "time":
                stack.enter_context(mock.patch.object(module, "time", self))
        return stack


def _parts_of(module: ModuleType) -> list[ModuleType]:
    names = {getattr(value, "__module__", "") for value in vars(module).values()} | {module.__name__}
    names |= {value.__name__ for value in vars(module).values() if isinstance(value, ModuleType)}
    return [sys.modules[name] for name in sorted(n for n in names if isinstance(n, str)) if name.startswith("camera_")]


# --- what is in a file


def photograph(of: str, taken_s: float | None = None, more: str = "") -> bytes:
    """A whole JPEG of that exposure; taken_s: capture time in its EXIF, as a body's clock face read as UTC."""
    data = built_in_photo(f"{MARK}{of};{more}")
    return data if taken_s is None else data[:2] + exif_segment(taken_s) + data[2:]


def raw_file(of: str, more: str = "") -> bytes:
    return built_in_raw(f"{MARK}{of};{more}")


def exif_segment(taken_s: float, order: str = "<") -> bytes:
    """APP1 with DateTimeOriginal and nothing else, in either byte order."""
    text = datetime.fromtimestamp(taken_s // 1, UTC).strftime("%Y:%m:%d %H:%M:%S").encode() + b"\0"
    first = struct.pack(f"{order}H HHII I", 1, 0x8769, 4, 1, 26, 0)
    second = struct.pack(f"{order}H HHII I", 1, 0x9003, 2, len(text), 44, 0)
    mark = b"II*\0" if order == "<" else b"MM\0*"
    tiff = mark + struct.pack(f"{order}I", 8) + first + second + text
    return b"\xff\xe1" + struct.pack(">H", len(tiff) + 8) + b"Exif\0\0" + tiff


def shows(data: bytes) -> str:
    """Of which exposure a file is."""
    at = data.find(MARK.encode())
    return data[at + len(MARK) :].split(b";")[0].decode() if at >= 0 else "?"


# --- the body


@dataclass(frozen=True)
class Plan:
    """A file that the body makes of each exposure.  copy: in a further slot, "same" bytes or "other" ones."""

    ending: str
    after_s: float
    slot: int = 1
    copy: str = ""


@dataclass(frozen=True)
class Habits:
    """What the body is like.  clock_off_s: its clock against UTC.  clock_told_s: by what it tells that wrongly (a time
    zone), None when it does not tell it."""

    plans: tuple[Plan, ...] = (Plan("JPG", 0.3),)
    times: bool = True
    clock_off_s: float = 0.0
    clock_told_s: float | None = 0.0
    ram: bool = False
    deletes: bool = True
    first_number: int = 1
    before: int = 0  # files on the card before anything else


@dataclass(frozen=True)
class Shot:
    """What becomes of one exposure.  late_s is added to each file's time; silent: its files are not announced."""

    late_s: float = 0.0
    none: bool = False
    silent: bool = False
    twice: bool = False


@dataclass
class _Coming:
    due: float
    file: BodyFile
    data: bytes
    shot: Shot


@dataclass
class Made:
    """A file that the body made, and of what."""

    of: str
    path: str
    data: bytes
    vanished: bool = False  # it was in the body's memory and went with the connection


@dataclass
class Fault:
    """So many calls of that name fail so."""

    call: str
    how: str
    times: int


class Body:
    """The body itself.  `studio` knows what may be deleted."""

    def __init__(self, clock: VirtualTime, habits: Habits, stored: set[bytes]) -> None:
        self.clock, self.habits, self.stored = clock, habits, stored
        self.card: dict[str, bytes] = {}
        self.ram: dict[str, bytes] = {}
        self.made: list[Made] = []
        self.faults: list[Fault] = []
        self.kill_in: int | None = None  # calls until the node is killed
        self.epoch = 0
        self.interrupted = False
        self._coming: list[_Coming] = []
        self._queue: list[tuple[BodyFile, int]] = []
        self._number, self._folder, self._in_ram = habits.first_number, 100, 0
        for index in range(habits.before):
            self.card[f"/store_00010001/DCIM/099CANON/IMG_{9000 + index:04d}.JPG"] = photograph(f"nothing {index}")

    def step(self, call: str) -> None:
        """Anything that the node does may be its last act, or fail."""
        if self.kill_in is not None:
            self.kill_in -= 1
            if self.kill_in < 0:
                self.kill_in = None
                raise Killed
        self.clock.sleep(0.002)
        self.settle()
        for fault in self.faults:
            if fault.call == call and fault.times > 0 and fault.how not in ("cut", "short"):
                fault.times -= 1
                raise {
                    "fault": CameraFault, "busy": CameraBusy, "missing": CameraMissing, "lost": CameraLost,
                }[fault.how](f"{call} fails: {fault.how}")  # fmt: skip

    def reading_fails(self) -> str:
        for fault in self.faults:
            if fault.call == "read" and fault.times > 0:
                fault.times -= 1
                return fault.how
        return ""

    def expose(self, of: str, shot: Shot) -> None:
        """The shutter opens."""
        now = self.clock.time()
        number, in_ram = self._number, self.habits.ram
        self._number += 1
        folder = f"{self._folder}CANON"
        if self._number > 9999:
            self._number, self._folder = 1, self._folder + 1
        if shot.none:
            return
        taken_s = now + 0.1 + self.habits.clock_off_s if self.habits.times else None
        for plan in self.habits.plans:
            if in_ram and plan.slot != 1:
                continue  # what the host holds it holds once
            place, name = f"/store_000{plan.slot}0001/DCIM/{folder}", f"IMG_{number:04d}.{plan.ending}"
            if in_ram:
                place, name = "/", f"capt{self._in_ram:04d}.{plan.ending.lower()}"
                self._in_ram += 1
            more = f"slot {plan.slot}" if plan.copy == "other" else ""
            if plan.ending == "JPG":
                data = photograph(of, taken_s, more)
            elif plan.ending == "CR2":
                data = raw_file(of, more)
            else:
                data = f"<xmp/> {MARK}{of};{more}".encode()
            file = BodyFile(place, name, len(data))
            self._coming.append(_Coming(self.clock.monotonic() + plan.after_s + shot.late_s, file, data, shot))
            self.made.append(Made(of, file.path, data))

    def settle(self) -> None:
        """What is due is on the card, whether anybody asks or not."""
        now = self.clock.monotonic()
        for one in sorted(self._coming, key=lambda c: c.due):
            if one.due > now:
                break
            self._coming.remove(one)
            (self.ram if one.file.folder == "/" else self.card)[one.file.path] = one.data
            if not one.shot.silent:
                self._queue += [(one.file, self.epoch)] * (2 if one.shot.twice else 1)

    def next_due(self) -> float | None:
        return min((one.due for one in self._coming), default=None)

    @property
    def quiet(self) -> bool:
        """Whether nothing is to come, and nothing is to be told."""
        self.settle()
        return not self._coming and not self._queue

    def events(self) -> list[BodyFile]:
        self.settle()
        found, self._queue = self._queue, []
        return [BodyFile(file.folder, file.name, file.bytes, self.epoch) for file, _ in found]

    def connection_ends(self) -> None:
        """Its events are lost, and what is in its memory for the host."""
        self.settle()
        self.epoch += 1
        self._queue.clear()
        for made in self.made:
            made.vanished |= made.path in self.ram and self.ram[made.path] == made.data
        self.ram.clear()
        for one in [c for c in self._coming if c.file.folder == "/"]:
            self._coming.remove(one)
            for made in self.made:
                made.vanished |= made.data == one.data
        self._in_ram = 0

    def delete(self, file: BodyFile) -> None:
        place = self.ram if file.path in self.ram else self.card
        if file.path not in place:
            raise FileGone(file.path)
        if not self.habits.deletes:
            raise FileNotDeleted("it is forbidden")
        if file.bytes is not None and file.bytes != len(place[file.path]):
            raise FileNotDeleted("it has another size")
        if place[file.path] not in self.stored:
            raise Lost(f"{file.path}, {shows(place[file.path])}, was deleted and the studio has not stored it")
        del place[file.path]


class BodyCamera(CameraBase):
    """One connection after the other to a Body."""

    def __init__(self, body: Body) -> None:
        self.body = body
        super().__init__("test:")

    @property
    def file_s(self) -> float:
        return FILE_S

    @property
    def tells_time(self) -> bool:
        return True

    def shutter(self, of: str, shot: Shot) -> None:
        """As expose(), without its waiting."""
        assert self._state is CameraState.ARMED
        self.body.expose(of, shot)
        self._state = CameraState.EXPOSED

    def _own_release(self) -> Any:
        return mock.Mock(sees_exposure=False, release=lambda: ReleaseStamps(0))

    def _do_open(self) -> CameraInfo:
        self.body.step("open")
        self.body.interrupted = False
        return CameraInfo("test:", "Quirky", "1")

    def _do_close(self) -> None:
        self.body.connection_ends()

    def _do_arm(self, settings: Exposure, allow_ram: bool) -> CameraCondition:  # noqa: ARG002
        self.body.step("arm")
        return CameraCondition(keeps_raw=any(plan.ending == "CR2" for plan in self.body.habits.plans))

    def _do_check(self) -> CameraCondition:
        self.body.step("check")
        return CameraCondition()

    def _do_disarm(self) -> None:
        self.body.step("disarm")

    def _do_listen(self, timeout_s: float) -> EventPoll:
        body, clock = self.body, self.body.clock
        body.step("listen")
        end = clock.monotonic() + timeout_s
        while not (files := body.events()):
            due, now = body.next_due(), clock.monotonic()
            if now >= end:
                break
            clock.sleep(min(end, due if due is not None else end) - now + 1e-3)
        interrupted, body.interrupted = body.interrupted, False
        return EventPoll(tuple(files), not files, interrupted)

    def reconnect(self) -> None:
        """Inside a call, unseen by the node but for `interrupted`."""
        self.body.connection_ends()
        self.body.interrupted = True

    def _do_search(self, fresh: bool) -> tuple[BodyFile, ...]:
        self.body.step("search")
        if fresh:
            self.reconnect()
        self.body.interrupted = False
        found = [(path.rpartition("/"), data) for path, data in sorted(self.body.card.items())]
        return tuple(BodyFile(folder, name, len(data)) for (folder, _, name), data in found)

    def _do_read(self, file: BodyFile) -> bytes:
        self.body.step("read")
        data = self.body.ram.get(file.path) or self.body.card.get(file.path)
        if data is None:
            raise FileGone(file.path)
        how = self.body.reading_fails()
        if how == "cut":
            raise FileTruncated("half of it came", data[: len(data) // 2])
        # Of a body that states no size only a JPEG can be seen to be short.
        return data[: len(data) // 2] if how == "short" and file.name.lower().endswith(".jpg") else data

    def _do_delete(self, file: BodyFile) -> bool:
        self.body.step("delete")
        self.body.delete(file)
        return True

    def _do_body_clock(self) -> float | None:
        self.body.step("clock")
        habits = self.body.habits
        return None if habits.clock_told_s is None else habits.clock_off_s + habits.clock_told_s + 0.3
