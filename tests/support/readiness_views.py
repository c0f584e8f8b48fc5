"""A studio in which everything holds, in plain values, and ways to break one thing of it."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from camera_nodes import wire
from controller.firing.fire_timing import exposure_of
from controller.lighting.light_scenes import Scene
from controller.node_links.fire_phase import CameraArming
from controller.readiness.studio_view import CameraView, LastTake, SessionView, StudioView
from controller.rig.roster import Discrepancy
from controller.rig_file import CameraEntry, ExposureEntry, Rig

NOW = datetime(2026, 11, 28, 12, 0, tzinfo=UTC)
NOW_NS = 10**15
MINUTE_NS = 60 * 10**9
SHOW = "S001-1"

Break = Callable[[StudioView], StudioView]


def make_rig(cameras: int, **changes: Any) -> Rig:
    entries = tuple(CameraEntry(f"cam-{view:02d}", view, lag_ms=58.0) for view in range(cameras))
    cross = Scene("cross", {1: ((1, 1, 255),)})
    return Rig(
        "studio-a", entries, exposure=ExposureEntry(iso="200", scene="cross"), scenes={"cross": cross}, **changes
    )


def armed(rig: Rig, camera: str, at_ns: int = NOW_NS - MINUTE_NS, **changes: Any) -> CameraArming:
    said = wire.Armed(
        fire_id="f", camera=camera, clock_uncertainty_ns=100_000, free_bytes=10**11, battery_percent=90,
        photos_left=500, focus_mode="Manual", **changes,
    )  # fmt: skip
    wanted = exposure_of(rig.exposure)
    return CameraArming(at_ns, wanted, said, taken=((wanted, at_ns),))


def all_well(cameras: int = 8, on_each_computer: int = 4) -> StudioView:
    """A session under way, its last take accepted, the next one to be fired."""
    rig = make_rig(cameras)
    return StudioView(
        rig=rig,
        now=NOW,
        now_ns=NOW_NS,
        cameras=tuple(
            CameraView(
                name=entry.name,
                computer=f"pi-{entry.view // on_each_computer:02d}/boot-{entry.view // on_each_computer}",
                node=f"pi-{entry.view // on_each_computer:02d}",
                url=f"gphoto2:port:1-{entry.view // on_each_computer % 2 + 1}.{entry.view % on_each_computer + 1}",
                disk=f"pi-{entry.view // on_each_computer:02d}/boot-{entry.view // on_each_computer}:7",
                clock_uncertainty_ns=100_000,
                battery_percent=90,
                photos_left=500,
                free_bytes=10**11,
                came_ns=NOW_NS - 10 * MINUTE_NS,
                arming=armed(rig, entry.name),
            )
            for entry in rig.cameras
        ),
        here="studio/boot-s",
        session=SessionView(
            SHOW, "S001", remaining=12, expressions=20, next="smile",
            last=LastTake(f"{SHOW}-E01-1", f"{SHOW}-E01", "neutral", "decided"),
        ),
        studio_free_bytes=10**12,
        calibration_at=NOW - timedelta(hours=20),
        preflight_at=NOW - timedelta(minutes=10),
    )  # fmt: skip


def with_cameras(view: StudioView, which: Mapping[int, Mapping[str, Any]]) -> StudioView:
    """The view with changes of some cameras, by number."""
    return replace(
        view, cameras=tuple(replace(camera, **which.get(number, {})) for number, camera in enumerate(view.cameras))
    )


def with_session(view: StudioView, **changes: Any) -> StudioView:
    assert view.session is not None
    return replace(view, session=replace(view.session, **changes))


def gone(kind: str = "missing", text: str = "no node announces it", name: str = "cam-00") -> Discrepancy:
    return Discrepancy(kind, name, text)  # type: ignore[arg-type]


def one(**changes: Any) -> Break:
    """Camera 2 is so."""
    return lambda view: with_cameras(view, {2: changes})


def failed(faults: Mapping[str, str]) -> LastTake:
    return LastTake(f"{SHOW}-E02-1", f"{SHOW}-E02", "smile", "failed", faults=faults, problem="it failed")


# What a fire needs, and a way to break each of it alone: cause of the fault that is told then, word of the bar, break.
BREAKS: dict[str, tuple[str, str, Break]] = {
    "a camera's node is silent": ("node_gone", "CANNOT FIRE", one(heard=False, discrepancy=gone())),
    "a computer is off": (
        "computer_off", "CANNOT FIRE",
        lambda v: with_cameras(v, {key: {"heard": False, "discrepancy": gone()} for key in range(4)}),
    ),
    "a camera was never announced": (
        "never_seen", "CANNOT FIRE", one(heard=False, discrepancy=gone(), computer="", node="", url="", disk=""),
    ),
    "a hub is gone": (
        "hub_gone", "CANNOT FIRE",
        lambda v: with_cameras(v, {key: {"discrepancy": gone("missing", "no body")} for key in range(4)}),
    ),
    "a body sleeps": ("asleep", "CANNOT FIRE", one(discrepancy=gone("sleeping", "its body answered before"))),
    "a node has no body": ("no_body", "CANNOT FIRE", one(discrepancy=gone("missing", "pi-00 is here"))),
    "two bodies are swapped": ("swapped", "CANNOT FIRE", one(discrepancy=gone("swapped", "the body of cam-03"))),
    "another body is there": ("unknown_body", "CANNOT FIRE", one(discrepancy=gone("unknown", "unknown body 77"))),
    "a camera is announced twice": ("duplicate", "CANNOT FIRE", one(discrepancy=gone("duplicate", "by 2 nodes"))),
    "a clock is not known": ("clock", "CANNOT FIRE", one(clock_uncertainty_ns=None)),
    "a clock is too uncertain": ("clock", "CANNOT FIRE", one(clock_uncertainty_ns=900_000)),
    "a battery is empty": ("battery_empty", "CANNOT FIRE", one(battery_percent=3)),
    "a battery is low": ("battery", "CHECK", one(battery_percent=24)),
    "a card is full": ("card_full", "CANNOT FIRE", one(photos_left=0)),
    "a card is nearly full": ("card", "CHECK", one(photos_left=11)),
    "a node's disk is full": ("node_disk_full", "CANNOT FIRE", one(free_bytes=10_000_000)),
    "a node's disk is nearly full": ("node_disk", "CHECK", one(free_bytes=400_000_000)),
    "the studio's disk is nearly full": ("studio_disk", "CHECK", lambda v: replace(v, studio_free_bytes=10**8)),
    "a part of the studio has stopped": ("stopped", "CANNOT FIRE", lambda v: replace(v, stopped="a thread")),
    "nothing can be filed": ("filing", "CANNOT FIRE", lambda v: replace(v, filing_trouble="the disk is full")),
    "the lights are not reached": ("lights", "CANNOT FIRE", lambda v: replace(v, lights_trouble="universe 1")),
    "the profile is gone": ("profile", "CANNOT FIRE", lambda v: with_session(v, profile="polarised")),
    "too much is aside": (
        "aside_rules", "CANNOT FIRE",
        lambda v: replace(with_cameras(v, {5: {"aside": "stuck"}}), aside_broken=("8 would be missing, 4 may be",)),
    ),
    "a camera is being recovered": (
        "recovering", "CANNOT FIRE", lambda v: replace(v, recovering={"cam-06": "USB reset"}),
    ),
    "the preflight is running": ("busy", "CANNOT FIRE", lambda v: replace(v, busy="the preflight is running")),
    "a body still reads": ("reading", "CANNOT FIRE", one(state="exposed")),
    "an exposure has no photograph": ("unresolved", "CHECK", one(unresolved=f"{SHOW}-E01-1")),
    "the consent is withdrawn": ("consent", "CANNOT FIRE", lambda v: with_session(v, consent="withdrawn")),
    "there is no consent": ("consent", "CANNOT FIRE", lambda v: with_session(v, consent="none")),
    "the consent counts later": ("consent", "CANNOT FIRE", lambda v: with_session(v, consent="not_yet")),
    "the consent comes later": (
        "consent_later", "CHECK", lambda v: with_session(v, consent="none", consent_later=True),
    ),
    "there is no calibration": ("calibration", "CHECK", lambda v: replace(v, calibration_at=None)),
    "the calibration is old": (
        "calibration", "CHECK", lambda v: replace(v, calibration_at=NOW - timedelta(hours=169)),
    ),
    "a lag is not known": ("lags", "CHECK", one(lag_known=False)),
    "there was no preflight": ("preflight", "CHECK", lambda v: replace(v, preflight_at=None)),
    "the rig was armed long ago": (
        "preflight", "CHECK", one(arming=armed(make_rig(3), "cam-02", NOW_NS - 31 * MINUTE_NS), came_ns=1),
    ),
    "the settings are others": (
        "settings", "CHECK",
        one(arming=replace(armed(make_rig(3), "cam-02"), taken=((wire.Exposure(iso="400"), NOW_NS),))),
    ),
    "a body has come back": ("settings", "CHECK", one(came_ns=NOW_NS - MINUTE_NS // 2)),
    "a camera was never armed": ("settings", "CHECK", one(arming=None)),
    "a camera refused to arm": (
        "not_armed", "CHECK",
        one(arming=replace(
            armed(make_rig(3), "cam-02"), armed=None, taken=(), refused="iso: is '100' after setting '200'"
        )),
    ),
    "a lens is on autofocus": (
        "focus", "CHECK",
        one(arming=replace(
            armed(make_rig(3), "cam-02"),
            armed=wire.Armed(fire_id="f", camera="cam-02", clock_uncertainty_ns=1, free_bytes=1, focus_mode="AF-S"),
        )),
    ),
    "42 cameras failed": (
        "take_late", "RETAKE",
        lambda v: with_session(v, last=failed({c.name: "missed: 12.5 ms late: not released" for c in v.cameras[:4]})),
    ),
    "the last take waits": (
        "", "DECIDE",
        lambda v: with_session(v, last=LastTake(f"{SHOW}-E02-1", f"{SHOW}-E02", "smile", "undecided", looks=0)),
    ),
    "the last take deserves a look": (
        "checks", "LOOK",
        lambda v: with_session(
            v, last=LastTake(f"{SHOW}-E02-1", f"{SHOW}-E02", "smile", "undecided", looks=2, advice="cam-03: not sharp")
        ),
    ),
}  # fmt: skip
