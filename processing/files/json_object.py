"""JSON files that hold one object: FaceScape's params.json, and the project's own of the same shape."""

from pathlib import Path
from typing import Any

from common.bounded.json_toml import read_json
from processing.errors import DataError

CAMERA_KEYS = "'0_K', '0_Rt', ..."  # of FaceScape's params.json


def read_object(path: Path, problem: type[DataError], *, what: str = "", keys: str = "") -> dict[str, Any]:
    """The object. what: how messages call the file, such as "the rig"; keys: what is expected in it.

    Raises `problem` naming the file, and what it holds instead.
    """
    name = f"{what} {path}".strip()
    try:
        found = read_json(path)
    except OSError as error:
        raise problem(f"{name} cannot be read: {error.strerror or error}") from None
    except ValueError as error:
        raise problem(f"{name} cannot be read as JSON: {error}") from None
    if not isinstance(found, dict):
        raise problem(f"{name} holds a {type(found).__name__}; wanted an object{f' with keys {keys}' if keys else ''}")
    return found
