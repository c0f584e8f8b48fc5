"""TOML files of a calibration: board.toml and the rig file."""

import tomllib
from pathlib import Path
from typing import Any

from processing.calibration.errors import CalibrationError


def read_toml(path: Path) -> dict[str, Any]:
    """Raises CalibrationError naming the file."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise CalibrationError(f"{path} cannot be read: {error.strerror or error}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise CalibrationError(f"{path} is not valid TOML: {error}") from None
