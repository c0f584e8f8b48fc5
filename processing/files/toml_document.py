"""TOML files of a calibration: board.toml and the rig file."""

from pathlib import Path
from typing import Any

from common.bounded import json_toml
from processing.files.calibration_errors import CalibrationError


def read_toml(path: Path) -> dict[str, Any]:
    """Raises CalibrationError naming the file."""
    try:
        return json_toml.read_toml(path)
    except OSError as error:
        raise CalibrationError(f"{path} cannot be read: {error.strerror or error}") from None
    except ValueError as error:
        raise CalibrationError(f"{path} is not valid TOML: {error}") from None
