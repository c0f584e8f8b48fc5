"""Timing of a fire, apart from the sockets: how far ahead, at what moment for whom, and how well it went.

Two phases. ARM asks every camera; FIRE names one moment T for all. Each node sends its command at T minus its camera's
shutter lag, so the exposures, not the commands, fall together.
"""

import math
import statistics
import uuid
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from camera_nodes.wire import Armed, Exposure, Stamps
from controller.rig_file import DEFAULT_PROFILE, ExposureEntry, Rig, SyncLimits

NS_PER_MS = 1_000_000
ExposureSource = Literal["simulated", "hot_shoe", "not_measured"]


@dataclass(frozen=True)
class FireOrder:
    """One fire of a take."""

    fire_id: str  # of this arming, see new_fire_id
    take_id: str  # code of the take that it is for
    lags_ns: Mapping[str, int]  # each camera that takes part -> its lag from command to exposure
    exposure: Exposure  # how the cameras are set
    limits: SyncLimits  # of time and uncertainty, from the rig file

    @property
    def cameras(self) -> tuple[str, ...]:
        return tuple(self.lags_ns)


@dataclass(frozen=True)
class ArmReport:
    """Phase one: who is armed, and why the others are not."""

    armed: Mapping[str, Armed]  # camera -> its node's answer
    faults: Mapping[str, str]  # camera -> why it is not armed
    # cameras whose only trouble is a clock at or near the limit: more pings will help
    unsure: frozenset[str] = frozenset()

    @property
    def worth_another_try(self) -> bool:
        """Whether clocks are all that stands in the way of a fire that no camera would miss."""
        return bool(self.unsure) and set(self.faults) <= self.unsure


CLOCK_MARGIN = 0.9  # a clock this near its limit may pass it between ARM and FIRE, and the node would not fire then


def near_limit(uncertainty_ns: int | None, limits: SyncLimits) -> bool:
    return uncertainty_ns is not None and uncertainty_ns > CLOCK_MARGIN * limits.max_clock_uncertainty_ms * NS_PER_MS


@dataclass(frozen=True)
class Skew:
    """The three numbers of a take, milliseconds; None was not measured.

    The exposure skew is given only when every camera that fired reports its moment from the same source, for a part of
    a rig would flatter the whole.
    """

    command_skew_ms: float | None = None  # latest minus earliest error of the command, over the cameras that fired
    clock_uncertainty_ms: float | None = None  # the worst camera's
    exposure_skew_ms: float | None = None  # latest minus earliest true exposure moment
    exposure_source: ExposureSource = "not_measured"  # where those moments are from

    def flags(self, limits: SyncLimits, worst: Mapping[str, str] | None = None) -> list[str]:
        """Why a take that is whole may still not be good enough, in words.

        worst: what is to be told of the worst camera, by the figure's name: see worst_cameras.
        """
        found = []
        worst = worst or {}
        for name, value, limit in (
            ("command skew", self.command_skew_ms, limits.max_skew_ms),
            ("exposure skew", self.exposure_skew_ms, limits.max_skew_ms),
            ("clock uncertainty", self.clock_uncertainty_ms, limits.max_clock_uncertainty_ms),
        ):
            if value is not None and value > limit:
                told = f" ({worst[name]})" if name in worst else ""
                found.append(f"{name} {value:.2f} ms is over {limit:g} ms{told}")
        if self.command_skew_ms is None:
            found.append("sync was not measured")
        return found


@dataclass(frozen=True)
class StampReport:
    """Phase two: what the nodes did."""

    at_ns: int  # the moment of the fire, by the controller's monotonic clock
    stamps: Mapping[str, Stamps]  # by camera
    faults: Mapping[str, str]  # camera -> why it did not fire, or did not say so in time
    skew: Skew = field(default_factory=Skew)  # of the stamps that came


def order_fire(
    take_id: str, rig: Rig, reported_lags_ns: Mapping[str, int | None], profile: str = DEFAULT_PROFILE
) -> FireOrder:
    """The order for one take: the rig file's lag for each camera, or the node's own where the rig file gives none.

    profile: whose settings every camera is set to before it is armed.
    """
    lags = {
        camera.name: round(camera.lag_ms * NS_PER_MS) if camera.lag_ms else reported_lags_ns.get(camera.name) or 0
        for camera in rig.cameras
    }
    return FireOrder(new_fire_id(take_id), take_id, lags, exposure_of(rig.profile(profile)), rig.sync)


