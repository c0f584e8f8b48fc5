"""Names of rig shots: of a series' folder, of its poses, and of what is fired for one.

series   board-20261128T231644Z             a folder in HOME/rig-shots
pose     007, or frame                      a shot of it
fired    shot-board-20261128T231644Z-007    what the nodes are told in place of a take's code
"""

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Self, get_args

Kind = Literal["board", "colours", "test"]
KINDS: tuple[Kind, ...] = get_args(Kind)
FRAME = "frame"  # the pose of the board that `mien calibrate` takes for the head frame
_PREFIX = "shot-"  # no take's code begins like this
_SERIES = re.compile(rf"({'|'.join(KINDS)})-[0-9]{{8}}T[0-9]{{6}}Z(-[0-9]+)?")
_FIRED = re.compile(rf"{_PREFIX}(?P<series>{_SERIES.pattern})-(?P<pose>[0-9]{{3,4}}|{FRAME})")


def is_rig_shot(take_id: str) -> bool:
    """Whether photographs under this name belong to no take and are filed as rig shots."""
    return take_id.startswith(_PREFIX)


def is_series(name: str) -> bool:
    """Whether a folder of this name can be a series."""
    return _SERIES.fullmatch(name) is not None


def new_series(kind: Kind, now: datetime) -> str:
    """The name of a series that begins now (UTC)."""
    return f"{kind}-{now:%Y%m%dT%H%M%SZ}"


@dataclass(frozen=True)
class ShotName:
    """One shot of a series."""

    series: str
    pose: str

    @classmethod
    def parse(cls, take_id: str) -> Self | None:
        """None for what is no rig shot's name."""
        found = _FIRED.fullmatch(take_id)
        return cls(found["series"], found["pose"]) if found else None

    def __str__(self) -> str:
        return f"{_PREFIX}{self.series}-{self.pose}"


def pose_name(number: int) -> str:
    return f"{number:03d}"
