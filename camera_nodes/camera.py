"""What a camera is to a node: Protocols, value types, and the state machine all cameras share.

    closed --open--> idle --arm--> armed --expose--> exposed --download--> idle        disarm: armed, exposed -> idle

Public methods check the state, private `_do_...` methods act.  A fault leaves the camera idle (or closed when it is
gone), never half way.  All times are ns of the node's own clock.
"""

from abc import ABC, abstractmethod
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import Enum
from types import TracebackType
from typing import Literal, Protocol, Self

from camera_nodes.clock import Clock, MonotonicClock
from camera_nodes.errors import (
    CameraClosed,
    CameraFault,
    CameraMissing,
    EquipmentError,
    NotArmed,
    NotExposed,
    NotIdle,
    NotPossible,
    TooLate,
)
from camera_nodes.wire import Exposure

__all__ = [
    "Camera", "CameraBase", "CameraInfo", "CameraState", "Condition", "Exposure", "Photo", "RawFile", "RawFrame",
    "Release", "ShutterRelease",
]  # fmt: skip

ExposureSource = Literal["simulated", "hot_shoe"]


class CameraState(Enum):
    """Where a camera is between being opened and giving a photograph."""

    CLOSED = "closed"
    IDLE = "idle"
    ARMED = "armed"
    EXPOSED = "exposed"


@dataclass(frozen=True)
class CameraInfo:
    """Which camera this is.  `capabilities` are those of wire.CAPABILITIES that the camera itself brings."""

    url: str
    model: str
    serial: str
    capabilities: tuple[str, ...] = ()


@dataclass(frozen=True)
class Condition:
    """How the camera is, as far as it says.  `warnings`: what was asked of it and is not in its power."""

    battery_percent: int | None = None
    photos_left: int | None = None
    warnings: tuple[str, ...] = ()
    focus_mode: str | None = None


@dataclass(frozen=True)
class Release:
    """The shutter command went out at released_at_ns; the true exposure moment, where known, and from what."""

    released_at_ns: int
    exposed_at_ns: int | None = None
    source: ExposureSource | None = None


@dataclass(frozen=True)
class RawFrame:
    """An exposure whose photograph is still in the camera."""

    commanded_at_ns: int
    release: Release


@dataclass(frozen=True)
class RawFile:
    """The raw file of an exposure, which a body may keep beside the photograph."""

    name: str
    data: bytes


@dataclass(frozen=True)
class Photo:
    """A photograph as the camera stored it: its file name there, its bytes, and the raw file where there is one.

    `problem`: the photograph is whole, but a raw file was asked for and did not come; why.
    """

    name: str
    data: bytes
    raw: RawFile | None = None
    problem: str = ""


class ShutterRelease(Protocol):
    """What releases the shutter: a PTP command, wires to the remote socket, or a simulation.

    Times are ns of this machine's monotonic clock.  `sees_exposure`: it knows when the shutter truly was open.
    """

    sees_exposure: bool

    def open(self) -> None:
        """Take hold of what it needs.  Raises ReleaseFault.  Opening twice does nothing."""
        ...

    def close(self) -> None:
        """Let go of it.  Never raises; closing twice does nothing."""
        ...

    def prepare(self) -> None:
        """Half-press, and wait until the body is ready, so that the release itself is quick.  Raises ReleaseFault."""
        ...

    def release(self) -> Release:
        """Release now, stamped as close to the command as can be.  Raises ReleaseFault."""
        ...

    def rest(self) -> None:
        """Let go of the button.  Never raises."""
        ...


class Camera(Protocol):
    """A camera of any backend; see CameraBase for what each method checks and raises."""

    clock: Clock

    @property
    def state(self) -> CameraState: ...
    @property
    def info(self) -> CameraInfo: ...
    def open(self) -> None: ...
    def close(self) -> None: ...
    def arm(self, settings: Exposure) -> Condition: ...
    def check(self) -> Condition: ...
    def disarm(self) -> None: ...
    def expose(self, at_ns: int) -> RawFrame: ...
    def download(self, timeout_s: float = 30.0) -> Photo: ...
    def forget(self, photo: Photo) -> None: ...
    def preview(self) -> bytes: ...
    def end_preview(self) -> None: ...
    def usb_reset(self) -> str: ...
    def power_cycle(self) -> str: ...


