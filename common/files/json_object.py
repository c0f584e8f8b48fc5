"""JSON files that hold one object, as params.json does."""

from pathlib import Path
from typing import Any

from common.bounded.json_toml import read_json
from common.bounded.limits import MAX_JSON_BYTES


def read_json_object(
    path: Path, problem: type[Exception], *, what: str = "", keys: str = "", most: int = MAX_JSON_BYTES
) -> dict[str, Any]:
    """The object. what: how messages call the file, such as "the rig"; keys: what is expected in it.

    Raises `problem` naming the file, and what it holds instead.
    """
    name = f"{what} {path}".strip()
    try:
        found = read_json(path, most)
    except OSError as error:
        raise problem(f"{name} cannot be read: {error.strerror or error}") from None
    except ValueError as error:
        raise problem(f"{name} cannot be read as JSON: {error}") from None
    if not isinstance(found, dict):
        with_keys = f" with keys {keys}" if keys else ""
        raise problem(f"{name} holds a {type(found).__name__}; wanted an object{with_keys}")
    return found
