"""What a camera, and what releases its shutter, are to a node: two Protocols and the values that they give.

backends.py gives a camera by its address; camera_base.py has the state machine that all backends share.  All times are
ns of the node's own clock.

A camera does not know which exposure a file is of: it says which files the body announces (`listen`), what lies on the
card (`search`), and gives and deletes them one by one.  photo_collection/exposure_matching.py decides whose they are,
photo_collection/collector.py acts on it.
"""

from dataclasses import dataclass
from enum import Enum
from types import TracebackType
from typing import Literal, Protocol, Self

from camera_nodes.clock_sync.clock import Clock
from camera_nodes.wire import Drive, Exposure

ExposureSource = Literal["simulated", "hot_shoe"]


class CameraState(Enum):
    """Where a camera is between being opened and giving a photograph."""

    CLOSED = "closed"
    IDLE = "idle"
    ARMED = "armed"
    EXPOSED = "exposed"


@dataclass(frozen=True)
class CameraInfo:
    """Which camera this is."""

    url: str  # its address
    model: str  # as the body names itself
    serial: str  # of the body
    capabilities: tuple[str, ...] = ()  # of wire.CAPABILITIES, those that the camera itself brings


@dataclass(frozen=True)
class CameraCondition:
    """How the camera is, as far as it says; None where it does not."""

    battery_percent: int | None = None  # charge, 0 to 100
    photos_left: int | None = None  # photographs that its cards still take
    warnings: tuple[str, ...] = ()  # what was asked of it and is not in its power
    focus_mode: str | None = None  # as the body writes it
    keeps_raw: bool | None = None  # it keeps a raw file of each exposure beside the photograph
    settings: Exposure | None = None  # what the body is set to, as it was read back at an arming


@dataclass(frozen=True)
class ReleaseStamps:
    """When the shutter was released and, where it is known, when it was open."""

    released_at_ns: int  # the command went out
    exposed_at_ns: int | None = None  # the true exposure moment
    source: ExposureSource | None = None  # what it was seen by


@dataclass(frozen=True)
class UncollectedExposure:
    """An exposure whose photograph is still in the camera."""

    commanded_at_ns: int  # the moment asked for
    release: ReleaseStamps  # what became of it


@dataclass(frozen=True)
class BodyFile:
    """A file that a body has."""

    folder: str  # on the body
    name: str  # as the body calls it
    bytes: int | None = None  # how many the body says it has; None: it does not say
    epoch: int = 0  # the connection on which it was announced; 0: found by a search, so it may be old
    heard_s: float | None = None  # when the node came to know of it, UTC

    @property
    def path(self) -> str:
        """Folder and name, as messages name it."""
        return f"{self.folder.rstrip('/')}/{self.name}"


@dataclass(frozen=True)
class EventPoll:
    """What a body said."""

    files: tuple[BodyFile, ...] = ()  # announced
    quiet: bool = True  # its queue of events was empty at the end
    interrupted: bool = False  # the connection was made anew, so announcements may be lost: search the card


class ShutterRelease(Protocol):
    """What releases the shutter: a PTP command, wires to the remote socket, or a simulation.

    Times are ns of this machine's monotonic clock.  tests/contract/test_shutter_release.py holds each of them to this.
    """

    sees_exposure: bool  # it knows when the shutter truly was open
    half_presses: bool  # `prepare` presses a button that the body answers to

    def open(self) -> None:
        """Take hold of what it needs.  Raises ReleaseFault.  Opening twice does nothing."""
        ...

    def close(self) -> None:
        """Let go of it.  Never raises; closing twice does nothing."""
        ...

    def prepare(self) -> None:
        """Half-press, and wait until the body is ready, so that the release itself is quick.  Raises ReleaseFault."""
        ...

    def release(self) -> ReleaseStamps:
        """Release now, stamped as close to the command as can be.  Raises ReleaseFault."""
        ...

    def rest(self) -> None:
        """Let go of the button.  Never raises."""
        ...


class Camera(Protocol):
    """A camera of any backend, as the node uses it.

    camera_base.CameraBase, which every backend extends, says what each method checks and raises.
    """

    clock: Clock  # the node's own
    release_by: ShutterRelease  # what releases the shutter; changed only while the camera is closed
    spin_ns: int  # how long before the moment the wait stops sleeping and spins
    max_late_ns: int  # woken later than this after the moment, nothing is released

    @property
    def state(self) -> CameraState: ...
    @property
    def info(self) -> CameraInfo: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    # --- a photograph

    def open(self) -> None: ...
    def close(self) -> None: ...
    def arm(self, settings: Exposure, *, allow_ram: bool = False) -> CameraCondition: ...
    def disarm(self) -> None: ...
    def expose(self, at_ns: int) -> UncollectedExposure: ...
    def finish(self) -> None: ...

    # --- between photographs

    def check(self) -> CameraCondition: ...
    def preview(self) -> bytes: ...
    def end_preview(self) -> None: ...
    def give_sign(self) -> str: ...
    def focus(self, drive: Drive, step: int = 1) -> str: ...
    def usb_reset(self) -> str: ...
    def power_cycle(self) -> str: ...

    # --- its files

    def listen(self, timeout_s: float) -> EventPoll: ...
    def search(self, *, fresh: bool = False) -> tuple[BodyFile, ...]: ...
    def read(self, file: BodyFile) -> bytes: ...
    def delete(self, file: BodyFile) -> bool: ...
    def body_clock_s(self) -> float | None: ...
    @property
    def file_s(self) -> float: ...
    @property
    def quiet_s(self) -> float: ...
    @property
    def counter(self) -> int | None: ...
    @property
    def tells_time(self) -> bool: ...
