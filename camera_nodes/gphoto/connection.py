"""One connection to one body through libgphoto2: the body that was asked for, and one policy for all that goes wrong.

Outside the window every call has until a deadline.  A busy body is asked again; what may pass (time-outs, read and
write errors, unspecified ones) is tried once more and then over a connection made anew; a body that is gone is looked
for.  Only "unsupported" and "bad parameter" mean that there is no such thing, only "no such file" that there is none.
In the window there is one attempt (`once`).
"""

import contextlib
import time
from collections.abc import Callable, Iterator
from enum import Enum
from typing import Any

from camera_nodes.errors import (
    CameraBusy,
    CameraFault,
    CameraLost,
    CameraMissing,
    CardFull,
    EquipmentError,
    FileGone,
    NotSupported,
)
from camera_nodes.gphoto import library

VIRTUAL = "virtual"
_PAUSE_S = 0.25
_RECONNECT_PAUSE_S = 0.5


class PtpErrorKind(Enum):
    """What an error of libgphoto2 means."""

    ABSENT = "absent"
    NO_FILE = "no_file"
    BUSY = "busy"
    FULL = "full"
    GONE = "gone"
    LOST = "lost"
    PASSING = "passing"


_MEANS = {
    PtpErrorKind.ABSENT: ("GP_ERROR_NOT_SUPPORTED", "GP_ERROR_BAD_PARAMETERS"),
    PtpErrorKind.NO_FILE: ("GP_ERROR_FILE_NOT_FOUND", "GP_ERROR_DIRECTORY_NOT_FOUND"),
    PtpErrorKind.BUSY: ("GP_ERROR_CAMERA_BUSY", "GP_ERROR_IO_USB_CLAIM", "GP_ERROR_IO_LOCK"),
    PtpErrorKind.FULL: ("GP_ERROR_NO_MEMORY", "GP_ERROR_NO_SPACE"),
    PtpErrorKind.GONE: (
        "GP_ERROR_IO_USB_FIND", "GP_ERROR_IO_INIT", "GP_ERROR_MODEL_NOT_FOUND", "GP_ERROR_UNKNOWN_PORT",
    ),
    PtpErrorKind.LOST: ("GP_ERROR_IO", "GP_ERROR_OS_FAILURE"),
}  # fmt: skip


class PtpConnection:
    """See the module.  on_connect is called after each connection is made, before anything else is asked.

    epoch: when the present connection was made, UNIX ms: names of files are told apart by it.
    """

    def __init__(self, gp: Any, url: str, port: str, on_connect: Callable[[], None] = lambda: None) -> None:
        self.gp = gp
        self.epoch = 0
        self.patience_s = 8.0
        self._url = url
        self._port = port
        self._camera: Any = None
        self._on_connect = on_connect
        self._preparing = False

    # --- connecting

    def open(self) -> None:
        """Connect.  Raises CameraMissing, CameraBusy or CameraFault when it is in vain until the deadline."""
        self._connect_until(time.monotonic() + self.patience_s)

    def close(self) -> None:
        """Let go.  Never raises."""
        camera, self._camera = self._camera, None
        if camera is not None:
            with contextlib.suppress(self.gp.GPhoto2Error):
                camera.exit()

    def reconnect(self) -> None:
        """Make the connection anew.  Raises as open()."""
        self.close()  # drops the old object first: two at once upset the virtual bus
        self.open()

    @contextlib.contextmanager
    def patience(self, seconds: float) -> Iterator[None]:
        """For what is called inside, wait so long for a body that does not answer as it should."""
        before, self.patience_s = self.patience_s, seconds
        try:
            yield
        finally:
            self.patience_s = before

    def _connect_until(self, deadline: float) -> None:
        while True:
            try:
                self._connect()
                break
            except self.gp.GPhoto2Error as error:
                self.close()
                if time.monotonic() >= deadline:
                    raise self._translated(error) from None
            except CameraMissing:
                self.close()
                if time.monotonic() >= deadline:
                    raise
            time.sleep(min(_RECONNECT_PAUSE_S, max(0.0, deadline - time.monotonic())))
        self.epoch = max(self.epoch + 1, time.time_ns() // 1_000_000)
        if not self._preparing:
            self._preparing = True
            try:
                self._on_connect()
            finally:
                self._preparing = False

    def _connect(self) -> None:
        self._camera = camera = library.open_body(self.gp, self._port, self._url)
        camera.init()
        if self._port.startswith(("usb:", library.NETWORK)):
            found = str(camera.get_port_info().get_path())
            if found != self._port:
                raise CameraMissing(f"{self._url}: libgphoto2 opened {found} instead: that body is let go again")

    # --- calling

    def once(self, name: str, *arguments: Any) -> Any:
        """One attempt, as in the window.

        Raises NotSupported, FileGone, CameraBusy, CardFull, CameraMissing, CameraFault.
        """
        try:
            return getattr(self._require(), name)(*arguments)
        except self.gp.GPhoto2Error as error:
            raise self._translated(error) from None

    def call(self, name: str, *arguments: Any) -> Any:
        """Call a method of libgphoto2's Camera until it succeeds or the patience is at its end.

        Raises NotSupported, FileGone, CardFull at once; CameraBusy, CameraMissing, CameraFault at the end.
        """
        deadline = time.monotonic() + self.patience_s
        passing = 0
        while True:
            try:
                return getattr(self._require(), name)(*arguments)
            except self.gp.GPhoto2Error as error:
                trouble = self.meaning(error)
                if trouble in (PtpErrorKind.ABSENT, PtpErrorKind.NO_FILE, PtpErrorKind.FULL):
                    raise self._translated(error) from None
                if time.monotonic() >= deadline:
                    raise self._translated(error) from None
                passing += trouble is PtpErrorKind.PASSING
                if trouble in (PtpErrorKind.GONE, PtpErrorKind.LOST) or passing > 1:
                    passing = 0
                    self.close()
                    self._connect_until(deadline)
                else:
                    time.sleep(min(_PAUSE_S, max(0.0, deadline - time.monotonic())))

    def _require(self) -> Any:
        if self._camera is None:
            raise CameraMissing(f"no camera answers at {self._url}: look at its cable and power")
        return self._camera

    def meaning(self, error: Any) -> PtpErrorKind:
        """What an error of libgphoto2 means."""
        for trouble, names in _MEANS.items():
            if any(getattr(self.gp, name, None) == error.code for name in names):
                return trouble
        return PtpErrorKind.PASSING

    def _translated(self, error: Any) -> EquipmentError:
        match self.meaning(error):
            case PtpErrorKind.ABSENT:
                return NotSupported(f"{self._url}: {error}")
            case PtpErrorKind.NO_FILE:
                return FileGone(f"{self._url}: {error}")
            case PtpErrorKind.BUSY:
                return CameraBusy(f"{self._url} is busy or held by another program ({error})")
            case PtpErrorKind.FULL:
                return CardFull(f"the card of {self._url} is full ({error}): empty or change it")
            case PtpErrorKind.GONE:
                return CameraMissing(f"no camera answers at {self._url} ({error}): look at its cable and power")
            case PtpErrorKind.LOST:
                return CameraLost(f"{self._url} no longer answers ({error}): look at its cable and power")
            case PtpErrorKind.PASSING:
                return CameraFault(f"{self._url}: {error}")


def names_in(found: Any) -> list[str]:
    """The names in a list of libgphoto2's (folders, files, bodies)."""
    if hasattr(found, "get_name"):
        return [str(found.get_name(index)) for index in range(found.count())]
    return [str(one[0]) for one in found]
