"""Fields of log records: which camera, node, take, fire and stage a record is about, and how records are written.

log.warning("%s: %s", camera, why, extra={"camera": camera})
with about(take=take, fire=fire_id): ...     # of every record of this thread meanwhile
"""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from enum import StrEnum

FIELDS = ("camera", "node", "take", "fire", "stage")  # that a record may carry beside its text
_scope: ContextVar[Mapping[str, str]] = ContextVar("mien_log_fields", default={})  # noqa: B039 - never changed


class LogFormat(StrEnum):
    """How log lines are written."""

    TEXT = "text"
    JSON = "json"


@contextmanager
def about(**fields: str) -> Iterator[None]:
    """What this thread logs meanwhile is about these FIELDS."""
    before = _scope.set({**_scope.get(), **fields})
    try:
        yield
    finally:
        _scope.reset(before)


def fields_of(record: logging.LogRecord) -> dict[str, str]:
    """What a record is about, by FIELDS; what it says itself goes before what its thread is at."""
    found = {name: getattr(record, name, None) or _scope.get().get(name) for name in FIELDS}
    return {name: str(value) for name, value in found.items() if value}
