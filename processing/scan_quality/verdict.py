"""A verdict on what was made of a take: accepted, looked at by a person, or made anew; and why it is not better."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from processing.errors import DataError

Verdict = Literal["accept", "review", "redo"]
# From the first on a person looks, from the second on the take is made or processed anew.
Limits = tuple[float, float]


@dataclass(frozen=True)
class QualityReview:
    """What is said of a result, to a person and to the farm."""

    verdict: Verdict
    reasons: tuple[str, ...]  # why it is not better, the worst first
    figures: Mapping[str, Any]  # name with unit -> value


class Findings:
    """Figures held against their limits, one after the other; the worst of what is found decides."""

    def __init__(self) -> None:
        self._found: list[tuple[Verdict, str]] = []

    def add(self, verdict: Verdict, reason: str) -> None:
        self._found.append((verdict, reason))

    def at_most(self, value: float | None, limits: Limits, reason: str) -> None:
        """Note the reason where the value exceeds a limit; a value that is not known (None, NaN) exceeds none."""
        if value is not None and value > limits[0]:
            self.add("redo" if value > limits[1] else "review", reason)

    def at_least(self, value: float | None, limits: Limits, reason: str) -> None:
        """Note the reason where the value falls below a limit."""
        if value is not None and value < limits[0]:
            self.add("redo" if value < limits[1] else "review", reason)

    def review(self, figures: Mapping[str, Any]) -> QualityReview:
        """Nothing found is accepted."""
        ordered = sorted(self._found, key=lambda one: one[0] == "review")
        return QualityReview(ordered[0][0] if ordered else "accept", tuple(text for _, text in ordered), figures)


def check_rising(limits: Mapping[str, Limits], problem: type[DataError]) -> None:
    """Raises `problem`, naming the first of some limits that does not rise from 0."""
    for name, (review, redo) in limits.items():
        if not 0 <= review <= redo:
            raise problem(f"{name} rises from 0: (review, redo); it is ({review}, {redo})")
