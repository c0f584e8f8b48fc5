"""Faults, the bar and readiness as they are told: plain values, and how programs read them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import IntEnum
from typing import Any, Literal

Tone = Literal["good", "wait", "look", "stop", "lost"]
Shape = Literal["circle", "bars", "triangle", "octagon"]


class Weight(IntEnum):
    """What a fault stands in the way of; the worst first."""

    FIRE = 0  # a fire: it would be refused, or come to nothing
    TAKE = 1  # the last take: it failed, or deserves a look before it is kept
    READY = 2  # READY: a fire goes out all the same, but something does not hold, or nobody knows whether it does
    NOTE = 3  # nothing; worth knowing


@dataclass(frozen=True)
class Remedy:
    """What to do about a fault: in words, by a button of the console where it has one, and by a command."""

    text: str  # for the operator
    action: str = ""  # of the console: preflight, recover, aside, back, retake, accept, ...; "" for none
    cameras: tuple[str, ...] = ()  # that the action is about; empty: of the whole rig or session
    command: str = ""  # for scripts and terminals; "" for none

    def data(self) -> dict[str, Any]:
        """For programs; what is empty is left out."""
        values = {"text": self.text, "action": self.action, "cameras": list(self.cameras), "command": self.command}
        return {key: value for key, value in values.items() if value}


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong at one place, however many cameras it concerns."""

    id: str  # cause and place: the same as long as it lasts
    cause: str  # one of causes.CAUSES
    weight: Weight  # what it stands in the way of
    text: str  # a sentence
    short: str  # a few words, for the bar
    place: str = ""  # the computer, hub or camera; "" for the studio as a whole
    cameras: tuple[str, ...] = ()  # all that it concerns, in order of view
    remedy: Remedy | None = None  # what to do
    rank: int = 0  # 0 is the worst of those told together
    since: datetime | None = None  # UTC, when it was seen first

    @property
    def level(self) -> str:
        """fault or warning, as the preflight has it."""
        return "fault" if self.weight in (Weight.FIRE, Weight.TAKE) else "warning"

    def data(self) -> dict[str, Any]:
        """For programs; what is not known is left out."""
        values: dict[str, Any] = {
            "level": self.level,
            "cause": self.cause,
            "place": self.place,
            "text": self.text,
            "cameras": list(self.cameras),
            "rank": self.rank,
        }
        if self.remedy is not None:
            values["remedy"] = self.remedy.data()
        if self.since is not None:
            values["since"] = self.since.isoformat()
        return values


@dataclass(frozen=True)
class Bar:
    """What can be read from three metres."""

    word: str  # as in "READY"
    text: str  # what goes with it, as in "pi-05 off (4 cameras)"; may be empty
    tone: Tone  # its colour
    shape: Shape  # for whom colours say nothing

    def line(self) -> str:
        """The bar in a terminal."""
        return f"{self.word}: {self.text}" if self.text else self.word

    def data(self) -> dict[str, str]:
        """For programs."""
        return {"word": self.word, "text": self.text, "tone": self.tone, "shape": self.shape}


@dataclass(frozen=True)
class Readiness:
    """The judgement of one moment."""

    bar: Bar
    faults: tuple[Fault, ...]  # the worst first

    @property
    def ready(self) -> bool:
        """Whether everything holds that a fire needs."""
        return self.bar.word == "READY"

    def data(self) -> dict[str, Any]:
        """For programs: the bar, and the faults by id."""
        return {"bar": self.bar.data(), "faults": {fault.id: fault.data() for fault in self.faults}}


def since_when(readiness: Readiness, known: Mapping[str, datetime], now: datetime) -> Readiness:
    """The same with the moment at which each fault was seen first. known: by id, of those that lasted until now."""
    faults = tuple(replace(fault, since=known.get(fault.id, now)) for fault in readiness.faults)
    return replace(readiness, faults=faults)


def ranked(faults: Sequence[Fault], order: Sequence[str]) -> tuple[Fault, ...]:
    """The worst first: by weight, then as `order` names the causes, then the larger ones."""
    place = {cause: number for number, cause in enumerate(order)}
    found = sorted(faults, key=lambda fault: (fault.weight, place[fault.cause], -len(fault.cameras), fault.id))
    return tuple(replace(fault, rank=number) for number, fault in enumerate(found))
