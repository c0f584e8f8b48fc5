"""Preflight: whether a session can begin. Every camera is armed for a moment with the session's settings and let go.

That is the one honest test of a camera: the same road as a fire, with the settings applied and read back, and nothing
released. Beside it the lights are lit, and disks and the calibration are looked at.
"""

import re
import shutil
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Literal

from camera_nodes.wire import Armed
from controller.errors import LightsFailed
from controller.firing.fire_timing import NS_PER_MS, ArmReport, order_fire
from controller.lighting.sacn_sender import SacnSender
from controller.node_links.arming import arm_patiently
from controller.node_links.camera_status import NOT_REALTIME, without_realtime
from controller.node_links.control_channel import ControlLink
from controller.node_links.node_registry import NodeState
from controller.rig.roster import Roster
from controller.rig_file import ExposureEntry, Rig
from db.engine import utc_now

Level = Literal["ok", "warning", "fault"]
LOOK_S = 1.0  # lights stay up at least so long, for somebody to see them
MB = 1e6
GB = 1e9
MANUAL = re.compile(r"m(f|anual|\b)", re.IGNORECASE)


@dataclass(frozen=True)
class StudioCondition:
    """What the studio's own parts say before a session, read at one moment."""

    aside: Mapping[str, str]  # cameras of which nothing is asked -> why and for how long
    broken: Sequence[str]  # the rules of `[aside]` that so many, or these, break
    filing_trouble: str  # why photographs cannot be filed; "" when they can
    calibration: tuple[int | None, datetime | None]  # version and time of the newest; None: there is none
    disks: Sequence[Path] = ()  # places on the disks that photographs are filed on


@dataclass(frozen=True)
class PreflightCheck:
    """One thing that was looked at."""

    name: str  # of the check, as tables show it
    level: Level  # a fault stands in the way of a session, a warning does not
    text: str  # of the rig as a whole
    cameras: Mapping[str, str] = field(default_factory=dict)  # camera -> what is wrong with it


@dataclass(frozen=True)
class Preflight:
    """What was found. A warning does not stand in the way of a session; a fault does."""

    rig: str  # its name
    profile: str  # the settings profile that the cameras were armed with
    at: datetime  # UTC
    checks: tuple[PreflightCheck, ...]  # in the order in which they are shown

    @property
    def ready(self) -> bool:
        return not self.faults

    @property
    def faults(self) -> tuple[PreflightCheck, ...]:
        return tuple(check for check in self.checks if check.level == "fault")


def check_roster(roster: Roster) -> PreflightCheck:
    differences: dict[str, str] = {}
    for item in roster.discrepancies:
        differences[item.camera] = "; ".join(filter(None, (differences.get(item.camera, ""), item.text)))
    text = f"{len(roster.ready)} of {len(roster.expected)} are here"
    return PreflightCheck("cameras", "fault" if differences else "ok", text, differences)


def check_aside(rig: Rig, aside: Mapping[str, str], broken: Sequence[str]) -> PreflightCheck:
    """Who is aside, and whether so many and these may be. aside: camera -> why and for how long."""
    if not aside:
        return PreflightCheck("aside", "ok", "no camera is set aside")
    text = f"{len(aside)} of at most {rig.aside.max} {'is' if len(aside) == 1 else 'are'} aside"
    if broken:
        return PreflightCheck("aside", "fault", f"{'; '.join(broken)}. To bring one back:  mien rig back CAMERA", aside)
    return PreflightCheck("aside", "warning", text, aside)


def check_arming(report: ArmReport, absent: Iterable[str], profile: ExposureEntry) -> PreflightCheck:
    """The settings were applied and read back; cameras that the roster has named are not named again."""
    missing = set(absent)
    refused = {camera: reason for camera, reason in report.faults.items() if camera not in missing}
    warned = {camera: "; ".join(armed.warnings) for camera, armed in report.armed.items() if armed.warnings}
    wanted = [f"{name} {value}" for name, value in vars(profile).items() if value and name != "scene"]
    told = f"{len(report.armed)} armed with {', '.join(wanted) or 'the settings they have'}"
    level: Level = "fault" if refused else "warning" if warned or not report.armed else "ok"
    return PreflightCheck("settings", level, told, refused or warned)


