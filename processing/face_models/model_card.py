"""A model's card: who is in it, how it was made, what it reaches, what it must not be used for. No subject is named."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

UNKNOWN = "not given"
ANY, OTHER = "any", "other ages"
LEAST_TOLD = 5  # members that a count of the card is of at least
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
    age: str | None = None  # a group of years, as releases have it: "25-34"
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


def grouped(members: Sequence[Member]) -> dict[str, dict[str, int]]:
    """Members by age group and gender, both by name, those who did not say last.

    No count is below LEAST_TOLD, or it is of all members: a smaller one could name somebody. Such genders of an age
    group stand together as ANY, such age groups as OTHER, and the smallest group with them until they are enough.
    """
    counts: dict[str, dict[str, int]] = {}
    for member in members:
        group = counts.setdefault(member.age or UNKNOWN, {})
        group[member.gender or UNKNOWN] = group.get(member.gender or UNKNOWN, 0) + 1
    told: dict[str, dict[str, int]] = {}
    pooled = 0
    rest = sorted(counts, key=lambda name: (-sum(counts[name].values()), name))
    while rest and (0 < pooled < LEAST_TOLD or sum(counts[rest[-1]].values()) < LEAST_TOLD):
        pooled += sum(counts[rest.pop()].values())
    for name in sorted(rest, key=lambda name: (name == UNKNOWN, name)):
        genders = counts[name]
        if min(genders.values()) < LEAST_TOLD:
            genders = {ANY: sum(genders.values())}
        told[name] = dict(sorted(genders.items(), key=lambda item: (item[0] == UNKNOWN, item[0])))
    return told | ({OTHER: {ANY: pooled}} if pooled else {})


def members_from_json(said: Mapping[str, Any]) -> tuple[Member, ...]:
    """The members of {"members": [{"code", "age", "gender"}]}. Raises KeyError and TypeError for anything else."""

    def text(value: Any) -> str | None:
        return None if value is None else str(value)

    return tuple(Member(str(m["code"]), text(m["age"]), text(m["gender"])) for m in said["members"])


def card_text(name: str, version: int, card: ModelCard) -> str:
    """The card for people, Markdown."""
    genders = sorted({g for counts in card.groups.values() for g in counts}, key=lambda g: (g == UNKNOWN, g))
    rows = {group: " | ".join(str(counts.get(g, 0)) for g in genders) for group, counts in card.groups.items()}
    lines = [
        f"# Face model {name}, version {version}",
        "",
        f"A statistical model of the faces of {card.members} people: identity and expression to a mesh in millimetres.",
        "Bilinear model of FaceScape (TPAMI 2023, section 4.1), after Vlasic et al. 2005 and Cao et al. 2013.",
        "",
        "## Who is in it",
        "",
        f"{card.members} people. Nobody is named here. From a studio's records Mien takes only those who",
        "agreed to be part of a statistical model; who builds one of folders answers for that.",
        "",
        "| age | " + " | ".join(genders) + " |",
        "|---|" + "---|" * len(genders),
        *(f"| {group} | {row} |" for group, row in rows.items()),
        "",
        "A face unlike these is represented worse: look at the table before you judge a fit.",
        "",
        "## How it was made",
        "",
        *(f"- {key.replace('_', ' ')}: {_said(value)}" for key, value in card.method.items()),
        "",
        "## What was measured",
        "",
        *(f"- {key.replace('_', ' ')}: {_said(value)}" for key, value in card.figures.items()),
        "",
        "## What it must not be used for",
        "",
        *(f"- {use};" for use in NOT_FOR[:-1]),
        f"- {NOT_FOR[-1]}.",
        "",
        "Whoever is in it may withdraw. The studio then publishes the next version without that person, and holders of",
        "this one are told to delete it.",
        "",
        "## Made of",
        "",
        *(f"- {what}: `{digest}`" for what, digest in card.lineage.items()),
        "",
    ]  # fmt: skip
    return "\n".join(lines)


def _said(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(_said(v) for v in value)
    return f"{value:.4g}" if isinstance(value, float) else str(value)
