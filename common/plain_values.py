"""Plain values: what JSON and TOML can say (texts, numbers, lists, tables by name)."""

from collections.abc import Mapping
from typing import Any

_TRUTHS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


def truth_value(value: Any) -> bool | None:
    """What a program or a hand meant by true, 1, 1.0, "True", "yes", "1" or their opposites; None for anything else."""
    if isinstance(value, bool):
        return value
    if isinstance(value, int | float) and value in (0, 1):
        return bool(value)
    return _TRUTHS.get(value.strip().lower()) if isinstance(value, str) else None


def without_none(value: Any) -> Any:
    """The same without the keys that have no value: TOML knows no null, and what is not set is not written."""
    if isinstance(value, Mapping):
        return {key: without_none(part) for key, part in value.items() if part is not None}
    return [without_none(part) for part in value] if isinstance(value, list | tuple) else value
