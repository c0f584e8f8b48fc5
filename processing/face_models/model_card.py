"""A model's card: who is in it, how it was made, what it reaches, what it must not be used for. No subject is named."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

AGE_GROUPS = ((0, 17), (18, 29), (30, 44), (45, 59), (60, 150))
UNKNOWN = "not given"
NOT_FOR = (
    "identification or verification of persons, or deciding whether two pictures show the same person",
    "surveillance, tracking, or inferring origin, health, emotion or character of a person",
    "making a person appear to say or do what they did not (deception), or imagery of a person without consent",
    "recovering or approximating a member of the study from its parameters",
)


@dataclass(frozen=True)
class Member:
    """What a model's card counts of one member. The code stays in the studio."""

    code: str
    age: int | None = None
    gender: str | None = None


@dataclass(frozen=True)
class ModelCard:
    """What stands beside a model, as JSON has it."""

    members: int  # subjects in it
    groups: Mapping[str, Mapping[str, int]] = field(default_factory=dict)  # age group -> gender -> members
    method: Mapping[str, Any] = field(default_factory=dict)  # parameters and sources of the making
    figures: Mapping[str, Any] = field(default_factory=dict)  # what the making measured, units in the names
    lineage: Mapping[str, str] = field(default_factory=dict)  # what it was made of: a digest each, in fixed order

    def as_json(self) -> dict[str, Any]:
        return {
            "members": self.members,
            "groups": {group: dict(counts) for group, counts in self.groups.items()},
            "method": dict(self.method),
            "figures": dict(self.figures),
            "not_for": list(NOT_FOR),
            "lineage": dict(self.lineage),
        }

    @staticmethod
    def from_json(said: Mapping[str, Any]) -> "ModelCard":
        """Raises KeyError, TypeError and ValueError for what `as_json` did not make."""
        groups = {str(g): {str(k): int(n) for k, n in counts.items()} for g, counts in said["groups"].items()}
        lineage = {str(k): str(v) for k, v in said["lineage"].items()}
        return ModelCard(int(said["members"]), groups, dict(said["method"]), dict(said["figures"]), lineage)


def age_group(age: int | None) -> str:
    """The group of an age in years."""
    for low, high in AGE_GROUPS:
        if age is not None and low <= age <= high:
            return f"{low}-{high}" if high < 150 else f"{low} and older"
    return UNKNOWN


def grouped(members: Sequence[Member]) -> dict[str, dict[str, int]]:
    """Members by age group and gender, in the order of AGE_GROUPS, genders by name."""
    counts: dict[str, dict[str, int]] = {}
    for group in [*(age_group(low) for low, _ in AGE_GROUPS), UNKNOWN]:
        genders = sorted((m.gender or UNKNOWN) for m in members if age_group(m.age) == group)
        if genders:
            counts[group] = {gender: genders.count(gender) for gender in dict.fromkeys(genders)}
    return counts
