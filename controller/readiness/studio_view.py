"""The studio as it is at one moment, in plain frozen values: all that the judgement looks at."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from controller.node_links.fire_phase import CameraArming
from controller.rig.roster import Discrepancy
from controller.rig_file import DEFAULT_PROFILE, Rig


@dataclass(frozen=True)
class CameraView:
    """One camera of the rig; None is not known."""

    name: str
    discrepancy: Discrepancy | None = None  # what the roster says of it; None: its body is here, and the right one
    heard: bool = True  # whether its node is heard
    state: str = "idle"  # as its node reports it; "" before the first report
    computer: str = ""  # names its node's computer, see places.computer_of; "" when it was never announced
    node: str = ""  # the name under which its node is enrolled
    url: str = ""  # its address at its node
    disk: str = ""  # names the disk of its spool
    clock_uncertainty_ns: int | None = None  # of its node
    battery_percent: int | None = None  # charge
    photos_left: int | None = None  # room on its card
    free_bytes: int | None = None  # on its node's disk
    unresolved: str = ""  # the take of an exposure whose photograph has not come
    strays: int = 0  # files that belong to no take
    lag_known: bool = True  # measured, in the rig file or told by the node
    came_ns: int = 0  # monotonic: since when its body is there without a break
    arming: CameraArming | None = None  # what came of its last one
    aside: str = ""  # why and for how long nothing is asked of it; "" when it takes part


@dataclass(frozen=True)
class TakeStage:
    """A take that is under way."""

    take: str  # its code
    stage: Literal["hold", "coming"]  # hold: until every photograph is safe on its node
    cameras: int  # that take part
    came: int  # photographs that are filed
    failed: tuple[str, ...] = ()  # cameras with a fault


@dataclass(frozen=True)
class LastTake:
    """A session's last take, when it is not under way."""

    take: str  # its code
    reference: str  # how commands name its expression
    expression: str  # its name
    standing: Literal["failed", "undecided", "decided"]
    faults: Mapping[str, str] = field(default_factory=dict)  # of a failed one: camera -> why
    problem: str = ""  # of a whole one: why it is flagged
    looks: int | None = None  # results of its checks that deserve a look; None: they are not done yet
    advice: str = ""  # the first of them, in words


@dataclass(frozen=True)
class SessionView:
    """The session that is open."""

    code: str
    subject: str  # the subject's code
    profile: str = DEFAULT_PROFILE  # the settings profile of its takes
    consent: str = "given"  # as db.consents.capture_consent.CaptureConsent
    consent_later: bool = False  # somebody decided to begin before it was recorded
    without: tuple[str, ...] = ()  # what it was begun without, by decision
    remaining: int = 1  # expressions that are still to be photographed
    expressions: int = 1  # of its protocol
    next: str = ""  # what is fired next; "" when nothing is left
    undecided: tuple[str, ...] = ()  # codes of whole takes that wait to be decided about
    last: LastTake | None = None


@dataclass(frozen=True)
class StudioView:
    """Everything that is judged. Times that end in _ns are monotonic."""

    rig: Rig
    now: datetime  # UTC
    now_ns: int
    cameras: tuple[CameraView, ...]  # of the rig file, in order of view
    here: str = ""  # names the studio's own computer
    strangers: Mapping[str, str] = field(default_factory=dict)  # announced, not in the rig file: name -> by whom
    aside_broken: tuple[str, ...] = ()  # rules of [aside] that those aside break
    session: SessionView | None = None
    paused: tuple[str, ...] = ()  # codes of sessions that are paused
    take: TakeStage | None = None  # that is under way
    countdown: int | None = None  # seconds until the fire
    busy: str = ""  # what has the rig's shutters now beside a take; "" for nothing
    recovering: Mapping[str, str] = field(default_factory=dict)  # camera -> what is being done with it
    stopped: str = ""  # a part of the studio that ended although it should run; "" for none
    filing_trouble: str = ""  # why photographs cannot be filed
    lights_trouble: str = ""  # why packets to the lights do not leave
    studio_free_bytes: int | None = None  # on the fullest disk that photographs are filed on; None: it is elsewhere
    calibration_at: datetime | None = None  # the newest one's time
    preflight_at: datetime | None = None  # of the last one since the studio was started
    late: tuple[str, ...] = ()  # what is told of photographs that came late, lately
    often: Mapping[str, str] = field(default_factory=dict)  # cameras recovered again and again -> in words
