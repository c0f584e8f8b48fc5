"""Cameras over PTP by libgphoto2: real bodies, and the virtual camera of the gphoto2 wheel.

The only importer of gphoto2, and only when a camera is opened: the virtual camera needs VCAMERADIR in the environment
before that.  One process a camera, because libgphoto2's virtual bus is global.

What the virtual camera has taught (libgphoto2 2.5.34): after 26 photographs it gives no more until the connection is
made anew with a fresh Camera object (the same object crashes); setting a value that is not among the choices crashes,
so choices are checked first; its event queue never runs dry, so draining is bounded; every one has serial 0.1 and
numbers its files from 0099, so neither identifies anything.
"""

import importlib
import os
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from camera_nodes import gphoto_view, usb_port, usb_reset
from camera_nodes.camera import CameraBase, CameraInfo, Condition, Photo, RawFile, Release, ShutterRelease
from camera_nodes.errors import (
    CameraBusy,
    CameraFault,
    CameraMissing,
    CardFull,
    EquipmentError,
    NotPossible,
    PhotoMissing,
    SettingsRefused,
)
from camera_nodes.wire import Exposure

_VIRTUAL_ROOM = 26  # photographs the virtual camera takes on one connection
_VIRTUAL_WAIT_S = 3.0
_DRAIN_EVENTS = 50
RAW_ENDINGS = (".dng", ".cr2", ".cr3", ".nef", ".nrw", ".arw", ".raf", ".orf", ".rw2")
_WIDGETS = {
    "shutter": ("shutterspeed", "shutterspeed2", "exptime"),
    "aperture": ("f-number", "aperture"),
    "iso": ("iso", "isospeed"),
    "white_balance": ("whitebalance",),
    "image_format": ("imageformat", "imagequality"),
    "focus_mode": ("focusmode", "focusmode2"),
}
_GONE = ("GP_ERROR_IO_USB_FIND", "GP_ERROR_IO", "GP_ERROR_IO_INIT", "GP_ERROR_MODEL_NOT_FOUND", "GP_ERROR_UNKNOWN_PORT",
         "GP_ERROR_FILE_NOT_FOUND", "GP_ERROR_OS_FAILURE")  # fmt: skip
_BUSY = ("GP_ERROR_CAMERA_BUSY", "GP_ERROR_IO_USB_CLAIM", "GP_ERROR_IO_LOCK")
_FULL = ("GP_ERROR_NO_MEMORY", "GP_ERROR_NO_SPACE")


@dataclass(frozen=True)
class GphotoOptions:
    """The keys of a `gphoto2:` address."""

    photos: str = ""  # virtual camera: folder with the JPEG it serves (or VCAMERADIR)
    refresh: bool = True  # virtual camera: connect anew at arming when its 26 photographs are used up
    keep: bool = False  # leave photographs on the card for good


class PtpRelease:
    """Releases by PTP's own command over the camera's cable.  It does not know when the shutter truly was open."""

    sees_exposure = False

    def __init__(self, trigger: Callable[[], None]) -> None:
        self._trigger = trigger

    def open(self) -> None:
        """The camera's connection is the camera's business."""

    def close(self) -> None:
        """The camera's connection is the camera's business."""

    def prepare(self) -> None:
        """With the focus set by hand there is nothing to prepare over PTP."""

    def release(self) -> Release:
        """Send the trigger command; stamped before, as it returns only when the body has answered."""
        released_ns = time.monotonic_ns()
        self._trigger()
        return Release(released_ns)

    def rest(self) -> None:
        """PTP's command holds no button."""


