"""Live view of a body over PTP by libgphoto2: one frame at a time, and the body as it was afterwards.

The first frame raises the mirror; it stays up until the setting `viewfinder` is set to 0 (`eosviewfinder` in older
versions of libgphoto2).  Some bodies refuse a release while their live view is on, others shoot with another lag.
"""

import re
from collections.abc import Callable
from typing import Any

from camera_nodes.errors import CameraFault, NotPossible

Call = Callable[
    ..., Any
]  # any method of gphoto2.Camera by name; raises CameraFault, or GPhoto2Error where it is `bare`
SWITCHES = ("viewfinder", "eosviewfinder")
_BAD_PARAMETERS, _NOT_SUPPORTED = -2, -6  # GP_ERROR_...: a body without this setting, or without live view


def preview(call: Call, url: str) -> bytes:
    """One frame, a JPEG.  Raises NotPossible for a body without live view, CameraFault when it gives none."""
    try:
        file = call("capture_preview")
    except CameraFault as error:
        if code_of(error) == _NOT_SUPPORTED:
            raise NotPossible(f"{url}: this body gives no live view over PTP") from None
        raise
    data = bytes(memoryview(file.get_data_and_size()))
    if not data.startswith(b"\xff\xd8"):
        raise CameraFault(f"{url}: its live view frame of {len(data)} bytes is no JPEG")
    return data


def end_preview(call: Call) -> None:
    """Let the mirror down where the body has a switch for it.  Raises CameraFault when it is not taken."""
    for name in SWITCHES:
        try:
            widget = call("get_single_config", name)
        except CameraFault as error:
            if code_of(error) in (_BAD_PARAMETERS, _NOT_SUPPORTED):
                continue
            raise
        widget.set_value(0)
        call("set_single_config", name, widget)
        return


def code_of(error: CameraFault) -> int | None:
    """libgphoto2's code behind an error: of the GPhoto2Error that it was made from, or as written in its words."""
    code = getattr(error.__cause__ or error.__context__, "code", None)
    if isinstance(code, int):
        return code
    found = re.search(r"\[(-\d+)\]", str(error))
    return int(found[1]) if found else None
