"""A USB socket's own name: where a camera is plugged in, whatever number the bus gives it today.

`gphoto2:usb:001,004` holds until the camera sleeps, is switched off or unplugged: then it comes back as 001,005. The
socket keeps its place in the tree of hubs, "1-1.2": bus 1, socket 1 of the root, socket 2 of the hub there.
"""

import re
from pathlib import Path

from camera_nodes.errors import CameraMissing

PREFIX = "port:"
SOCKET = re.compile(r"\d{1,3}-\d{1,3}(\.\d{1,3}){0,5}")
SYSFS = Path("/sys/bus/usb/devices")


def is_socket(port: str) -> bool:
    """Whether this is "port:" and the name of a socket."""
    return port.startswith(PREFIX) and SOCKET.fullmatch(port[len(PREFIX) :]) is not None


def address_of(port: str, sysfs: Path = SYSFS) -> str:
    """libgphoto2's address ("usb:001,004") of what is plugged in at "port:1-1.2" now.  Raises CameraMissing."""
    name = port[len(PREFIX) :]
    try:
        bus = int((sysfs / name / "busnum").read_text())
        device = int((sysfs / name / "devnum").read_text())
    except (OSError, ValueError):
        raise CameraMissing(
            f"nothing answers at USB socket {name}: look at the cable and the camera's power"
            " (`mien doctor` lists the sockets with cameras)"
        ) from None
    return f"usb:{bus:03d},{device:03d}"
