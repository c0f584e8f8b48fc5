"""Result of a fire, as the studio answers it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from controller.firing.fire_timing import Skew
from db.models import TakeState


@dataclass(frozen=True)
class TakeResult:
    """What became of a fire. What its photographs show is looked at meanwhile: see Studio.review()."""

    take: str  # its code
    session: str  # its code
    expression: str  # its name
    position: int  # of the expression in its protocol
    attempt: int  # counts from 1
    state: str  # a TakeState's value
    frames: int  # photographs that are filed
    cameras: int  # how many took part
    skew: Skew  # milliseconds
    faults: Mapping[str, str] = field(default_factory=dict)  # camera -> why the take was not kept
    flags: tuple[str, ...] = ()  # kept, but over a limit: look again
    advice: Mapping[str, str] = field(default_factory=dict)  # camera -> what is odd, and spoils nothing
    warnings: Mapping[str, str] = field(default_factory=dict)  # camera -> what it could not do as asked, and fired
    message: str = ""  # for the operator, with what to do
    aside: Mapping[str, str] = field(default_factory=dict)  # cameras that took no part -> why

    @property
    def kept(self) -> bool:
        return self.state == TakeState.CAPTURED.value

    @property
    def coming_in(self) -> bool:
        """Fired, and its photographs are on their way: look again."""
        return self.state == TakeState.FIRED.value
