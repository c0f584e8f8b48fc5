"""What became of a fire, as the studio answers it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

from controller.errors import TakeFailed
from controller.firing.fire_timing import Skew
from db.models import TakeState


@dataclass(frozen=True)
class TakeResult:
    """What became of a fire. `faults`: why it was not kept, by camera. `flags` and `advice`: kept, but look again.

    `cameras`: how many took part; `aside`: those that did not, and why.
    `warnings`: what a camera or its node could not do as it was asked to, and fired all the same.

    What its photographs show is looked at meanwhile: see Studio.reviewer.result().
    """

    take: str
    session: str
    expression: str
    position: int
    attempt: int
    state: str
    frames: int
    cameras: int
    skew: Skew
    faults: Mapping[str, str] = field(default_factory=dict)
    flags: tuple[str, ...] = ()
    advice: Mapping[str, str] = field(default_factory=dict)
    warnings: Mapping[str, str] = field(default_factory=dict)
    message: str = ""
    aside: Mapping[str, str] = field(default_factory=dict)

    @property
    def kept(self) -> bool:
        return self.state == TakeState.CAPTURED.value

    @property
    def coming_in(self) -> bool:
        """Fired, and its photographs are on their way: look again."""
        return self.state == TakeState.FIRED.value

    def require_kept(self) -> Self:
        """Itself, or TakeFailed with every camera that failed."""
        if not self.kept:
            raise TakeFailed(self.take, self.faults, self.message)
        return self