def check_cameras(rig: Rig, armed: Mapping[str, Armed], disks: Mapping[str, str]) -> list[PreflightCheck]:
    """Battery, frames left, focus mode, clock and disk, as the cameras said when they were armed.

    disks: by camera, the name of the disk that its photographs go to.
    """
    limits = rig.preflight
    uncertainty = {camera: found.clock_uncertainty_ns / NS_PER_MS for camera, found in armed.items()}
    return [
        _least("battery", armed, lambda a: a.battery_percent, limits.min_battery_percent, "{:.0f} %"),
        _least("frames left", armed, lambda a: a.photos_left, limits.frames, "{:.0f}"),
        _focus(armed),
        _node_disks(armed, disks, limits.frames * limits.frame_mb * MB),
        _clock(uncertainty, rig.sync.max_clock_uncertainty_ms),
    ]


def _least(
    name: str, armed: Mapping[str, Armed], read: Callable[[Armed], float | None], limit: float, form: str
) -> PreflightCheck:
    """The camera that has least of something; cameras that do not say are a warning, for nobody can look it up."""
    values = {camera: value for camera, found in armed.items() if (value := read(found)) is not None}
    low = {
        camera: f"{form.format(value)}, {form.format(limit)} are needed"
        for camera, value in values.items()
        if value < limit
    }
    silent = {camera: "does not say" for camera in armed if camera not in values}
    if not armed:
        return PreflightCheck(name, "warning", "no camera was armed")
    text = "no camera says"
    if values:
        least = min(values, key=lambda camera: values[camera])
        text = f"least {form.format(values[least])} ({least})"
    level: Level = "fault" if low else "warning" if silent else "ok"
    return PreflightCheck(name, level, text, low or silent)


def _node_disks(armed: Mapping[str, Armed], disks: Mapping[str, str], each: float) -> PreflightCheck:
    """Room for `each` bytes a camera; nodes on one disk need theirs together, whether they were armed now or not."""
    if not armed:
        return PreflightCheck("node disk", "warning", "no camera was armed")
    sharing: dict[str, list[str]] = defaultdict(list)
    for camera in sorted(armed.keys() | disks.keys()):
        sharing[disks.get(camera) or f"of {camera} alone"].append(camera)
    low: dict[str, str] = {}
    spare: dict[str, float] = {}
    for cameras in sharing.values():
        needed = each * len(cameras)
        for camera in (camera for camera in cameras if camera in armed):
            free = armed[camera].free_bytes
            spare[camera] = free - needed
            if free < needed:
                by = f" by the {len(cameras)} cameras on its disk" if len(cameras) > 1 else ""
                low[camera] = f"{free / GB:.2f} GB, {needed / GB:.2f} GB are needed{by}"
    tightest = min(spare, key=lambda camera: spare[camera])
    together = len(sharing.get(disks.get(tightest, ""), ()))
    shared = f", on a disk of {together} cameras" if together > 1 else ""
    text = f"least {armed[tightest].free_bytes / GB:.2f} GB ({tightest}{shared})"
    return PreflightCheck("node disk", "fault" if low else "ok", text, low)


def not_manual(focus_mode: str | None) -> bool:
    """Whether a body says that it is not focused by hand; one that does not say is for somebody to look at."""
    return focus_mode is not None and not MANUAL.match(focus_mode)


def _focus(armed: Mapping[str, Armed]) -> PreflightCheck:
    wrong = {
        camera: f"{found.focus_mode!r} is not manual: set the lens or the body to manual focus"
        for camera, found in armed.items()
        if not_manual(found.focus_mode)
    }
    silent = {camera: "does not say: look at the lens" for camera, found in armed.items() if found.focus_mode is None}
    if not armed:
        return PreflightCheck("focus mode", "warning", "no camera was armed")
    text = f"manual at {len(armed) - len(wrong) - len(silent)} of {len(armed)}"
    return PreflightCheck("focus mode", "fault" if wrong else "warning" if silent else "ok", text, wrong or silent)


def _clock(uncertainty_ms: Mapping[str, float], limit_ms: float) -> PreflightCheck:
    if not uncertainty_ms:
        return PreflightCheck("clock", "warning", "no camera was armed")
    worst = max(uncertainty_ms, key=lambda camera: uncertainty_ms[camera])
    over = {
        camera: f"{value:.2f} ms, the limit is {limit_ms:g} ms"
        for camera, value in uncertainty_ms.items()
        if value > limit_ms
    }
    text = f"worst {uncertainty_ms[worst]:.2f} ms ({worst})"
    return PreflightCheck("clock", "fault" if over else "ok", text, over)


