"""Live view of a body over PTP by libgphoto2: one frame at a time, and the body as it was afterwards.

The first frame raises the mirror; it stays up until the setting `viewfinder` is set to 0 (`eosviewfinder` in older
versions of libgphoto2).  Some bodies refuse a release while their live view is on, others shoot with another lag.
"""

from collections.abc import Callable
from typing import Any

from camera_nodes.errors import CameraFault, NotPossible, NotSupported

Call = Callable[..., Any]  # any method of gphoto2.Camera by name, as PtpConnection.call
SWITCHES = ("viewfinder", "eosviewfinder")


def preview(call: Call, url: str) -> bytes:
    """One frame, a JPEG.  Raises NotPossible for a body without live view, CameraFault when it gives none."""
    try:
        file = call("capture_preview")
    except NotSupported:
        raise NotPossible(f"{url}: this body gives no live view over PTP") from None
    data = bytes(memoryview(file.get_data_and_size()))
    if not data.startswith(b"\xff\xd8"):
        raise CameraFault(f"{url}: its live view frame of {len(data)} bytes is no JPEG")
    return data


def end_preview(call: Call) -> None:
    """Let the mirror down where the body has a switch for it.  Raises CameraFault when it is not taken."""
    for name in SWITCHES:
        try:
            widget = call("get_single_config", name)
        except NotSupported:
            continue
        widget.set_value(0)
        call("set_single_config", name, widget)
        return
