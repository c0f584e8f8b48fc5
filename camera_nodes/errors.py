"""What can go wrong beside a camera, named after its cause.

Every error carries the exit code of the command that meets it: 2 usage, 3 equipment.
"""

from collections.abc import Sequence


class EquipmentError(Exception):
    """Something beside the cameras does not work; the message says what, which, and what to do."""

    exit_code = 3


class NotArmed(EquipmentError):
    """An exposure was asked of a camera that is not armed."""


class NotIdle(EquipmentError):
    """The camera is in another state than the request needs."""


class NotExposed(EquipmentError):
    """A photograph was asked of a camera that holds none."""


class CameraClosed(EquipmentError):
    """The camera is not open."""


class CameraFault(EquipmentError):
    """The camera answered wrongly or not at all.  `code` is the short name the operator sees."""

    code = "camera_fault"


class CameraMissing(CameraFault):
    """No camera answers at the given address."""

    code = "camera_missing"


class CameraLost(CameraMissing):
    """The camera stopped answering in the middle of a request: what it was asked for may have been done."""


class CameraBusy(CameraFault):
    """The camera is busy; the same request may succeed later."""

    code = "camera_busy"


class NotSupported(EquipmentError):
    """The body has no such setting, file or ability."""


class CardFull(CameraFault):
    """The camera's card takes no more photographs."""

    code = "card_full"


class BatteryLow(CameraFault):
    """The battery is under the limit for arming."""

    code = "battery_low"


class ReleaseFault(CameraFault):
    """The wires that release the shutter cannot be used."""

    code = "release_fault"


class PhotoDamaged(CameraFault):
    """The photograph is on the body and is not whole, however often it is read.  `data`: what came last."""

    code = "photo_damaged"

    def __init__(self, message: str, data: bytes = b"") -> None:
        super().__init__(message)
        self.data = data


class FileGone(CameraFault):
    """The body has no such file, or no longer."""


class FileTruncated(CameraFault):
    """A file comes with another number of bytes than the body states.  `data`: what came last."""

    code = "photo_damaged"

    def __init__(self, message: str, data: bytes = b"") -> None:
        super().__init__(message)
        self.data = data


class FileNotDeleted(CameraFault):
    """The body does not delete a file."""

    code = "not_deleted"


class CaptureTarget(CameraFault):
    """The body would keep its photographs in memory and not on its card."""

    code = "capture_target"


class SettingsRefused(CameraFault):
    """The camera did not take a setting.  `differences` has one line a setting."""

    code = "settings_refused"

    def __init__(self, message: str, differences: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.differences = tuple(differences)


class NotPossible(EquipmentError):
    """This camera or this computer has no such thing; the message says what is missing."""


class TooLate(EquipmentError):
    """The moment of the exposure had passed; nothing was released."""


class BadAddress(EquipmentError):
    """A camera address (URL) is malformed."""

    exit_code = 2


class BadSettings(EquipmentError):
    """A node's settings file or flags are wrong."""

    exit_code = 2


class KeyRefused(EquipmentError):
    """A key file is missing, unreadable, malformed or open to others."""


class CodeRefused(EquipmentError):
    """A one-time code that is mistyped, used, expired, tried too often, or not this studio's."""


class ClockUnknown(EquipmentError):
    """The clock has no usable estimate yet."""


class SpoolError(EquipmentError):
    """The spool cannot take or give a photograph."""


class SpoolFull(SpoolError):
    """The disk beneath the spool is full."""


class WireError(EquipmentError):
    """A message was refused.  The connection and the service go on."""


class Malformed(WireError):
    """Not a message of this protocol: bad encoding, unknown kind, unknown or missing field, value out of range."""


class WrongVersion(WireError):
    """The other side speaks another version of the protocol."""


class Oversize(WireError):
    """The message is longer than its socket allows."""
