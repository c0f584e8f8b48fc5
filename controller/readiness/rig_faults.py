"""What else a fire needs of the rig: clocks, batteries, cards, disks, lights, settings, calibration, a preflight.

Pure. The limits are the rig file's, as the preflight has them; while a session is open, cards and disks must have room
for what is left of it.
"""

from collections import defaultdict
from collections.abc import Iterator

from common.terminal.phrases import grouped
from controller.errors import ConfigurationError
from controller.firing.fire_timing import NS_PER_MS, exposure_of
from controller.preflight.preflight import GB, MB, not_manual
from controller.readiness import remedies
from controller.readiness.fault import Fault, Remedy, Weight
from controller.readiness.fault_making import fault, figure, least, most
from controller.readiness.places import count, names, some
from controller.readiness.studio_view import CameraView, StudioView
from controller.rig_file import DEFAULT_PROFILE

REFUSED_BATTERY = 5  # percent: below it a node does not arm (wire.Arm)


def here(view: StudioView) -> list[CameraView]:
    """Cameras that take part, with the right body."""
    return [camera for camera in view.cameras if camera.discrepancy is None and not camera.aside]


def profile_of(view: StudioView) -> str:
    """The settings profile that the next fire has; the default one without a session."""
    return view.session.profile if view.session is not None else DEFAULT_PROFILE


def frames_of(view: StudioView) -> int:
    """Photographs that are still to be asked of each camera."""
    return max(1, view.session.remaining) if view.session is not None else view.rig.preflight.frames


def rig_faults(view: StudioView) -> Iterator[Fault]:
    """All of them, in no order."""
    cameras = here(view)
    yield from _clocks(view, cameras)
    yield from _batteries(view, cameras)
    yield from _cards(view, cameras)
    yield from _node_disks(view, cameras)
    yield from _waiting(view, cameras)
    yield from _studio(view)
    yield from _lights(view)
    yield from _aside(view)
    yield from _settings(view, cameras)
    yield from _calibration(view)
    yield from _lags(view, cameras)
    yield from _notes(view, cameras)


def _clocks(view: StudioView, cameras: list[CameraView]) -> Iterator[Fault]:
    unknown = tuple(camera.name for camera in cameras if camera.clock_uncertainty_ns is None)
    limit_ms = view.rig.sync.max_clock_uncertainty_ms
    over = {
        camera.name: camera.clock_uncertainty_ns / NS_PER_MS
        for camera in cameras
        if camera.clock_uncertainty_ns is not None and camera.clock_uncertainty_ns > limit_ms * NS_PER_MS
    }
    remedy = Remedy("Wait some seconds. If it stays so: who else uses the cameras' network?", command="mien rig status")
    if over:
        yield figure(
            "clock", over, lambda v: f"{v:.2f} ms", f"the limit is {limit_ms:g} ms",
            ("clock uncertain by", most), lambda _: remedy,
        )  # fmt: skip
    elif unknown:
        text = f"the clock of {names(unknown)} is not known yet: some seconds after connecting"
        yield fault("clock", text, f"clock of {some(unknown)} not known yet", remedy, cameras=unknown)


def _batteries(view: StudioView, cameras: list[CameraView]) -> Iterator[Fault]:
    limit = view.rig.preflight.min_battery_percent
    said = {camera.name: camera.battery_percent for camera in cameras if camera.battery_percent is not None}
    empty = {name: float(value) for name, value in said.items() if value < REFUSED_BATTERY}
    low = {name: float(value) for name, value in said.items() if REFUSED_BATTERY <= value < limit}
    for cause, found in (("battery_empty", empty), ("battery", low)):
        if found:
            yield figure(
                cause, found, lambda v: f"{v:.0f} %", f"{limit} % are needed", ("battery", least),
                lambda which: remedies.body("Change the battery", which),
            )  # fmt: skip


def _cards(view: StudioView, cameras: list[CameraView]) -> Iterator[Fault]:
    needed = frames_of(view)
    left = {camera.name: float(camera.photos_left) for camera in cameras if camera.photos_left is not None}
    full = tuple(name for name, value in left.items() if value < 1)
    if full:
        which = "card of" if len(full) == 1 else "cards of"
        verb = "is" if len(full) == 1 else "are"
        text = f"the {which} {names(full)} {verb} full; {count(needed, 'photograph')} still to be taken"
        yield fault(
            "card_full", text, f"{some(full)} card full", remedies.body("Empty or change the card", full), cameras=full
        )
    found = {name: value for name, value in left.items() if 1 <= value < needed}
    if found:
        yield figure(
            "card", found, lambda v: count(round(v), "frame"), f"{needed} are needed", ("card has room for", least),
            lambda which: remedies.body("Empty or change the card", which),
        )  # fmt: skip


