"""Values for the page: what is not known is left out, since null deletes in a merge patch."""

from typing import Any


def known(**values: Any) -> dict[str, Any]:
    """These values without those that are None."""
    return {key: value for key, value in values.items() if value is not None}


def without_none(value: Any) -> Any:
    """A JSON value without None anywhere; entries of lists that are None are left out too."""
    if isinstance(value, dict):
        return {str(key): without_none(item) for key, item in value.items() if item is not None}
    if isinstance(value, list | tuple | set | frozenset):
        return [without_none(item) for item in value if item is not None]
    return value


def rounded(value: float | None, digits: int = 2) -> float | None:
    """A figure as it is shown, so that noise beyond what anybody reads changes nothing."""
    return None if value is None else round(value, digits)