class CameraBase(ABC):
    """The state machine; backends implement the `_do_` methods.

    spin_ns: how long before the moment the wait stops sleeping and spins.  max_late_ns: woken later than this after
    the moment, nothing is released.  A camera releases by itself unless it is given another `release_by` while closed.
    """

    def __init__(self, url: str, clock: Clock | None = None) -> None:
        self.clock: Clock = clock or MonotonicClock()
        self.spin_ns = 100_000
        self.max_late_ns = 4_000_000
        self.release_by: ShutterRelease = self._own_release()
        self._url = url
        self._state = CameraState.CLOSED
        self._viewing = False  # live view is on
        self._info: CameraInfo | None = None

    @property
    def state(self) -> CameraState:
        """Where the camera is."""
        return self._state

    @property
    def info(self) -> CameraInfo:
        """Which camera this is.  Raises CameraClosed before the first open."""
        if self._info is None:
            raise CameraClosed(f"{self._url} is not open")
        return self._info

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def open(self) -> None:
        """Connect.  Raises CameraMissing (nothing answers), CameraBusy, CameraFault.  Opening twice does nothing."""
        if self._state is CameraState.CLOSED:
            info = self._do_open()
            try:
                self.release_by.open()
            except BaseException:
                self._do_close()
                raise
            seen = ("exposed_at",) if self.release_by.sees_exposure else ()
            self._info = replace(info, capabilities=(*info.capabilities, *seen))
            self._state = CameraState.IDLE

    def close(self) -> None:
        """Let go of the camera.  Never raises for a camera that is gone; closing twice does nothing."""
        if self._state is not CameraState.CLOSED:
            viewing, self._viewing = self._viewing, False
            self._state = CameraState.CLOSED
            if viewing:
                with suppress(EquipmentError):
                    self._do_end_preview()  # or the mirror stays up
            self.release_by.rest()
            self.release_by.close()
            self._do_close()

    def arm(self, settings: Exposure) -> Condition:
        """Apply the settings, read them back, check battery and card.

        Raises NotIdle, SettingsRefused, CameraBusy, CardFull, BatteryLow, CameraMissing or CameraFault; the camera is
        then idle (closed after CameraMissing).
        """
        if self._state is not CameraState.IDLE:
            self._require_open()
            raise NotIdle(f"{self._url} is {self._state.value}, not idle: it can be armed after download or disarm")
        self.end_preview()
        condition = self._guarded_arm(settings)
        try:
            self.release_by.prepare()
        except CameraFault:
            self.release_by.rest()
            raise
        self._state = CameraState.ARMED
        return condition

    def _guarded_arm(self, settings: Exposure) -> Condition:
        try:
            return self._do_arm(settings)
        except CameraMissing:
            self.close()
            raise

    def check(self) -> Condition:
        """How the camera is, between takes; finds out that it is gone before the next arming does.

        Raises NotIdle; CameraMissing (the camera is then closed) or another CameraFault.
        """
        if self._state is not CameraState.IDLE:
            self._require_open()
            raise NotIdle(f"{self._url} is {self._state.value}, not idle")
        try:
            return self._do_check()
        except CameraMissing:
            self._viewing = False
            self.close()
            raise

    def preview(self) -> bytes:
        """A live view frame, a JPEG; live view stays on until end_preview(), arm() or close().

        Raises NotIdle; NotPossible for a body that has none; CameraMissing (the camera is then closed), CameraFault.
        """
        if self._state is not CameraState.IDLE:
            self._require_open()
            raise NotIdle(f"{self._url} is {self._state.value}, not idle: it gives no live view")
        self._viewing = True  # a frame that fails may have raised the mirror all the same
        try:
            return self._do_preview()
        except NotPossible:
            self._viewing = False
            raise
        except CameraMissing:
            self._viewing = False
            self.close()
            raise

    def end_preview(self) -> None:
        """End live view, if it is on.  Raises CameraMissing (the camera is then closed) or another CameraFault."""
        if self._viewing:
            self._viewing = False
            try:
                self._do_end_preview()
            except CameraMissing:
                self.close()
                raise
            except CameraFault:
                self._viewing = True  # for the next who needs it off
                raise

    def usb_reset(self) -> str:
        """Reset the socket at which the closed camera is plugged in; says what was done.

        Raises NotPossible, CameraMissing or CameraFault, as usb_reset.reset().
        """
        self.close()
        return self._do_usb_reset()

    def power_cycle(self) -> str:
        """Cut the power of the closed camera's socket for a moment; says what was done.

        Raises NotPossible or CameraFault, as usb_reset.power_cycle().
        """
        self.close()
        return self._do_power_cycle()

    def disarm(self) -> None:
        """Back to idle without (or in spite of) an exposure; a photograph not yet downloaded is given up."""
        self._require_open()
        was, self._state = self._state, CameraState.IDLE
        if was is not CameraState.IDLE:
            self.release_by.rest()
            self._do_disarm()

    def expose(self, at_ns: int) -> RawFrame:
        """Wait until `at_ns` and release the shutter.

        Raises NotArmed; TooLate when the moment passed by more than max_late_ns (nothing was released and the camera
        is idle); CameraFault when the camera refused.
        """
        if self._state is not CameraState.ARMED:
            self._require_open()
            raise NotArmed(f"{self._url} is {self._state.value}, not armed: arm it before the exposure")
        woke_ns = self.clock.sleep_until(at_ns, self.spin_ns)
        if woke_ns - at_ns > self.max_late_ns:
            self.disarm()
            raise TooLate(f"{(woke_ns - at_ns) / 1e6:.1f} ms late: not released")
        try:
            release = self.release_by.release()
        except CameraMissing:
            self.close()
            raise
        except Exception:
            self.disarm()
            raise
        self._state = CameraState.EXPOSED
        self._released()
        exposed_ns = release.exposed_at_ns
        return RawFrame(
            at_ns,
            Release(
                self.clock.from_monotonic(release.released_at_ns),
                None if exposed_ns is None else self.clock.from_monotonic(exposed_ns),
                release.source,
            ),
        )

    def download(self, timeout_s: float = 30.0) -> Photo:
        """The photograph of the exposure just made.

        Raises NotExposed; PhotoMissing when none came within timeout_s, CardFull, CameraMissing, CameraFault.
        """
        if self._state is not CameraState.EXPOSED:
            self._require_open()
            raise NotExposed(f"{self._url} is {self._state.value}: there is no exposure to download")
        self._state = CameraState.IDLE
        try:
            self.release_by.rest()
            return self._do_download(timeout_s)
        except CameraMissing:
            self.close()
            raise

    def forget(self, photo: Photo) -> None:
        """The photograph is safe elsewhere: the camera may delete its own copy."""
        if self._state is not CameraState.CLOSED:
            self._do_forget(photo)

    def _do_check(self) -> Condition:
        """Ask the camera something small.  Raises CameraMissing when it does not answer."""
        return Condition()

    def _do_preview(self) -> bytes:
        raise NotPossible(f"{self._url} has no live view")

    def _do_end_preview(self) -> None:  # noqa: B027  (a camera whose live view leaves nothing behind)
        """Make the camera as it was before live view."""

    def _do_usb_reset(self) -> str:
        raise NotPossible(f"{self._url} is in no USB socket of this computer")

    def _do_power_cycle(self) -> str:
        raise NotPossible(f"{self._url} is in no USB socket of this computer")

    def _released(self) -> None:  # noqa: B027  (a camera that has nothing to note has nothing to do)
        """The shutter was released, by whatever means; called in the window."""

    def _do_forget(self, photo: Photo) -> None:  # noqa: B027  (a camera that keeps nothing has nothing to do)
        """Delete the camera's copy."""

    def _require_open(self) -> None:
        if self._state is CameraState.CLOSED:
            raise CameraClosed(f"{self._url} is not open")

    @abstractmethod
    def _do_open(self) -> CameraInfo: ...

    @abstractmethod
    def _do_close(self) -> None: ...

    @abstractmethod
    def _do_arm(self, settings: Exposure) -> Condition: ...

    @abstractmethod
    def _do_disarm(self) -> None: ...

    @abstractmethod
    def _own_release(self) -> ShutterRelease:
        """The camera's own way of releasing its shutter."""

    @abstractmethod
    def _do_download(self, timeout_s: float) -> Photo: ...
