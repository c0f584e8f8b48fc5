"""Errors of a rig's calibration. Each message names the cameras, poses or files at fault."""

from processing.errors import DataError


class CalibrationError(DataError):
    """The photographs of the board, the board's description or a calibration file cannot be used."""


class NotLinked(CalibrationError):
    """Some cameras cannot be placed relative to the others."""
