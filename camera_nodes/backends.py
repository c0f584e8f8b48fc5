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

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar
from urllib.parse import parse_qsl

from camera_nodes.camera import Camera, ShutterRelease
from camera_nodes.camera_models.models import load
from camera_nodes.errors import BadAddress
from camera_nodes.usb.port import is_socket
from common.configuration.loader import Wording, from_table
from common.configuration.suggestions import nearest

_T = TypeVar("_T")
_WORDING = Wording(known="known: {known}", value="{key} is {value!r}, not of type {wanted}")
_BACKENDS = ("sim", "gphoto2")
_RELEASES = ("gpio", "sim")
_PORT = re.compile(
    r"usb:\d{3},\d{3}|ptpip:[^\s:,/?]+(:\d{1,5})?"
)  # "usb:" or "ptpip:" alone would be whichever is first


def open_camera(url: str, release: str = "") -> Camera:
    """The camera at `url`, opened.  Raises BadAddress for a malformed one, CameraMissing when nothing answers."""
    camera = make_camera(url, release)
    camera.open()
    return camera


def make_camera(url: str, release: str = "") -> Camera:
    """The camera at `url`, released by `release` or by itself, not yet opened.

    Raises BadAddress naming the key and the one that was likely meant.
    """
    camera = _make(url)
    if release:
        camera.release_by = make_release(release)
    return camera


def load_model_overrides(camera: Camera, file: Path | None) -> None:
    """Lay the operator's file of camera models over Mien's table, for a camera that goes by it.  Raises BadSettings."""
    load(file)
    if hasattr(camera, "models_file"):
        camera.models_file = file


def make_release(url: str) -> ShutterRelease:
    """What releases a shutter, not yet opened.  Raises BadAddress."""
    backend, separator, rest = url.partition(":")
    if not separator or backend not in _RELEASES:
        raise BadAddress(
            f"{url!r} is no address of a release: it begins with {_or(_RELEASES)}{_meant(backend, _RELEASES)};"
            " leave it empty to release by PTP"
        )
    if backend == "sim":
        from camera_nodes.sim_camera import SimRelease, SimReleaseOptions

        return SimRelease(parse_options(SimReleaseOptions, rest, url))
    from camera_nodes.gpio_release import GpioOptions, GpioRelease

    chip, _, query = rest.partition("?")
    options = parse_options(GpioOptions, query, url)
    if not chip.startswith("/") or not options.shutter:
        raise BadAddress(f"{url!r}: a wired release names its chip and its lines: gpio:/dev/gpiochip0?shutter=27")
    return GpioRelease(url, chip, options)


def _make(url: str) -> Camera:
    backend, separator, rest = url.partition(":")
    if not separator or backend not in _BACKENDS:
        raise BadAddress(f"{url!r} is no camera address: it begins with {_or(_BACKENDS)}{_meant(backend, _BACKENDS)}")
    if backend == "sim":
        from camera_nodes.sim_camera import SimCamera, SimOptions

        return SimCamera(url, parse_options(SimOptions, rest, url))
    from camera_nodes.gphoto_camera import GphotoCamera, GphotoOptions

    port, _, query = rest.partition("?")
    if port not in ("", "virtual") and not _PORT.fullmatch(port) and not is_socket(port):
        raise BadAddress(
            f"{url!r}: the port is 'port:1-1.2', 'usb:BUS,DEVICE', 'ptpip:HOST' or 'virtual', not {port!r}"
        )
    return GphotoCamera(url, port, parse_options(GphotoOptions, query, url))


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


def _meant(given: str, known: Sequence[str]) -> str:
    near = nearest(given, known)
    return f" (did you mean {near!r}?)" if near is not None else ""


def _or(names: tuple[str, ...]) -> str:
    return " or ".join(f"'{name}:'" for name in names)