class GphotoCamera(CameraBase):
    """One body.  The photograph is the file that the body reports after a release, by whatever means it came."""

    _open_here = 0  # cameras open in this process

    def __init__(self, url: str, port: str, options: GphotoOptions) -> None:
        super().__init__(url)
        self._port = port
        self._options = options
        self._gp: Any = None
        self._camera: Any = None
        self._taken = 0  # on this connection
        self._keeps = ""  # how the body says that it stores an exposure ("RAW + L"), where it says it
        self._folders: dict[str, str] = {}  # of the last exposure's files, by name
        self._suspect = False  # the last exposure failed: connect anew before the next

    # --- connection

    def _do_open(self) -> CameraInfo:
        if GphotoCamera._open_here:
            raise CameraFault(f"{self._url}: this process has a camera open already; run one process a camera")
        self._gp = _import_gphoto2(self._options.photos if self._port == "virtual" else None, self._url)
        try:
            self._connect()
            capabilities = ("settings", "battery") if self._battery() is not None else ("settings",)
            model = self._read("cameramodel") or str(self._call(self._camera.get_abilities).model)
            info = CameraInfo(self._url, model, self._read("serialnumber") or "", capabilities)
        except EquipmentError:
            self._disconnect()
            raise
        GphotoCamera._open_here += 1
        return info

    def _connect(self) -> None:
        gp = self._gp
        self._camera = gp.Camera()
        if self._port not in ("", "virtual"):
            ports = gp.PortInfoList()
            ports.load()
            place = usb_port.address_of(self._port) if usb_port.is_socket(self._port) else self._port
            self._camera.set_port_info(ports[self._call(ports.lookup_path, place)])
        self._call(self._camera.init)
        self._taken, self._suspect = 0, False

    def _disconnect(self) -> None:
        camera, self._camera = self._camera, None
        try:
            if camera is not None:
                camera.exit()
        except self._gp.GPhoto2Error:
            return  # gone already

    def _do_close(self) -> None:
        GphotoCamera._open_here -= 1
        self._disconnect()

    def _reconnect(self) -> None:
        self._disconnect()  # drops the old object first: two at once upset the virtual bus
        self._connect()

    # --- arming

    def _do_arm(self, settings: Exposure) -> Condition:
        used_up = self._port == "virtual" and self._options.refresh and self._taken >= _VIRTUAL_ROOM
        if self._suspect or used_up:
            self._reconnect()
        self._drain()
        warnings = self._apply(settings)
        self._keeps = self._kept_formats()
        focus = next((value for name in _WIDGETS["focus_mode"] if (value := self._read(name)) is not None), None)
        return Condition(self._battery(), self._photos_left(), tuple(warnings), focus)

    def _do_check(self) -> Condition:
        focus = next((value for name in _WIDGETS["focus_mode"] if (value := self._read(name)) is not None), None)
        return Condition(self._battery(), self._photos_left(), focus_mode=focus)

    def _do_disarm(self) -> None:
        self._drain()

    def _apply(self, settings: Exposure) -> list[str]:
        warnings: list[str] = []
        differences: list[str] = []
        for name in settings.__struct_fields__:
            wanted = getattr(settings, name)
            if wanted is None:
                continue
            widget_name = next((n for n in _WIDGETS[name] if self._read(n) is not None), None)
            if widget_name is None:
                warnings.append(f"{name}: this body has no such setting, {wanted!r} was not applied")
                continue
            problem = self._set(widget_name, wanted)
            if problem:
                differences.append(f"{name}: {problem}")
        if differences:
            raise SettingsRefused(f"{self._url} did not take: " + "; ".join(differences), differences)
        return warnings

    def _set(self, widget_name: str, wanted: str) -> str | None:
        """Set a widget and read it back.  Returns what is wrong, or None."""
        widget = self._call(self._camera.get_single_config, widget_name)
        if _same(str(widget.get_value()), wanted):
            return None
        if widget.get_readonly():
            return f"is {widget.get_value()!r} and cannot be set from here; wanted {wanted!r}"
        if widget.get_type() in (self._gp.GP_WIDGET_RADIO, self._gp.GP_WIDGET_MENU):
            choices = [str(widget.get_choice(index)) for index in range(widget.count_choices())]
            choice = next((c for c in choices if _same(c, wanted)), None)
            if choice is None:
                return f"{wanted!r} is not among {', '.join(choices[:24])}"
        else:
            choice = wanted
        widget.set_value(choice)
        self._call(self._camera.set_single_config, widget_name, widget)
        found = self._read(widget_name)
        return None if found is not None and _same(found, wanted) else f"is {found!r} after setting {wanted!r}"

    def _read(self, widget_name: str) -> str | None:
        try:
            return str(self._camera.get_single_config(widget_name).get_value())
        except self._gp.GPhoto2Error as error:
            if self._names(error.code, _GONE[:3]):
                raise CameraMissing(f"{self._url} no longer answers ({error}): look at its cable and power") from None
            return None

    def _kept_formats(self) -> str:
        """How the body stores an exposure, "" when it does not say.  Raises SettingsRefused for raw files alone."""
        found = next((text for name in _WIDGETS["image_format"] if (text := self._read(name)) is not None), "")
        if is_raw(found) and not re.search(r"\+|jpe?g", found, re.IGNORECASE):
            wanted = f"image_format: is {found!r}, which gives no photograph to check; set it to RAW + JPEG"
            raise SettingsRefused(f"{self._url}: {wanted}", [wanted])
        return found

    def _battery(self) -> int | None:
        found = re.match(r"(\d{1,3})\s*%", self._read("batterylevel") or "")
        return min(100, int(found[1])) if found else None

    def _photos_left(self) -> int | None:
        try:
            stores = self._camera.get_storageinfo()
        except self._gp.GPhoto2Error:
            return None
        known = [s.freeimages for s in stores if s.fields & self._gp.GP_STORAGEINFO_FREESPACEIMAGES]
        return max(0, sum(known)) if known else None

    # --- exposure

    def _own_release(self) -> ShutterRelease:
        return PtpRelease(self._trigger)

    def _trigger(self) -> None:
        try:
            self._call(self._camera.trigger_capture)
        except EquipmentError:
            self._suspect = True
            raise

    def _released(self) -> None:
        self._taken += 1

    def _do_download(self, timeout_s: float) -> Photo:
        """The photograph, and the raw file where the body keeps both; they come in either order."""
        deadline = time.monotonic() + timeout_s
        self._suspect = True  # until the photograph is here
        self._folders = {}
        photo: str | None = None
        raw: str | None = None
        raw_wanted = is_raw(self._keeps)
        while photo is None or (raw_wanted and raw is None):
            added = self._next_file(deadline)
            if added is None:
                break
            folder, name = added
            self._folders[name] = folder
            if Path(name).suffix.lower() in RAW_ENDINGS:
                raw = name
            else:
                photo = name
        if photo is None:
            raise self._no_photo(raw, timeout_s)
        content = self._get(photo)
        if raw is None:
            problem = f"{self._url}: it keeps {self._keeps!r}, and no raw file came" if raw_wanted else ""
            self._suspect = bool(problem)
            return Photo(photo, content, problem=problem)
        try:
            raw_file = RawFile(raw, self._get(raw))
        except CameraFault as error:
            return Photo(photo, content, problem=f"the raw file {raw} was not read: {error}")
        self._suspect = False
        return Photo(photo, content, raw_file)

    def _no_photo(self, raw: str | None, timeout_s: float) -> CameraFault:
        if raw is not None:
            return PhotoMissing(f"{self._url}: it gave the raw file {raw} alone: set it to RAW + JPEG")
        if (self._port == "virtual" and self._taken > _VIRTUAL_ROOM) or self._photos_left() == 0:
            return CardFull(f"{self._url}: the card is full; no photograph was kept")
        return PhotoMissing(f"{self._url}: no photograph within {timeout_s:.0f} s of the release")

    def _next_file(self, deadline: float) -> tuple[str, str] | None:
        """Folder and name of the next file that the body reports; None when the time is up."""
        gp = self._gp
        events = 0
        if self._port == "virtual":
            deadline = min(deadline, time.monotonic() + _VIRTUAL_WAIT_S)  # it reports its file at once or never
        while True:
            left = deadline - time.monotonic()
            if self._port == "virtual":
                left = min(left, 1.0 - events / 1000)  # its events may cost no time, so they are counted
            if left <= 0:
                return None
            kind, data = self._call(self._camera.wait_for_event, max(1, round(min(left, 0.5) * 1000)))
            events += 1
            if kind == gp.GP_EVENT_FILE_ADDED:
                return str(data.folder), str(data.name)

    def _get(self, name: str) -> bytes:
        file = self._call(self._camera.file_get, self._folders[name], name, self._gp.GP_FILE_TYPE_NORMAL)
        return bytes(memoryview(file.get_data_and_size()))

    def _do_forget(self, photo: Photo) -> None:
        if self._options.keep:
            return
        for name in (photo.name, photo.raw.name) if photo.raw else (photo.name,):
            try:
                self._camera.file_delete(self._folders.get(name, "/"), name)
            except self._gp.GPhoto2Error:
                continue  # a body that forbids it keeps its copy

    def _drain(self) -> None:
        """Read away old events, a bounded number of them."""
        for _ in range(_DRAIN_EVENTS):
            kind, _data = self._call(self._camera.wait_for_event, 1)
            if kind == self._gp.GP_EVENT_TIMEOUT:
                return

    # --- live view and recovery

    def _do_preview(self) -> bytes:
        return gphoto_view.preview(self._call_by_name, self._url)

    def _do_end_preview(self) -> None:
        gphoto_view.end_preview(self._call_by_name)

    def _do_usb_reset(self) -> str:
        return usb_reset.reset(self._socket())

    def _do_power_cycle(self) -> str:
        return usb_reset.power_cycle(self._socket())

    def _socket(self) -> str:
        if self._port.startswith("ptpip:"):
            raise NotPossible(f"{self._url} is reached over the network: it can be reopened, no more")
        if self._port == "virtual":
            raise NotPossible(f"{self._url} is played by this computer: it can be reopened, no more")
        return self._port

    # --- errors

    def _call_by_name(self, name: str, *arguments: Any) -> Any:
        return self._call(getattr(self._camera, name), *arguments)

    def _call(self, function: Any, *arguments: Any) -> Any:
        try:
            return function(*arguments)
        except self._gp.GPhoto2Error as error:
            self._suspect = True
            if self._names(error.code, _GONE):
                raise CameraMissing(
                    f"no camera answers at {self._url} ({error}): look at its cable and power"
                ) from None
            if self._names(error.code, _BUSY):
                raise CameraBusy(f"{self._url} is busy or held by another program ({error})") from None
            if self._names(error.code, _FULL):
                raise CardFull(f"the card of {self._url} is full ({error}): empty or change it") from None
            raise CameraFault(f"{self._url}: {error}") from None

    def _names(self, code: int, names: tuple[str, ...]) -> bool:
        return any(getattr(self._gp, name, None) == code for name in names)


