"""The score of a rehearsal."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from deploy.rehearsal.fault_plan import TOLD, Fault


@dataclass
class FaultStory:
    """What became of a fault. Times in seconds since the rehearsal began; None: it did not come to that."""

    fault: Fault
    began_s: float | None = None
    noticed_s: float | None = None  # somebody did something about it
    over_s: float | None = None  # it was put right, or passed by itself
    take: str = ""  # of a fault that shows in one take: its code

    @property
    def reaction_s(self) -> float | None:
        return None if self.began_s is None or self.noticed_s is None else self.noticed_s - self.began_s


@dataclass(frozen=True)
class RehearsalScore:
    """How it went."""

    seconds: float
    expressions: int  # that the session asks for
    kept: int  # takes that are accepted
    fired: int
    stories: tuple[FaultStory, ...]
    false_accepts: tuple[str, ...]  # takes that were accepted although something had spoilt them
    false_retakes: tuple[str, ...]  # takes that were taken again although nothing was wrong with them
    commands: int  # that changed something, from the console or typed
    walks: int  # to a place, to put something right
    needless_walks: int  # where nothing was wrong

    def data(self) -> dict[str, Any]:
        """For programs."""
        faults = [
            asdict(story.fault)
            | {"began_s": story.began_s, "reaction_s": story.reaction_s, "over_s": story.over_s, "take": story.take}
            for story in self.stories
        ]
        return {key: value for key, value in asdict(self).items() if key != "stories"} | {"faults": faults}

    def rows(self) -> list[list[object]]:
        """A row a fault that came."""
        return [
            [
                story.fault.fire,
                TOLD[story.fault.kind],
                ", ".join(story.fault.cameras[:4]) or story.fault.place,
                story.take,
                "not noticed" if story.reaction_s is None else f"{story.reaction_s:.0f} s",
            ]
            for story in self.stories
            if story.began_s is not None
        ]

    def lines(self) -> list[str]:
        came = [story for story in self.stories if story.began_s is not None]
        reactions = [story.reaction_s for story in came if story.reaction_s is not None]
        mean = f", after {sum(reactions) / len(reactions):.0f} s on average" if reactions else ""
        return [
            f"Takes kept       {self.kept} of {self.expressions} ({self.fired} fired)",
            f"Faults noticed   {len(reactions)} of {len(came)}{mean}",
            f"False accepts    {_named(self.false_accepts)}",
            f"False retakes    {_named(self.false_retakes)}",
            f"Commands         {self.commands}; {self.walks} walks, {self.needless_walks} of them for nothing",
            f"Minutes          {self.seconds / 60:.1f}",
        ]


def _named(takes: Sequence[str]) -> str:
    return f"{len(takes)} ({', '.join(takes)})" if takes else "none"
