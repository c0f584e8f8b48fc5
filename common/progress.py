"""How a long computation says how far it is, without knowing who listens."""

from collections.abc import Callable
from typing import Protocol

#: Of work that is counted: how many are done, how many there are.
CountProgress = Callable[[int, int], None]
#: Of work in several parts that are counted: the part's name, how many are done of it, how many there are.
StepProgress = Callable[[str, int, int], None]


class Progress(Protocol):
    def __call__(self, done: float, message: str) -> None:
        """done: the share finished, in [0, 1]. message: what is being done, for a person."""


def no_progress(done: float, message: str) -> None:
    """A listener that does not care."""


def part(progress: Progress, start: float, end: float) -> Progress:
    """A listener for one part of a computation: its [0, 1] becomes [start, end] of the whole."""

    def report(done: float, message: str) -> None:
        progress(start + (end - start) * min(max(done, 0.0), 1.0), message)

    return report
