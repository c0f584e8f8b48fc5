"""The lens of a body, moved over PTP by libgphoto2: once by the body's autofocus, or by a step.

`autofocusdrive` is a switch.  `manualfocusdrive` is a choice of "Near 1" to "Far 3" on Canon EOS bodies, which take it
in live view alone, and a range of motor steps on Nikon bodies, negative towards the near end.
"""

import time
from collections.abc import Callable
from typing import Any, Final

from camera_nodes.errors import NotPossible, NotSupported
from camera_nodes.wire import Drive

Call = Callable[..., Any]  # any method of gphoto2.Camera by name, as PtpConnection.call
AUTO: Final = "autofocusdrive"
BY_HAND: Final = "manualfocusdrive"
MOTOR_STEPS: Final = {1: 30, 2: 150, 3: 600}  # of a Nikon's motor, by how far it is asked to go
_FOCUS_S = 1.0  # an EOS body answers before its lens has come to rest


def move(call: Call, gp: Any, url: str, drive: Drive, step: int) -> str:
    """Move the lens; says what was done.  Raises NotPossible for a body without such a setting, CameraFault."""
    name = AUTO if drive == "auto" else BY_HAND
    try:
        widget = call("get_single_config", name)
    except NotSupported:
        raise NotPossible(f"{url}: its lens cannot be moved from here (it has no setting {name})") from None
    widget.set_value(1 if drive == "auto" else _value(widget, gp, url, drive, step))
    call("set_single_config", name, widget)
    time.sleep(_FOCUS_S)
    return "autofocus was started once: look at the picture" if drive == "auto" else f"moved {drive} by {step}"


def _value(widget: Any, gp: Any, url: str, drive: Drive, step: int) -> str | float:
    """What the setting takes for this way and step."""
    if widget.get_type() in (gp.GP_WIDGET_RADIO, gp.GP_WIDGET_MENU):
        wanted = f"{'Near' if drive == 'nearer' else 'Far'} {step}"
        choices = [str(widget.get_choice(index)) for index in range(widget.count_choices())]
        if wanted not in choices:
            raise NotPossible(f"{url}: {wanted!r} is not among {', '.join(choices[:24])}")
        return wanted
    low, high, _ = widget.get_range()
    return float(max(low, min(high, MOTOR_STEPS[step] * (-1 if drive == "nearer" else 1))))
