"""Plain values: what JSON and TOML can say (texts, numbers, lists, tables by name)."""

from collections.abc import Mapping
from typing import Any


def without_none(value: Any) -> Any:
    """The same without the keys that have no value: TOML knows no null, and what is not set is not written."""
    if isinstance(value, Mapping):
        return {key: without_none(part) for key, part in value.items() if part is not None}
    return [without_none(part) for part in value] if isinstance(value, list | tuple) else value
