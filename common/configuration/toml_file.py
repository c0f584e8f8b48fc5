"""TOML files that a person writes for the studio."""

from pathlib import Path
from typing import Any

from common.bounded import json_toml
from controller.errors import ConfigurationError


def read_toml(path: Path) -> dict[str, Any]:
    """Raises ConfigurationError naming the file."""
    try:
        return json_toml.read_toml(path)
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read: {error.strerror or error}") from error
    except ValueError as error:
        raise ConfigurationError(f"{path}: not valid TOML: {error}") from error
