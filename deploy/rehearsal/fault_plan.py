"""What goes wrong in a rehearsal, and when: drawn from a seed before it begins."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

Kind = Literal[
    "drop", "late", "asleep", "card", "battery", "disk", "computer", "consent", "defocus", "moved", "swapped"
]
KINDS: tuple[Kind, ...] = get_args(Kind)
#: Of one photograph or one take alone: they show in it, and the next is well again.
OF_A_TAKE: tuple[Kind, ...] = ("drop", "defocus", "moved")
#: A take that was fired under one of these should not be accepted as it is.
SPOILS: tuple[Kind, ...] = ("late", "defocus", "moved", "swapped")
TOLD: Mapping[Kind, str] = {
    "drop": "a photograph does not come",
    "late": "a shutter opens 60 ms late",
    "asleep": "a body falls asleep",
    "card": "a card is full",
    "battery": "a battery is at 3 %",
    "disk": "a node's disk is full",
    "computer": "a camera computer is off",
    "consent": "the subject withdraws the consent",
    "defocus": "a photograph is out of focus",
    "moved": "the subject sits too far aside",
    "swapped": "two bodies are exchanged",
}


@dataclass(frozen=True)
class Fault:
    """One thing that goes wrong."""

    kind: Kind
    fire: int  # it is there from this fire on, counted from 1
    cameras: tuple[str, ...]  # that it befalls; of the subject's faults none
    place: str  # where somebody puts it right: a camera, a computer, or the chair


def draw_faults(
    count: int, fires: int, computers: Mapping[str, Sequence[str]], frontal: Sequence[str], seed: int
) -> list[Fault]:
    """`count` faults over `fires` fires, no two at one fire; in their order.

    computers: the cameras of each. Of a subject that withdraws there is one at most, and it is the last.
    """
    draw = random.Random(f"rehearsal/{seed}")
    cameras = [camera for own in computers.values() for camera in own]
    kinds: list[Kind] = []
    while len(kinds) < count:
        kinds += draw.sample(KINDS, len(KINDS))
    kinds = kinds[:count]
    if "consent" in kinds:
        kinds = [kind for kind in kinds if kind != "consent"] + ["consent"]
    kinds += draw.choices([kind for kind in KINDS if kind != "consent"], k=count - len(kinds))
    kinds.sort(key=lambda kind: kind == "consent")
    spread = range(2, max(fires, count + 1) + 1)  # the first fire goes well, and cards hold one photograph
    return [
        _fault(kind, fire, computers, cameras, frontal, draw)
        for kind, fire in zip(kinds, sorted(draw.sample(spread, count)), strict=True)
    ]


def _fault(
    kind: Kind, fire: int, computers: Mapping[str, Sequence[str]], cameras: Sequence[str], frontal: Sequence[str],
    draw: random.Random,
) -> Fault:  # fmt: skip
    if kind == "computer":
        computer = draw.choice(sorted(computers))
        return Fault(kind, fire, tuple(computers[computer]), computer)
    if kind in ("moved", "consent"):
        return Fault(kind, fire, (), "chair")
    if kind == "swapped":
        two = tuple(draw.sample(list(cameras), 2))
        return Fault(kind, fire, two, two[0])
    camera = draw.choice(list(frontal) if kind == "defocus" and frontal else list(cameras))
    return Fault(kind, fire, (camera,), camera)
