"""TOML files that a person writes for the studio."""

import tomllib
from pathlib import Path
from typing import Any

from controller.errors import ConfigurationError


def read_toml(path: Path) -> dict[str, Any]:
    """Raises ConfigurationError naming the file."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read: {error.strerror or error}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path}: not valid TOML: {error}") from error
