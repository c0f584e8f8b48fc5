"""What can be wrong with the data the farm is given. Each message says what, which and what to do."""

from typing import ClassVar


class DataError(Exception):
    """The data cannot be used as they are."""

    exit_code: ClassVar[int] = 4


class TakeError(DataError):
    """A take folder, its params.json or its photographs cannot be used."""


class MeshError(DataError):
    """A mesh file or a mesh cannot be used."""


class ShapeError(DataError):
    """An array has another shape than the one asked for."""

    def __init__(self, what: str, came: tuple[int, ...], wanted: str) -> None:
        super().__init__(f"{what} has shape {came}; wanted {wanted}")


class ReconstructionError(DataError):
    """These photographs and cameras do not make a scan."""


class DeviceUnavailable(DataError):
    """This machine lacks the device that was asked for, or its driver."""


class NoFace(DataError):
    """No face was found where one was needed."""
