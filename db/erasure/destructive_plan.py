"""Before something is destroyed: what would go, of how much, and whether a person has to type it.

A little goes without asking, as the weekly mending should. More than that is a sign that the store or the database is
not what it seems, so the number has to be typed. A yes is not enough: it is what people say to every question.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass

from db.errors import NotConfirmed

SHARE = 0.01  # of what there is
FEW = 5  # always few, unless they are more than a tenth


@dataclass(frozen=True)
class DestructiveEffect:
    """One kind of what a command would do."""

    what: str  # in words, as in 'files to the trash'
    number: int  # how many
    total: int  # ... of how many
    always: bool = False  # it has to be confirmed however few they are

    @property
    def is_small(self) -> bool:
        """Whether it may go on unasked."""
        return self.number == 0 or (not self.always and self.number <= self.allowed)

    @property
    def allowed(self) -> int:
        """How many may go unasked: a hundredth, a few if they are no more than a tenth, or one."""
        return max(1, int(self.total * SHARE), min(FEW, self.total // 10))

    def __str__(self) -> str:
        if self.total <= 1:
            return f"{self.number} {self.what}"
        return f"{self.number} {self.what} ({100 * self.number / self.total:.1f} % of {self.total})"


@dataclass(frozen=True)
class DestructivePlan:
    """What a command would destroy."""

    effects: tuple[DestructiveEffect, ...]
    again: str  # how to say so again, without the confirmation

    @property
    def is_small(self) -> bool:
        """Whether nothing of it needs to be confirmed."""
        return all(effect.is_small for effect in self.effects)

    @property
    def phrase(self) -> str:
        """What has to be typed: how much goes in all."""
        return str(sum(effect.number for effect in self.effects))

    @property
    def lines(self) -> list[str]:
        """What would be done, a line each."""
        return [str(effect) for effect in self.effects if effect.number]


Agreed = Callable[[DestructivePlan], None]


def small_only(plan: DestructivePlan) -> None:
    """Let a small plan pass. Raises NotConfirmed for any other."""
    if plan.is_small:
        return
    large = next(effect for effect in plan.effects if not effect.is_small)
    limit = "This goes with a confirmation alone."
    if not large.always:
        limit = (
            f"No more than {large.allowed} of {large.total} go unasked. Is this the right database, and is the whole"
        )
        limit += " store there?"
    raise NotConfirmed(
        "Nothing was changed. This would be done:\n"
        + "\n".join(f"  {line}" for line in plan.lines)
        + f"\n{limit} If it is meant:  {plan.again} --confirm {plan.phrase}"
    )


def typed(confirm: str | None) -> Agreed:
    """Judge plans by what was given as --confirm, or asked for at a terminal. Small ones pass."""

    def agreed(plan: DestructivePlan) -> None:
        if plan.is_small:
            return
        if confirm is None and sys.stdin is not None and sys.stdin.isatty():
            print("This would be done:", *(f"  {line}" for line in plan.lines), sep="\n", file=sys.stderr)
            print(f"Type {plan.phrase} to go on: ", end="", file=sys.stderr, flush=True)
            given: str | None = sys.stdin.readline().strip()
        else:
            given = confirm
        if given == plan.phrase:
            return
        if given:
            raise NotConfirmed(f"'{given}' is not {plan.phrase}, which is how much would go now. Nothing was changed")
        small_only(plan)

    return agreed