def _import_gphoto2(photos: str | None, url: str) -> Any:
    """gphoto2, with the virtual bus when `photos` is not None ("" leaves the folder to VCAMERADIR)."""
    if photos is not None:
        folder = photos or os.environ.get("VCAMERADIR", "")
        if not folder or not any(Path(folder).glob("*.[jJ][pP]*[gG]")):
            raise CameraMissing(f"{url}: the virtual camera needs a folder with a JPEG: gphoto2:virtual?photos=DIR")
        os.environ["VCAMERADIR"] = folder
    else:
        os.environ.pop("VCAMERADIR", None)
    try:
        return importlib.import_module("gphoto2")
    except ImportError:
        raise CameraFault(f"{url} needs gphoto2: pip install 'mien[node]'") from None


def is_raw(image_format: str) -> bool:
    """Whether a body set to this image format ("RAW + L", "NEF+Fine") keeps raw files."""
    return re.search(r"\b(raw|nef|nrw|cr2|cr3|arw|dng|raf|orf|rw2|c?raw)", image_format, re.IGNORECASE) is not None


def _same(one: str, other: str) -> bool:
    """Whether two spellings of a setting mean the same: "1/125", "0.0080s"; "f/8", "8"."""
    if one.strip().lower() == other.strip().lower():
        return True
    a, b = _number(one), _number(other)
    return a is not None and b is not None and abs(a - b) <= 0.02 * abs(b)


def _number(text: str) -> float | None:
    found = re.fullmatch(r"(?:f/?)?\s*(\d+(?:\.\d+)?)(?:/(\d+(?:\.\d+)?))?\s*s?", text.strip().lower())
    if found is None or (found[2] and float(found[2]) == 0):
        return None
    return float(found[1]) / float(found[2] or 1)
