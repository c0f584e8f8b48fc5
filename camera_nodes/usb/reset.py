"""One USB socket is reset, or its power is cut and given again, without touching what is plugged in beside it.

The reset is the kernel's own (USBDEVFS_RESET, Linux' usbdevice_fs.h): the device keeps its place and is set up anew.
Power is switched by `uhubctl` (https://github.com/mvp/uhubctl), for hubs that switch each socket by itself.
"""

import fcntl
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from camera_nodes.errors import CameraFault, NotPossible
from camera_nodes.usb import port as usb_port

DEVFS = Path("/dev/bus/usb")
MODEL = Path("/sys/firmware/devicetree/base/model")
USBDEVFS_RESET = ord("U") << 8 | 20  # _IO('U', 20)
OFF_S = 3  # without power, so that a body notices
_HUB_CLASS = "09"
_PATIENCE_S = 30.0
_MOST_PORTS = 9  # uhubctl reads "-p 10" as the sockets 1 and 0
_BUS_NUMBER = re.compile(r"usb:(\d{1,3}),(\d{1,3})")


@dataclass(frozen=True)
class UsbTree:
    """Where this machine's USB devices are told of and opened."""

    sysfs: Path = usb_port.SYSFS  # the kernel's tree of devices
    devfs: Path = DEVFS  # files that open them
    model: Path = MODEL  # what computer this is
    ioctl: Callable[[int, int, int], object] = fcntl.ioctl  # (descriptor, request, argument)


def reset(port: str, tree: UsbTree | None = None) -> str:
    """Reset the device at `port` ("port:1-1.2", "usb:001,004"); says what was done.

    Raises NotPossible where no such address can be reset, CameraMissing when nothing is plugged in there, CameraFault
    when the kernel or the permissions refuse.
    """
    tree = tree or UsbTree()
    bus, device, name = _device(port, tree)
    _require_no_hub(name, tree)
    path = tree.devfs / f"{bus:03d}" / f"{device:03d}"
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    except PermissionError:
        raise CameraFault(f"{path} may not be opened by this user: see the udev rules of a camera computer") from None
    except OSError as error:
        raise CameraFault(f"{path} cannot be opened: {error.strerror}") from None
    try:
        tree.ioctl(descriptor, USBDEVFS_RESET, 0)
    except OSError as error:
        raise CameraFault(f"the kernel could not reset {name} ({path}): {error.strerror}") from None
    finally:
        os.close(descriptor)
    return f"after a reset of USB socket {name} ({path})"


def power_cycle(port: str, tree: UsbTree | None = None) -> str:
    """Cut the power of the socket "port:1-1.2" for OFF_S and give it again; says what was done.

    Raises NotPossible where the address is no socket, uhubctl is not installed or the hub cannot switch it alone;
    CameraFault when uhubctl fails.
    """
    tree = tree or UsbTree()
    if not usb_port.is_socket(port):
        raise NotPossible(
            f"{port or 'the address'!r} names no USB socket: power is switched for addresses as 'gphoto2:port:1-1.2'"
        )
    name = port[len(usb_port.PREFIX) :]
    hub, number = hub_and_port(name)
    if int(number) > _MOST_PORTS:
        raise NotPossible(f"socket {number} of hub {hub}: uhubctl names sockets up to {_MOST_PORTS} alone")
    _require_no_hub(name, tree)
    _require_own_switch(hub, tree)
    program = shutil.which("uhubctl")
    if program is None:
        raise NotPossible("uhubctl is not installed on the camera's computer: apt install uhubctl")
    command = [program, "-l", hub, "-p", number, "-a", "cycle", "-d", str(OFF_S)]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=_PATIENCE_S, check=False
        )
    except subprocess.TimeoutExpired:
        raise CameraFault(f"uhubctl did not end within {_PATIENCE_S:.0f} s") from None
    except OSError as error:
        raise CameraFault(f"{program} cannot be run: {error.strerror}") from None
    said = " ".join(done.stderr.split())[:400]
    if re.search(r"No compatible (smart hubs|devices) detected", done.stderr):
        denied = " (or this user may not switch it: see the udev rules)" if "permission" in done.stderr else ""
        raise NotPossible(f"hub {hub} does not switch the power of a single socket{denied}")
    if done.returncode != 0:
        raise CameraFault(f"uhubctl failed ({done.returncode}): {said or 'it says nothing'}")
    if "Sent power off request" not in done.stdout or "Sent power on request" not in done.stdout:
        raise CameraFault(f"uhubctl did not switch socket {number} of hub {hub}: {said or 'it says nothing'}")
    return f"after {OFF_S} s without power at socket {number} of hub {hub}"


def hub_and_port(name: str) -> tuple[str, str]:
    """The hub's location and the socket's number there: "1-1.4.2" -> "1-1.4", "2"; at the root "1-2" -> "1", "2"."""
    hub, separator, number = name.rpartition(".")
    if not separator:
        hub, _, number = name.partition("-")
    return hub, number


def _device(port: str, tree: UsbTree) -> tuple[int, int, str]:
    """Bus and device number now, and the socket's name.  Raises NotPossible, CameraMissing."""
    if usb_port.is_socket(port):
        found = _BUS_NUMBER.fullmatch(usb_port.address_of(port, tree.sysfs))
        assert found is not None
        return int(found[1]), int(found[2]), port[len(usb_port.PREFIX) :]
    found = _BUS_NUMBER.fullmatch(port)
    if found is None:
        raise NotPossible(f"{port or 'the address'!r} names no USB socket: it cannot be told which device to reset")
    return int(found[1]), int(found[2]), _socket_of(int(found[1]), int(found[2]), tree)


def _socket_of(bus: int, device: int, tree: UsbTree) -> str:
    for folder in tree.sysfs.glob(f"{bus}-*"):
        if usb_port.SOCKET.fullmatch(folder.name) and _read(folder / "devnum") == str(device):
            return folder.name
    return f"{bus:03d},{device:03d}"


def _require_no_hub(name: str, tree: UsbTree) -> None:
    if _read(tree.sysfs / name / "bDeviceClass") == _HUB_CLASS:
        raise NotPossible(f"a hub is plugged in at {name}, not a camera: everything behind it would be reset")


def _require_own_switch(hub: str, tree: UsbTree) -> None:
    """The sockets of a Raspberry Pi share one switch, though its hub says that each has its own (uhubctl's README)."""
    model = _read(tree.model).rstrip("\0")
    if not model.startswith("Raspberry Pi"):
        return
    own = "-" not in hub or (hub == "1-1" and not model.startswith("Raspberry Pi 5"))
    if own:
        raise NotPossible(
            f"the sockets of a Raspberry Pi share one power switch (hub {hub}): its other cameras would lose power too."
            " Put the cameras on a hub that switches each socket"
        )


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""
