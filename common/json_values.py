"""JSON values: objects and lists, and what stands at their ends."""

from collections.abc import Callable, Mapping
from typing import Any


def map_leaves(value: Any, leaf: Callable[[Any], Any]) -> Any:
    """The same objects and lists (tuples become lists), with `leaf` of each value that is neither."""
    if isinstance(value, Mapping):
        return {key: map_leaves(part, leaf) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [map_leaves(part, leaf) for part in value]
    return leaf(value)
