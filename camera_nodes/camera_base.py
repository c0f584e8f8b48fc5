"""The state machine that all cameras share; a backend implements its `_do_...` methods.

    closed --open--> idle --arm--> armed --expose--> exposed --finish--> idle         disarm: armed, exposed -> idle

Public methods check the state, private `_do_...` methods act.  A fault leaves the camera idle (or closed when it is
gone), never half way.
"""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypeVar

from camera_nodes.camera import (
    BodyFile,
    Camera,
    CameraCondition,
    CameraInfo,
    CameraState,
    EventPoll,
    ReleaseStamps,
    ShutterRelease,
    UncollectedExposure,
)
from camera_nodes.clock_sync.clock import Clock, MonotonicClock
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
from camera_nodes.wire import Drive, Exposure

T = TypeVar("T")
_SIGN_S = 0.35  # a sign that is to be seen or heard lasts so long, and so does the pause after it


class CameraBase(ABC):
    """The state machine; backends implement the `_do_` methods.

    spin_ns: how long before the moment the wait stops sleeping and spins.  max_late_ns: woken later than this after
    the moment, nothing is released.  A camera releases by itself unless it is given another `release_by` while closed.
    """

    def __init__(self, url: str, clock: Clock | None = None) -> None:
        self._url = url
        self.clock: Clock = clock or MonotonicClock()
        self.spin_ns = 100_000
        self.max_late_ns = 4_000_000
        self.release_by: ShutterRelease = self._own_release()
        self._state = CameraState.CLOSED
        self._viewing = False  # live view is on
        self._info: CameraInfo | None = None

    @classmethod  # noqa: B027  (the module may be all that it needs)
    def preload(cls) -> None:
        """Load what every camera of this kind needs, for the processes forked from this one; opens nothing."""

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

    def arm(self, settings: Exposure, *, allow_ram: bool = False) -> CameraCondition:
        """Apply the settings, read them back, check battery and card.

        allow_ram: a body that keeps its photographs in memory until they are fetched, not on its card, is armed all the
        same, with a warning.
        Raises NotIdle, SettingsRefused, CameraBusy, CardFull, BatteryLow, CameraMissing or CameraFault; the camera is
        then idle (closed after CameraMissing).
        """
        if self._state is not CameraState.IDLE:
            self._require_open()
            raise NotIdle(f"{self._url} is {self._state.value}, not idle: it can be armed after finish or disarm")
        self.end_preview()
        condition = self._guarded(lambda: self._do_arm(settings, allow_ram))
        try:
            self.release_by.prepare()
        except CameraFault:
            self.release_by.rest()
            raise
        self._state = CameraState.ARMED
        return condition

    def _guarded(self, act: Callable[[], T]) -> T:
        """Run `act`; a camera that turns out to be gone is closed."""
        try:
            return act()
        except CameraMissing:
            self._viewing = False  # nothing is left to end
            self.close()
            raise

    def check(self) -> CameraCondition:
        """How the camera is, between takes; finds out that it is gone before the next arming does.

        Raises NotIdle; CameraMissing (the camera is then closed) or another CameraFault.
        """
        if self._state is not CameraState.IDLE:
            self._require_open()
            raise NotIdle(f"{self._url} is {self._state.value}, not idle")
        return self._guarded(self._do_check)

    def preview(self) -> bytes:
        """A live view frame, a JPEG; live view stays on until end_preview(), arm() or close().

        Raises NotIdle; NotPossible for a body that has none; CameraMissing (the camera is then closed), CameraFault.
        """
        if self._state is not CameraState.IDLE:
            self._require_open()
            raise NotIdle(f"{self._url} is {self._state.value}, not idle: it gives no live view")
        self._viewing = True  # a frame that fails may have raised the mirror all the same
        try:
            return self._guarded(self._do_preview)
        except NotPossible:
            self._viewing = False
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

    def give_sign(self) -> str:
        """One sign by which a person finds the body among others; says what is to be heard or seen.

        The mirror goes up and down, as for a moment of live view; without live view a wired half-press wakes the body.
        Neither moves a lens that is set to manual focus.  Raises NotIdle; NotPossible for a body that can do neither;
        CameraMissing (the camera is then closed), CameraFault.
        """
        try:
            self.preview()
        except NotPossible:
            if not self.release_by.half_presses:
                raise NotPossible(
                    f"{self._url} can give no sign: it has no live view over its cable and its half-press is not wired."
                    f" Look for the body with serial number {self.info.serial or '(none told)'}"
                ) from None
        else:
            time.sleep(_SIGN_S)
            self.end_preview()
            time.sleep(_SIGN_S)
            return "its live view goes on and off: listen for the mirror, and look at its screen"
        try:
            self.release_by.prepare()
            time.sleep(_SIGN_S)
        finally:
            self.release_by.rest()
        time.sleep(_SIGN_S)
        return "its button is pressed halfway: look at its display"

    def focus(self, drive: Drive, step: int = 1) -> str:
        """Move the lens once; says what was done.  step: 1 to 3, how far nearer or farther.

        Live view that was on stays on.  Raises NotIdle; NotPossible for a body whose lens cannot be moved from here;
        CameraMissing (the camera is then closed), CameraFault (it found no focus, too).
        """
        if self._state is not CameraState.IDLE:
            self._require_open()
            raise NotIdle(f"{self._url} is {self._state.value}, not idle: its lens stays as it is")
        was, self._viewing = self._viewing, True  # many bodies move their lens in live view alone
        try:
            return self._guarded(lambda: self._do_focus(drive, step))
        finally:
            if not was:
                with suppress(EquipmentError):
                    self.end_preview()  # what fails here is tried again by whoever needs it off

    def usb_reset(self) -> str:
        """Reset the socket at which the closed camera is plugged in; says what was done.

        Raises NotPossible, CameraMissing or CameraFault, as usb.reset.reset().
        """
        self.close()
        return self._do_usb_reset()

    def power_cycle(self) -> str:
        """Cut the power of the closed camera's socket for a moment; says what was done.

        Raises NotPossible or CameraFault, as usb.reset.power_cycle().
        """
        self.close()
        return self._do_power_cycle()

    def disarm(self) -> None:
        """Back to idle without (or in spite of) an exposure; its files stay on the body."""
        self._require_open()
        was, self._state = self._state, CameraState.IDLE
        if was is not CameraState.IDLE:
            self.release_by.rest()
            self._do_disarm()

    def expose(self, at_ns: int) -> UncollectedExposure:
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
        return UncollectedExposure(
            at_ns,
            ReleaseStamps(
                self.clock.from_monotonic(release.released_at_ns),
                None if exposed_ns is None else self.clock.from_monotonic(exposed_ns),
                release.source,
            ),
        )

    def finish(self) -> None:
        """Exposed -> idle: the exposure's files are read, or are looked for between other things."""
        if self._state is not CameraState.EXPOSED:
            self._require_open()
            raise NotExposed(f"{self._url} is {self._state.value}: there is no exposure to finish")
        self._state = CameraState.IDLE

    # --- files; idle or exposed

    def listen(self, timeout_s: float) -> EventPoll:
        """Wait until the body announces a file, or its events have run dry for `timeout_s`.

        Raises NotIdle, CameraMissing (the camera is then closed) or another CameraFault.
        """
        self._require_readable()
        if self._state is CameraState.EXPOSED:
            self.release_by.rest()
        return self._guarded(lambda: self._do_listen(timeout_s))

    def search(self, *, fresh: bool = False) -> tuple[BodyFile, ...]:
        """Every file that the body has, whether it was announced or not; `fresh`: over a connection made anew, so that
        nothing is answered from memory.  Raises as listen()."""
        self._require_readable()
        return self._guarded(lambda: self._do_search(fresh))

    def read(self, file: BodyFile) -> bytes:
        """The file's bytes, as many as the body says that it has.

        Raises FileGone, FileTruncated (fewer or more bytes than the body states, however often it is read), or as
        listen().
        """
        self._require_readable()
        return self._guarded(lambda: self._do_read(file))

    def delete(self, file: BodyFile) -> bool:
        """Delete the body's copy; False when it is to be kept there.

        Raises FileNotDeleted when the body refuses or has a file of another size there by now; FileGone; or as
        listen().
        """
        self._require_readable()
        return self._guarded(lambda: self._do_delete(file))

    def body_clock_s(self) -> float | None:
        """The body's clock, read as if it were UTC, minus UTC, in seconds; None when it cannot be told.

        It says what to add to a moment to get the capture time that the body writes into a photograph.
        """
        self._require_readable()
        return self._guarded(self._do_body_clock)

    @property
    def file_s(self) -> float:
        """How long after the release its photograph may take to appear, in seconds."""
        return 30.0

    @property
    def quiet_s(self) -> float:
        """After so long without news it has nothing more to say just now, in seconds."""
        return 0.05

    @property
    def counter(self) -> int | None:
        """The number of the last photograph that the body made, where it can be asked."""
        return None

    @property
    def tells_time(self) -> bool:
        """Whether the capture times in its photographs mean anything (those of a simulation do not)."""
        return False

    def _do_check(self) -> CameraCondition:
        """Ask the camera something small.  Raises CameraMissing when it does not answer."""
        return CameraCondition()

    def _do_preview(self) -> bytes:
        raise NotPossible(f"{self._url} has no live view")

    def _do_end_preview(self) -> None:  # noqa: B027  (a camera whose live view leaves nothing behind)
        """Make the camera as it was before live view."""

    def _do_focus(self, drive: Drive, step: int) -> str:  # noqa: ARG002  (a camera without such a motor)
        raise NotPossible(f"{self._url}: its lens cannot be moved from here")

    def _do_usb_reset(self) -> str:
        raise NotPossible(f"{self._url} is in no USB socket of this computer")

    def _do_power_cycle(self) -> str:
        raise NotPossible(f"{self._url} is in no USB socket of this computer")

    def _released(self) -> None:  # noqa: B027  (a camera that has nothing to note has nothing to do)
        """The shutter was released, by whatever means; called in the window."""

    def _do_body_clock(self) -> float | None:
        """As body_clock_s."""
        return None

    def _require_readable(self) -> None:
        self._require_open()
        if self._state is CameraState.ARMED:
            raise NotIdle(f"{self._url} is armed: its files are looked at before and after")

    def _require_open(self) -> None:
        if self._state is CameraState.CLOSED:
            raise CameraClosed(f"{self._url} is not open")

    @abstractmethod
    def _do_open(self) -> CameraInfo: ...

    @abstractmethod
    def _do_close(self) -> None: ...

    @abstractmethod
    def _do_arm(self, settings: Exposure, allow_ram: bool) -> CameraCondition: ...

    @abstractmethod
    def _do_disarm(self) -> None: ...

    @abstractmethod
    def _own_release(self) -> ShutterRelease:
        """The camera's own way of releasing its shutter."""

    @abstractmethod
    def _do_listen(self, timeout_s: float) -> EventPoll: ...

    @abstractmethod
    def _do_search(self, fresh: bool) -> tuple[BodyFile, ...]: ...

    @abstractmethod
    def _do_read(self, file: BodyFile) -> bytes: ...

    @abstractmethod
    def _do_delete(self, file: BodyFile) -> bool: ...


if TYPE_CHECKING:

    def _is_a_camera(base: CameraBase) -> Camera:
        return base