def _node_disks(view: StudioView, cameras: list[CameraView]) -> Iterator[Fault]:
    """Nodes on one disk need their room together; one that says too little is told of by the camera that has least."""
    each = view.rig.preflight.frame_mb * MB
    sharing: dict[str, list[CameraView]] = defaultdict(list)
    for camera in cameras:
        sharing[camera.disk or f"of {camera.name}"].append(camera)
    full: dict[str, float] = {}
    low: dict[str, float] = {}
    for disk in sharing.values():
        for camera in disk:
            if camera.free_bytes is None:
                continue
            spare = camera.free_bytes / len(disk)
            if spare < each:
                full[camera.name] = camera.free_bytes / GB
            elif spare < each * frames_of(view):
                low[camera.name] = camera.free_bytes / GB
    needed = f"{frames_of(view)} photographs of each camera must fit"
    for cause, found in (("node_disk_full", full), ("node_disk", low)):
        if found:
            yield figure(
                cause, found, lambda v: f"{v:.2f} GB", needed, ("its node's disk has", least),
                lambda which: remedies.body("Make room on that computer's disk", which),
            )  # fmt: skip


def _waiting(view: StudioView, cameras: list[CameraView]) -> Iterator[Fault]:
    """Bodies that something else is done with, and exposures without their photograph."""
    under_way = view.take.take if view.take is not None else ""
    for camera, rung in view.recovering.items():
        text = f"{camera} is being recovered{f' ({rung})' if rung else ''}: nothing is fired until that is over"
        yield fault(
            "recovering", text, f"{camera} is being recovered", Remedy("Wait until that is over"), cameras=(camera,)
        )
    if view.busy:
        yield fault("busy", view.busy, view.busy, Remedy("Wait until that is over"))
    if not under_way:
        reading = tuple(camera.name for camera in cameras if camera.state == "exposed")
        if reading:
            text = f"the last photograph of {names(reading)} is still being read from the body"
            yield fault(
                "reading", text, f"{some(reading)} still reading", Remedy("Wait until it is here"), cameras=reading
            )
    waiting = {camera.name: camera.unresolved for camera in cameras if camera.unresolved not in ("", under_way)}
    if waiting:
        which = tuple(waiting)
        takes = ", ".join(dict.fromkeys(waiting.values()))
        text = f"the photograph of {names(which)} has not come ({takes}): the camera may not be armed until it does"
        remedy = remedies.recover(f"Recover it, which fetches it; to give it up:  mien rig write-off {which[0]}", which)
        yield fault("unresolved", text, f"{some(which)}: photograph not come", remedy, cameras=which)


def _studio(view: StudioView) -> Iterator[Fault]:
    if view.stopped:
        remedy = Remedy("Start the studio again; its log says why. What the nodes hold comes in then")
        yield fault("stopped", f"{view.stopped} has stopped", "start the studio again", remedy)
    if view.filing_trouble:
        remedy = Remedy("Make room, or bring the database back: what waits on the nodes then comes in by itself")
        text = f"photographs cannot be filed: {view.filing_trouble}"
        yield fault("filing", text, "photographs cannot be filed", remedy)
    needed = frames_of(view) * len(here(view)) * view.rig.preflight.frame_mb * MB
    free = view.studio_free_bytes
    if free is not None and free < needed:
        text = f"the studio's disk has {free / GB:.1f} GB free, {needed / GB:.1f} GB may be needed"
        yield fault("studio_disk", text, f"studio disk {free / GB:.1f} GB", Remedy("Make room on the studio's disk"))


def _lights(view: StudioView) -> Iterator[Fault]:
    profile = profile_of(view)
    try:
        scene = view.rig.scene_of(profile)
    except ConfigurationError as error:
        remedy = Remedy("Write it into rig.toml and start the studio again, or fire with another profile")
        yield fault("profile", f"{error}", f"no profile {profile}", remedy)
        return
    if view.lights_trouble:
        remedy = Remedy("Look at the lights' network, and at 'interface' in [lights] of rig.toml", "scene")
        text = f"the lights are not reached: {view.lights_trouble}"
        cause = "lights" if scene is not None else "lights_unused"
        yield fault(cause, text, "lights not reached", remedy)


def _aside(view: StudioView) -> Iterator[Fault]:
    aside = {camera.name: camera.aside for camera in view.cameras if camera.aside}
    which = tuple(aside)
    remedy = Remedy("Bring one back once it works", "back", which, f"mien rig back {' '.join(which)}")
    if view.aside_broken:
        text = f"too much is aside: {'; '.join(view.aside_broken)}"
        yield fault("aside_rules", text, f"too much aside ({count(len(which))})", remedy, cameras=which)
    elif aside:
        told = "; ".join(f"{names(found)}: {why}" for why, found in grouped(aside.items()).items())
        yield fault("aside", f"aside: {told}", f"{some(which)} aside", remedy, cameras=which)


