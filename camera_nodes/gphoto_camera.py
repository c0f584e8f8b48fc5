"""Cameras over PTP by libgphoto2: real bodies, and the virtual camera of the gphoto2 wheel.

gphoto/library.py loads libgphoto2, and only when a camera is opened: the virtual camera needs VCAMERADIR in the
environment before that.  One process a camera, because libgphoto2's virtual bus is global.  gphoto/connection.py holds
the connection and its retries, gphoto/settings.py the settings.

What the virtual camera has taught (libgphoto2 2.5.34): after 26 photographs it gives no more until the connection is
made anew with a fresh Camera object (the same object crashes); setting a value that is not among the choices crashes,
so choices are checked first; its event queue may never run dry, so draining is bounded; every one has serial 0.1 and
numbers its files from 0099 with each connection, so neither identifies anything.
"""

import re
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from msgspec import structs

from camera_nodes.camera import (
    BodyFile,
    CameraCondition,
    CameraInfo,
    EventPoll,
    ReleaseStamps,
    ShutterRelease,
)
from camera_nodes.camera_base import CameraBase
from camera_nodes.camera_models.models import BodyModel, body_model
from camera_nodes.errors import (
    BadAddress,
    CameraFault,
    CameraMissing,
    CardFull,
    EquipmentError,
    FileGone,
    FileNotDeleted,
    FileTruncated,
    NotPossible,
    NotSupported,
    SettingsRefused,
)
from camera_nodes.gphoto import focus_drive, library, live_view
from camera_nodes.gphoto.connection import VIRTUAL, PtpConnection, names_in
from camera_nodes.gphoto.settings import WIDGETS, CameraSettings
from camera_nodes.usb import reset
from camera_nodes.usb.port import is_socket
from camera_nodes.wire import Drive, Exposure

_VIRTUAL_ROOM = 26  # photographs the virtual camera takes on one connection
_VIRTUAL_WAIT_S = 3.0  # it reports its file at once or never
_OPEN_S, _ARM_S, _READ_S, _LISTEN_S, _CHECK_S = 8.0, 8.0, 25.0, 4.0, 2.5  # patience with a body that answers badly
_DELETE_PAUSE_S = 0.2  # between three attempts to delete a file
_STORAGE_S = 10.0  # an idle body is asked for its storage this often
_NOISE_S = 2.0  # of events after a file, which are no files
# "usb:" or "ptpip:" alone would be whichever is first
_PORT = re.compile(r"usb:\d{3},\d{3}|ptpip:[^\s:,/?]+(:\d{1,5})?")
_DEEP, _MOST_FILES = 6, 50_000  # of a search


@dataclass(frozen=True)
class GphotoOptions:
    """The keys of a `gphoto2:` address."""

    photos: str = ""  # virtual camera: folder with the JPEG it serves (or VCAMERADIR)
    refresh: bool = True  # virtual camera: connect anew at arming when its 26 photographs are used up
    keep: bool = False  # leave photographs on the card for good


class PtpRelease:
    """Releases by PTP's own command over the camera's cable.  It does not know when the shutter truly was open."""

    sees_exposure = False
    half_presses = False

    def __init__(self, trigger: Callable[[], None]) -> None:
        self._trigger = trigger

    def open(self) -> None:
        """The camera's connection is the camera's business."""

    def close(self) -> None:
        """The camera's connection is the camera's business."""

    def prepare(self) -> None:
        """With the focus set by hand there is nothing to prepare over PTP."""

    def release(self) -> ReleaseStamps:
        """Send the trigger command; stamped before, as it returns only when the body has answered."""
        released_ns = time.monotonic_ns()
        self._trigger()
        return ReleaseStamps(released_ns)

    def rest(self) -> None:
        """PTP's command holds no button."""


