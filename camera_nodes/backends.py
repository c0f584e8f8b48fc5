"""A camera's address (URL) and the camera behind it.

sim:lag_ms=58&jitter_ms=0.3&seed=7            simulated, keys of SimOptions
gphoto2:port:1-1.2                            the body in this USB socket (`mien doctor` lists them)
gphoto2:usb:001,004                           the body with this bus number, until it is unplugged or sleeps
gphoto2:                                      the only body on USB that there is
gphoto2:ptpip:10.0.0.21                       the body at this address of the network, by PTP/IP
gphoto2:virtual?photos=DIR                    the virtual PTP camera, serving a JPEG of DIR

What releases its shutter has an address of its own; without one the camera does it by itself (PTP for gphoto2).

gpio:/dev/gpiochip0?half=17&shutter=27&hot_shoe=22     wires, keys of GpioOptions
sim:lag_ms=58                                          simulated, keys of SimReleaseOptions
"""

import importlib
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Generic, TypeVar
from urllib.parse import parse_qsl

from camera_nodes.camera import Camera, ShutterRelease
from camera_nodes.camera_models.models import load
from camera_nodes.errors import BadAddress
from common.configuration.loader import Wording, from_table
from common.configuration.suggestions import nearest

_T = TypeVar("_T")
_WORDING = Wording(known="known: {known}", value="{key} is {value!r}, not of type {wanted}")


@dataclass(frozen=True)
class Backend(Generic[_T]):
    """What implements the addresses of one scheme; its module is imported when the first of them is made."""

    module: str  # full name
    kind: str  # its class, made of (url, place, options); without a place, of (url, options)
    options: str  # its dataclass of the keys of an address, each with a default
    has_place: bool = True  # SCHEME:PLACE?key=value; otherwise SCHEME:key=value

    def imported(self) -> ModuleType:
        """The module."""
        return importlib.import_module(self.module)

    def make(self, url: str) -> _T:
        """What is at `url`, not yet opened.  Raises BadAddress."""
        module, rest = self.imported(), url.partition(":")[2]
        place, _, query = rest.partition("?") if self.has_place else ("", "", rest)
        options = parse_options(getattr(module, self.options), query, url)
        kind: Callable[..., _T] = getattr(module, self.kind)
        return kind(url, place, options) if self.has_place else kind(url, options)


# By the scheme of their addresses.  tests/contract/ holds every one of them to what a camera and a release do.
CAMERAS: dict[str, Backend[Camera]] = {
    "sim": Backend("camera_nodes.sim_camera", "SimCamera", "SimOptions", has_place=False),
    "gphoto2": Backend("camera_nodes.gphoto_camera", "GphotoCamera", "GphotoOptions"),
}
RELEASES: dict[str, Backend[ShutterRelease]] = {
    "gpio": Backend("camera_nodes.gpio_release", "GpioRelease", "GpioOptions"),
    "sim": Backend("camera_nodes.sim_camera", "SimRelease", "SimReleaseOptions", has_place=False),
}


def open_camera(url: str, release: str = "") -> Camera:
    """The camera at `url`, opened.  Raises BadAddress for a malformed one, CameraMissing when nothing answers."""
    camera = make_camera(url, release)
    camera.open()
    return camera


def make_camera(url: str, release: str = "") -> Camera:
    """The camera at `url`, released by `release` or by itself, not yet opened.

    Raises BadAddress naming the key and the one that was likely meant.
    """
    camera = _backend(CAMERAS, url, "camera address").make(url)
    if release:
        camera.release_by = make_release(release)
    return camera


def load_model_overrides(camera: Camera, file: Path | None) -> None:
    """Lay the operator's file of camera models over Mien's table, for a camera that goes by it.  Raises BadSettings."""
    load(file)
    if hasattr(camera, "models_file"):
        camera.models_file = file


def preload(url: str) -> None:
    """Load what a camera at `url` needs, for the processes forked from this one.  A misspelt address loads nothing."""
    scheme, separator, _ = url.partition(":")
    if separator and (backend := CAMERAS.get(scheme)) is not None:
        getattr(backend.imported(), backend.kind).preload()


def make_release(url: str) -> ShutterRelease:
    """What releases a shutter, not yet opened.  Raises BadAddress."""
    return _backend(RELEASES, url, "address of a release", "; leave it empty to release by PTP").make(url)


def _backend(known: Mapping[str, Backend[_T]], url: str, what: str, otherwise: str = "") -> Backend[_T]:
    scheme, separator, _ = url.partition(":")
    if not separator or scheme not in known:
        near = nearest(scheme, known)
        meant = f" (did you mean {near!r}?)" if near is not None else ""
        begins = " or ".join(f"'{name}:'" for name in known)
        raise BadAddress(f"{url!r} is no {what}: it begins with {begins}{meant}{otherwise}")
    return known[scheme]


def parse_options(kind: type[_T], query: str, url: str) -> _T:
    """A dataclass of options from "key=value&key=value".  Raises BadAddress."""
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=True) if query else []
    except ValueError:
        raise BadAddress(f"{url!r}: {query!r} is not 'key=value&key=value'") from None
    values = dict(pairs)
    if len(values) < len(pairs):
        twice = next(key for key, count in Counter(key for key, _ in pairs).items() if count > 1)
        raise BadAddress(f"{url!r}: the key {twice!r} is given twice")
    made = from_table(kind, values, repr(url), BadAddress, wording=_WORDING, strict=False)
    for key in values:
        number = getattr(made, key)
        if isinstance(number, float) and not abs(number) < 1e12:
            raise BadAddress(f"{url!r}: {key} is {values[key]!r}, which is out of range")
    return made