def check_realtime(nodes: Mapping[str, NodeState]) -> PreflightCheck:
    """Whether the nodes may run at real-time priority in the window; the others fire all the same."""
    slow = without_realtime(nodes)
    text = f"{len(nodes) - len(slow)} of {len(nodes)} nodes fire with real-time scheduling"
    return PreflightCheck("real time", "warning" if slow else "ok", text, dict.fromkeys(slow, NOT_REALTIME))


def check_studio_disk(rig: Rig, places: Iterable[Path]) -> PreflightCheck:
    """Room for the photographs of one session where they are filed and where they are put together."""
    needed = rig.preflight.frames * len(rig.cameras) * rig.preflight.frame_mb * MB
    free = min((shutil.disk_usage(place).free for place in places), default=None)
    if free is None:
        return PreflightCheck("studio disk", "ok", "the store is elsewhere")
    text = f"{free / GB:.1f} GB free, a session needs up to {needed / GB:.1f} GB"
    return PreflightCheck("studio disk", "ok" if free >= needed else "fault", text)


def check_filing(trouble: str) -> PreflightCheck:
    return (
        PreflightCheck("filing", "fault", trouble)
        if trouble
        else PreflightCheck("filing", "ok", "photographs can be filed")
    )


def check_calibration(newest: tuple[int | None, datetime | None], now: datetime, max_age_h: float) -> PreflightCheck:
    """The newest calibration (version, time): without one no scan can be made, and an old one may not be true now."""
    version, made_at = newest
    if version is None or made_at is None:
        return PreflightCheck(
            "calibration", "fault", "there is none: photograph the board, then  mien calibrate, mien rig calibration"
        )
    age_h = (now - made_at).total_seconds() / 3600
    told = f"version {version}, {age_h:.1f} h old" if age_h < 48 else f"version {version}, {age_h / 24:.1f} days old"
    if age_h > max_age_h:
        return PreflightCheck(
            "calibration", "fault", f"{told}, the limit is {max_age_h:g} h: photograph the board again"
        )
    return PreflightCheck("calibration", "ok", told)


def check_lights(scene: str, universes: tuple[int, ...], trouble: str) -> PreflightCheck:
    """Fixtures do not answer, so a person has to look whether they lit."""
    if trouble:
        return PreflightCheck("lights", "fault", trouble)
    if not scene:
        return PreflightCheck("lights", "ok", "the profile has no scene")
    named = ", ".join(str(universe) for universe in universes)
    return PreflightCheck("lights", "ok", f"scene {scene} was sent to universe {named}: look whether it lit")


def run_preflight(
    rig: Rig, profile: str, link: ControlLink, lights: SacnSender, condition: StudioCondition
) -> Preflight:
    """Light, arm, look, and let go of everything again. Nobody may fire meanwhile. Raises ConfigurationError."""
    scene = rig.scene_of(profile)
    aside = check_aside(rig, condition.aside, condition.broken)
    rig = rig.without(condition.aside)
    roster = link.roster().without(condition.aside)
    nodes = {camera: state for camera, state in link.nodes().items() if camera not in condition.aside}
    report, trouble = _light_and_arm(rig, profile, link, lights, nodes)
    absent = {item.camera for item in roster.discrepancies}
    now = utc_now()
    return Preflight(
        rig.name,
        profile,
        now,
        (
            check_roster(roster),
            aside,
            check_arming(report, absent, rig.profile(profile)),
            *check_cameras(rig, report.armed, {camera: state.hello.disk for camera, state in nodes.items()}),
            check_realtime(nodes),
            check_studio_disk(rig, condition.disks),
            check_filing(condition.filing_trouble),
            check_lights(scene.name if scene is not None else "", lights.universes, trouble),
            check_calibration(condition.calibration, now, rig.preflight.max_calibration_age_h),
        ),
    )


def _light_and_arm(
    rig: Rig, profile: str, link: ControlLink, lights: SacnSender, nodes: Mapping[str, NodeState]
) -> tuple[ArmReport, str]:
    """What came of arming, and why the profile's scene could not be lit ("" when it was, or there is none)."""
    scene = rig.scene_of(profile)
    lit, trouble = None, ""
    try:
        if scene is not None:
            lit = lights.show(scene)
    except LightsFailed as error:
        trouble = str(error)
    try:
        lags = {camera: state.hello.lag_ns for camera, state in nodes.items()}
        order, report = arm_patiently(link, order_fire("preflight", rig, lags, profile))
        link.disarm(order, "preflight is over")
        if lit is not None:
            time.sleep(max(0.0, LOOK_S - (time.monotonic_ns() - lit.at_ns) / 1e9))
    finally:
        link.allow_uploads()
        lights.rest()
    return report, trouble
