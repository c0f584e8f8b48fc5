"""JSON Merge Patch (RFC 7396): what turns one JSON object into another. Values are never null, since null deletes."""

from typing import Any


def make_patch(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    """The smallest patch with apply_patch(before, patch) == after; empty when nothing changed."""
    patch: dict[str, Any] = {key: None for key in before if key not in after}
    for key, value in after.items():
        there = before.get(key)
        if there is value or (there == value and key in before and _alike(there, value)):
            continue
        if isinstance(value, dict) and isinstance(there, dict):
            patch[key] = make_patch(there, value)
        else:
            patch[key] = value
    return patch


def apply_patch(before: Any, patch: Any) -> Any:
    """The value after the patch; `before` stays as it is."""
    if not isinstance(patch, dict):
        return patch
    after = dict(before) if isinstance(before, dict) else {}
    for key, value in patch.items():
        if value is None:
            after.pop(key, None)
        else:
            after[key] = apply_patch(after.get(key), value)
    return after


def _alike(one: Any, other: Any) -> bool:
    """Whether equal values are the same JSON: True == 1 in Python."""
    if isinstance(one, bool) or isinstance(other, bool):
        return type(one) is type(other)
    if isinstance(one, dict):
        return all(_alike(value, other[key]) for key, value in one.items())
    if isinstance(one, list):
        return all(map(_alike, one, other))
    return True
