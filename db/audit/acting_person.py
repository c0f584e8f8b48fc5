"""The person for whom something is done, where the process serves several: a request of the console, a take it fired.

Set for what one request does; a thread that goes on with it takes it along by `carried`.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar, copy_context
from typing import TypeVar

T = TypeVar("T")
_PERSON: ContextVar[str | None] = ContextVar("mien_acting_person", default=None)


def acting_person() -> str | None:
    """Who acts here; None where nobody was named: the process acts for its own user."""
    return _PERSON.get()


@contextmanager
def acting_as(person: str | None) -> Iterator[None]:
    """Whatever is recorded within is this person's act. None: the process's own user's."""
    token = _PERSON.set(person)
    try:
        yield
    finally:
        _PERSON.reset(token)


def carried(work: Callable[..., T]) -> Callable[..., T]:
    """The same work, done as the person who acts now, in whichever thread it runs. Call it once at a time."""
    context = copy_context()

    def run(*given: object) -> T:
        return context.run(work, *given)

    return run