class GphotoCamera(CameraBase):
    """One body.  Its files are what it announces, and what a search of its card finds."""

    _open_here = 0  # cameras open in this process

    def __init__(self, url: str, port: str, options: GphotoOptions) -> None:
        """Raises BadAddress for a port that is none."""
        if port not in ("", VIRTUAL) and not _PORT.fullmatch(port) and not is_socket(port):
            raise BadAddress(
                f"{url!r}: the port is 'port:1-1.2', 'usb:BUS,DEVICE', 'ptpip:HOST' or 'virtual', not {port!r}"
            )
        super().__init__(url)
        self._port = port
        self._options = options
        self._connection: PtpConnection | None = None
        self._settings: CameraSettings | None = None
        self._taken = 0  # on this connection
        self._suspect = False  # the last release failed: connect anew before the next
        self._interrupted = False  # the connection was made anew, and nobody has heard of it
        self._left: int | None = None  # photographs, when storage was asked last
        self._left_at = 0.0
        self.models_file: Path | None = None

    @classmethod
    def preload(cls) -> None:
        """The library and its list of models, where it is installed."""
        library.preload()

    @property
    def _is_virtual(self) -> bool:
        return self._port == VIRTUAL

    @property
    def model(self) -> BodyModel:
        """What is known of bodies of this model."""
        return self._settings.model if self._settings is not None else BodyModel()

    @property
    def file_s(self) -> float:
        """By the table of models."""
        return _VIRTUAL_WAIT_S if self._is_virtual else self.model.file_s

    @property
    def quiet_s(self) -> float:
        """By the table of models."""
        return self.model.quiet_s

    @property
    def tells_time(self) -> bool:
        """The virtual camera serves one picture again and again."""
        return not self._is_virtual

    # --- connection

    def _do_open(self) -> CameraInfo:
        if GphotoCamera._open_here:
            raise CameraFault(f"{self._url}: this process has a camera open already; run one process a camera")
        gp = _import_gphoto2(self._options.photos if self._is_virtual else None, self._url)
        connection = PtpConnection(gp, self._url, self._port, self._connected)
        self._connection, self._settings = connection, CameraSettings(connection, self._url)
        try:
            with connection.patience(_OPEN_S):
                connection.open()
                name = self._model_name()
                battery = self._settings.battery_percent()
                serial = self._settings.read("serialnumber") or ""
        except EquipmentError:
            connection.close()
            raise
        self._interrupted = False
        GphotoCamera._open_here += 1
        return CameraInfo(self._url, name, serial, ("settings",) if battery is None else ("settings", "battery"))

    def _model_name(self) -> str:
        connection, settings = self._there()
        name = settings.read("cameramodel")
        return name or str(connection.call("get_abilities").model)

    def _connected(self) -> None:
        """After each connection: where photographs are kept and what time it is do not outlive the last one."""
        _, settings = self._there()
        self._taken, self._suspect, self._interrupted = 0, False, True
        settings.forget()
        settings.model = body_model(self._model_name(), self.models_file)
        settings.aim_at_card(allow_ram=True)  # the arming decides whether memory will do
        if not self._is_virtual:
            settings.set_clock()

    def _there(self) -> tuple[PtpConnection, CameraSettings]:
        assert self._connection is not None  # the state machine asks nothing of a closed camera
        assert self._settings is not None
        return self._connection, self._settings

    def _do_close(self) -> None:
        GphotoCamera._open_here -= 1
        connection, _ = self._there()
        connection.close()

    # --- arming

    def _do_arm(self, settings: Exposure, allow_ram: bool) -> CameraCondition:
        connection, its = self._there()
        with connection.patience(max(_ARM_S, self.model.busy_s)):
            used_up = self._is_virtual and self._options.refresh and self._taken >= _VIRTUAL_ROOM
            if self._suspect or used_up:
                connection.reconnect()
            target = its.aim_at_card(allow_ram=allow_ram)
            warnings = its.apply(settings)
            formats = its.formats()
            if formats.raw and formats.jpeg is None:
                wanted = f"image_format: is {formats.text!r}, which gives no photograph to check; set it to RAW + JPEG"
                raise SettingsRefused(f"{self._url}: {wanted}", [wanted])
            found = self._condition(self._photos_left())
            is_set = structs.replace(its.read_all(), focus_mode=found.focus_mode)
        if found.photos_left == 0:
            raise CardFull(f"the card of {self._url} is full (0 photographs left): empty or change it")
        return CameraCondition(
            found.battery_percent, found.photos_left, tuple(text for text in (*warnings, target) if text),
            found.focus_mode, formats.raw, is_set,
        )  # fmt: skip

    def _condition(self, left: int | None) -> CameraCondition:
        _, settings = self._there()
        focus = settings.first(WIDGETS["focus_mode"])
        if self._is_virtual and self._taken > _VIRTUAL_ROOM:
            left = 0
        return CameraCondition(settings.battery_percent(), left, focus_mode=None if focus is None else focus[1])

    def _photos_left(self) -> int | None:
        _, settings = self._there()
        self._left, self._left_at = settings.photos_left(), time.monotonic()
        return self._left

    def _do_check(self) -> CameraCondition:
        """Storage is asked on the wire; settings may be answered from libgphoto2's memory.

        Not each time: python-gphoto2 holds the interpreter while it asks, and a body that is dying takes seconds.
        """
        connection, its = self._there()
        with connection.patience(_CHECK_S):
            if self._info is not None and not self._info.serial:  # some bodies say it late
                self._info = replace(self._info, model=self._model_name(), serial=its.read("serialnumber") or "")
            lately = time.monotonic() - self._left_at < _STORAGE_S
            return self._condition(self._left if lately else self._photos_left())

    def _do_disarm(self) -> None:
        """PTP's command holds no button; what a shutter has made meanwhile is heard next."""

    # --- exposure

    def _own_release(self) -> ShutterRelease:
        return PtpRelease(self._trigger)

    def _trigger(self) -> None:
        connection, _ = self._there()
        try:
            connection.once("trigger_capture")
        except EquipmentError:
            self._suspect = True
            raise

    def _released(self) -> None:
        self._taken += 1

    # --- files

    def _do_listen(self, timeout_s: float) -> EventPoll:
        connection, _ = self._there()
        gp = connection.gp
        files: list[BodyFile] = []
        with connection.patience(_LISTEN_S):
            if self._suspect:  # at the failure, not at the next arming
                connection.reconnect()
            end = time.monotonic() + timeout_s
            while True:
                left_s = 0.0 if files else min(0.5, end - time.monotonic())  # the rest of the queue is taken along
                kind, data = connection.call("wait_for_event", max(1, round(left_s * 1000)))
                over = time.monotonic() >= (end + _NOISE_S if files else end)
                if kind == gp.GP_EVENT_FILE_ADDED:
                    files.append(BodyFile(str(data.folder), str(data.name), epoch=connection.epoch))
                if over or (files and kind == gp.GP_EVENT_TIMEOUT):
                    quiet = kind == gp.GP_EVENT_TIMEOUT
                    break
        interrupted, self._interrupted = self._interrupted, False
        return EventPoll(tuple(files), quiet, interrupted)

    def _do_search(self, fresh: bool) -> tuple[BodyFile, ...]:
        connection, _ = self._there()
        with connection.patience(_READ_S):
            if fresh:
                connection.reconnect()
            found: list[BodyFile] = []
            self._walk("/", _DEEP, found)
        self._interrupted = False
        return tuple(found)

    def _walk(self, folder: str, deep: int, found: list[BodyFile]) -> None:
        connection, _ = self._there()
        try:
            found += [BodyFile(folder, name) for name in names_in(connection.call("folder_list_files", folder))]
            folders = names_in(connection.call("folder_list_folders", folder)) if deep else []
        except (FileGone, NotSupported):
            return  # it was there a moment ago; or this body has no folders
        for name in folders:
            if len(found) < _MOST_FILES:
                self._walk(f"{folder.rstrip('/')}/{name}", deep - 1, found)

    def _stated_bytes(self, file: BodyFile) -> int | None:
        connection, _ = self._there()
        try:
            about = connection.call("file_get_info", file.folder, file.name).file
        except NotSupported:
            return None
        known = about.fields & getattr(connection.gp, "GP_FILE_INFO_SIZE", 4)
        return int(about.size) if known and about.size else None

    def _do_read(self, file: BodyFile) -> bytes:
        connection, _ = self._there()
        with connection.patience(_READ_S):
            stated = self._stated_bytes(file)
            answer = connection.call("file_get", file.folder, file.name, connection.gp.GP_FILE_TYPE_NORMAL)
            data = bytes(memoryview(answer.get_data_and_size()))
        if stated is not None and len(data) != stated:
            raise FileTruncated(f"{len(data)} of {stated} bytes came", data)
        return data

    def _do_delete(self, file: BodyFile) -> bool:
        if self._options.keep:
            return False
        connection, _ = self._there()
        if not self.model.deletes:
            raise FileNotDeleted("bodies of this model delete nothing from here")
        with connection.patience(_CHECK_S):
            stated = self._stated_bytes(file)
        if stated is not None and file.bytes is not None and stated != file.bytes:
            raise FileNotDeleted(f"there is another file of that name now, of {stated} bytes")
        for more in (True, True, False):
            try:
                connection.once("file_delete", file.folder, file.name)
                break
            except (FileGone, CameraMissing):
                raise
            except EquipmentError as error:  # a body that forbids it says no more than one that stumbles
                if not more or isinstance(error, NotSupported):
                    raise FileNotDeleted(str(error)) from None
            time.sleep(_DELETE_PAUSE_S)
        return True

    # --- live view and recovery

    def _do_preview(self) -> bytes:
        connection, _ = self._there()
        with connection.patience(_CHECK_S):
            return live_view.preview(connection.call, self._url)

    def _do_end_preview(self) -> None:
        connection, _ = self._there()
        live_view.end_preview(connection.once)  # a connection made anew would have no live view to end

    def _do_focus(self, drive: Drive, step: int) -> str:
        connection, _ = self._there()
        with connection.patience(_CHECK_S), suppress(NotPossible):
            live_view.preview(connection.call, self._url)  # an EOS body moves its lens in live view alone
        with connection.patience(_CHECK_S):
            return focus_drive.move(connection.call, connection.gp, self._url, drive, step)

    def _do_usb_reset(self) -> str:
        return reset.reset(self._socket())

    def _do_power_cycle(self) -> str:
        return reset.power_cycle(self._socket())

    def _socket(self) -> str:
        if self._port.startswith(library.NETWORK):
            raise NotPossible(f"{self._url} is reached over the network: it can be reopened, no more")
        if self._is_virtual:
            raise NotPossible(f"{self._url} is played by this computer: it can be reopened, no more")
        return self._port

    def _do_body_clock(self) -> float | None:
        connection, settings = self._there()
        if self._is_virtual:
            return None
        with connection.patience(_CHECK_S):
            return settings.clock_s()


def _import_gphoto2(photos: str | None, url: str) -> Any:
    """gphoto2 as a camera of this address needs it; see gphoto_library."""
    return library.load(photos, url)