def exposure_of(wanted: ExposureEntry) -> Exposure:
    """The settings of a profile as the nodes are asked for them."""
    return Exposure(
        shutter=wanted.shutter or None,
        aperture=wanted.aperture or None,
        iso=wanted.iso or None,
        white_balance=wanted.white_balance or None,
        image_format=wanted.image_format or None,
        focus_mode=wanted.focus_mode or None,
    )


def new_fire_id(take_id: str) -> str:
    """Every arming has its own, so that a late answer to an earlier one is told apart."""
    return f"{take_id}.{uuid.uuid4().hex[:8]}"


def lead_ns(limits: SyncLimits, round_trips_ns: Iterable[int], lags_ns: Iterable[int] = ()) -> int:
    """How far ahead T must lie: max(150 ms, 5 x p99 round trip), and the longest lag more: its command goes out first.

    150 ms and 5 are the defaults of `limits`. No round trip known counts as none.
    """
    times = sorted(round_trips_ns)
    p99 = times[math.ceil(0.99 * len(times)) - 1] if times else 0
    lead = max(limits.minimum_lead_ms * NS_PER_MS, limits.lead_round_trips * p99)
    return round(lead) + max(lags_ns, default=0)


def measure(stamps: Collection[Stamps]) -> Skew:
    """The three numbers from the stamps of the cameras that fired; missed ones carry none.

    Works on stamps alone, so it gives the same answer to a controller that was restarted after FIRE.
    """
    fired = [stamp for stamp in stamps if not stamp.missed and stamp.released_at_ns is not None]
    if not fired:
        return Skew()
    errors = [stamp.released_at_ns - stamp.commanded_at_ns for stamp in fired if stamp.released_at_ns is not None]
    exposed = [stamp.exposed_at_ns for stamp in fired if stamp.exposed_at_ns is not None]
    sources = {stamp.exposure_source for stamp in fired}
    source = next(iter(sources)) if len(sources) == 1 else None
    measured = source is not None and len(exposed) == len(fired)
    return Skew(
        command_skew_ms=(max(errors) - min(errors)) / NS_PER_MS,
        clock_uncertainty_ms=max(stamp.clock_uncertainty_ns for stamp in fired) / NS_PER_MS,
        exposure_skew_ms=(max(exposed) - min(exposed)) / NS_PER_MS if measured else None,
        exposure_source=source if measured and source is not None else "not_measured",
    )


def worst_cameras(stamps: Mapping[str, Stamps]) -> dict[str, str]:
    """By name of a figure of Skew.flags, which camera is the worst and how: "cam-07 opened 23.4 ms late".

    Late and early are meant against the median of the cameras that fired.
    """
    fired = {camera: s for camera, s in stamps.items() if not s.missed and s.released_at_ns is not None}
    if not fired:
        return {}
    errors = {camera: (s.released_at_ns or 0) - s.commanded_at_ns for camera, s in fired.items()}
    exposed = {camera: s.exposed_at_ns for camera, s in fired.items() if s.exposed_at_ns is not None}
    uncertain = max(fired, key=lambda camera: fired[camera].clock_uncertainty_ns)
    found = {"command skew": _furthest(errors, "was released"), "clock uncertainty": uncertain}
    if exposed:
        found["exposure skew"] = _furthest(exposed, "opened")
    return found


def _furthest(moments_ns: Mapping[str, int], verb: str) -> str:
    middle = statistics.median_low(moments_ns.values())
    camera = max(moments_ns, key=lambda name: abs(moments_ns[name] - middle))
    off_ms = (moments_ns[camera] - middle) / NS_PER_MS
    return f"{camera} {verb} {abs(off_ms):.1f} ms {'late' if off_ms > 0 else 'early'}"


def stamp_faults(cameras: Iterable[str], stamps: Mapping[str, Stamps], timeout_ms: float) -> dict[str, str]:
    """Every camera that did not fire, or did not say so in time, with its reason."""
    faults = {}
    for camera in cameras:
        stamp = stamps.get(camera)
        if stamp is None:
            faults[camera] = f"no reply in {timeout_ms:.0f} ms after the fire"
        elif stamp.missed or stamp.released_at_ns is None:
            faults[camera] = f"missed: {stamp.reason or 'the node gave no reason'}"
    return faults