def _settings(view: StudioView, cameras: list[CameraView]) -> Iterator[Fault]:
    """What an arming alone can tell: that every camera takes the profile's settings, and how it is focused."""
    profile = profile_of(view)
    if profile != DEFAULT_PROFILE and profile not in view.rig.profiles:
        return  # told of already
    at = view.preflight_at
    age_min = _armed_age_min(view, cameras)
    limit = view.rig.preflight.max_age_min
    ask = remedies.preflight(
        "Run the preflight: it arms every camera with these settings and lets it go again", profile
    )
    if at is None:
        yield fault("preflight", "no preflight since the studio was started", remedies.LOOK_AGAIN, ask)
    elif age_min > limit:
        text = f"nothing was armed for {age_min:.0f} min, the limit is {limit:g} min"
        yield fault("preflight", text, f"{remedies.LOOK_AGAIN} ({age_min:.0f} min old)", ask)
    refused = {c.name: c.arming.refused for c in cameras if c.arming and not c.arming.armed and not _came_since(c)}
    for reason, found in grouped(refused.items()).items():
        text = f"{names(found)} did not arm the last time: {reason}"
        put = remedies.preflight("Put it right, then run the preflight", profile)
        yield fault("not_armed", text, f"{some(found)} did not arm", put, place=reason[:60], cameras=found)
    wrong = {
        c.name: c.arming.armed.focus_mode or ""
        for c in cameras
        if c.arming and c.arming.armed and not _came_since(c) and not_manual(c.arming.armed.focus_mode)
    }
    if wrong:
        which = tuple(wrong)
        put = remedies.preflight("Set the lens or the body to manual focus, then run the preflight", profile)
        text = f"{names(which)} {'is' if len(which) == 1 else 'are'} not focused by hand ({wrong[which[0]]})"
        yield fault("focus", text, f"{some(which)} not on manual focus", put, cameras=which)
    if at is None:
        return
    left = [camera for camera in cameras if camera.name not in refused and not _confirmed(view, camera)]
    came = tuple(camera.name for camera in left if _came_since(camera))
    other = tuple(camera.name for camera in left if not _came_since(camera))
    if came:
        told = (
            "has come back, or was not armed yet: its"
            if len(came) == 1
            else "have come back, or were not armed yet: their"
        )
        text = f"{names(came)} {told} settings are not confirmed"
        yield fault("settings", text, f"{remedies.LOOK_AGAIN}: {some(came)} new", ask, cameras=came)
    if other:
        verb = "was" if len(other) == 1 else "were"
        text = f"{names(other)} {verb} not armed with the settings of profile {profile} yet"
        short = f"{remedies.LOOK_AGAIN} with {profile}"
        yield fault("settings", text, short, ask, place=profile, cameras=other)


def _came_since(camera: CameraView) -> bool:
    """Whether its body came, or came back, after its last arming."""
    return camera.arming is None or camera.came_ns > camera.arming.at_ns


def _confirmed(view: StudioView, camera: CameraView) -> bool:
    """Whether it has taken the profile's settings, and has been here ever since."""
    if camera.arming is None:
        return False
    wanted = exposure_of(view.rig.profile(profile_of(view)))
    return any(exposure == wanted and at_ns >= camera.came_ns for exposure, at_ns in camera.arming.taken)


def _armed_age_min(view: StudioView, cameras: list[CameraView]) -> float:
    """Minutes since every camera was armed: by a preflight, a fire or a lag shot, whichever was last."""
    times = [camera.arming.at_ns for camera in cameras if camera.arming is not None]
    return (view.now_ns - min(times)) / 60e9 if times else 0.0


def _calibration(view: StudioView) -> Iterator[Fault]:
    limit = view.rig.preflight.max_calibration_age_h
    made_at = view.calibration_at
    remedy = Remedy(
        "Photograph the board, then calibrate", "calibrate", (), "mien calibrate; mien rig calibration FILE"
    )
    decided = view.session is not None and "calibration" in view.session.without
    weight = Weight.NOTE if decided else None
    if made_at is None:
        yield fault("calibration", "the rig has no calibration", "no calibration", remedy, weight=weight)
        return
    age_h = (view.now - made_at).total_seconds() / 3600
    if age_h > limit:
        text = f"the calibration is {age_h:.0f} h old, the limit is {limit:g} h"
        yield fault("calibration", text, f"calibration {age_h:.0f} h old", remedy, weight=weight)


def _lags(view: StudioView, cameras: list[CameraView]) -> Iterator[Fault]:
    unknown = tuple(camera.name for camera in cameras if not camera.lag_known)
    if unknown:
        decided = view.session is not None and "lags" in view.session.without
        text = f"the shutter lag of {names(unknown)} is not known"
        remedy = Remedy("Measure the shutter lags", "lag", (), "mien rig lag --shots 30")
        weight = Weight.NOTE if decided else None
        yield fault("lags", text, f"lag of {some(unknown)} not known", remedy, cameras=unknown, weight=weight)


def _notes(view: StudioView, cameras: list[CameraView]) -> Iterator[Fault]:
    for told in view.late:
        yield fault("late_photographs", told, "a photograph came late", place=told.partition(".")[0][:80])
    strays = {camera.name: camera.strays for camera in cameras if camera.strays}
    if strays:
        which = tuple(strays)
        text = f"{names(which)}: {count(sum(strays.values()), 'file')} that no exposure made, in strays/ of the spool"
        yield fault("strays", text, f"strays at {some(which)}", Remedy("Look into strays/"), cameras=which)
    for camera, told in view.often.items():
        remedy = remedies.body("Change its cable, or set it aside", (camera,))
        yield fault("recovered", told, f"{camera} recovered often", remedy, place=camera, cameras=(camera,))
