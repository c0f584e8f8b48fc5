"""rig.toml: the cameras of a rig, the limits it is held to, and what a misspelling means."""

import re
from collections.abc import Collection, Mapping
from dataclasses import MISSING, dataclass, field, fields, replace
from ipaddress import IPv4Address
from pathlib import Path
from typing import Annotated, Any

from msgspec import Meta

from common.configuration.loader import Refusal, find_refusals, read_toml
from common.configuration.suggestions import nearest
from controller.errors import ConfigurationError
from controller.lighting.light_scenes import LightsEntry, Scene, examine_scene, format_scene

CAMERA_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")
DEFAULT_PROFILE = "default"
TIERS = ("frontal", "side")
_SECTIONS = ("sync", "transfer", "exposure", "checks", "preflight", "lights", "aside", "side")

Above0 = Annotated[float, Meta(gt=0)]
From1 = Annotated[int, Meta(ge=1)]
From0 = Annotated[int, Meta(ge=0)]
CameraName = Annotated[
    str,
    Meta(
        pattern=f"^{CAMERA_NAME.pattern}$",
        description="a camera name of lower-case letters, digits, - and _, at most 32",
    ),
]
Tier = Annotated[str, Meta(pattern=f"^({'|'.join(TIERS)})$", description=f"a tier, {' or '.join(map(repr, TIERS))}")]
TimeSource = Annotated[str, Meta(pattern="^(chrony|ptp)?$", description="'chrony' or 'ptp'")]


@dataclass(frozen=True)
class CameraEntry:
    """One `[[camera]]`: a place in the rig, and what is known of the body that stands there."""

    # of the place, not of the body
    name: CameraName
    # number of its photographs in a take's folder
    view: Annotated[int, Meta(ge=0, description="int, 0 or above (views count from 0)")]
    # of the body that stands there; empty where any may
    serial: str = ""
    # the camera's address at its node, kept with the records
    url: str = ""
    # the frontal ones are asked about the face
    tier: Tier = "side"
    # shutter lag, as `mien rig lag --out` writes it
    lag_ms: Annotated[float, Meta(ge=0, le=1000, description="a lag of 0 to 1000 ms")] = 0.0
    # standard deviation of the lag
    lag_sigma_ms: Annotated[float, Meta(ge=0, le=100, description="0 to 100")] = 0.0
    # from the sensor's first row to the last, negative when the last comes first
    readout_ms: Annotated[float, Meta(ge=-200, le=200, description="within -200 and 200")] | None = None


@dataclass(frozen=True)
class SyncLimits:
    """`[sync]`: when to fire, how long to wait, and what is too late. Times in the unit of the name."""

    # a take over this is flagged
    max_skew_ms: Above0 = 5.0
    # a camera whose clock is known worse than this is not armed
    max_clock_uncertainty_ms: Above0 = 0.5
    # the fire lies at least this far ahead; the longest lag comes on top
    minimum_lead_ms: Above0 = 150.0
    # ... and this many round trips
    lead_round_trips: Above0 = 5.0
    # a camera that does not answer in this time is a fault
    arm_timeout_ms: Above0 = 2000.0
    # at most so long for a camera that says that it needs longer
    arm_patience_s: Above0 = 15.0
    # how long a fire waits for clocks that are near the limit
    clock_patience_s: Above0 = 6.0
    # after the fire's moment, before the wait for stamps begins
    window_ms: Above0 = 120.0
    # a camera that has not told of its exposure in this time is a fault
    stamps_timeout_ms: Above0 = 2000.0
    # a node not heard for this long is missing
    silence_s: Above0 = 6.0
    # "chrony" or "ptp": trusted with the clocks as long as the pings agree
    system_time: TimeSource = ""


@dataclass(frozen=True)
class TransferLimits:
    """`[transfer]`: how photographs come in. Memory held is about transfers x credit x chunk."""

    # photographs under way at once
    transfers: From1 = 4
    # chunks of 256 kB in flight for each
    credit: From1 = 4
    # a take is given up when no photograph has come for this long
    frame_timeout_s: Above0 = 30.0
    # larger files are refused
    max_frame_mb: Above0 = 200.0
    # so much stays free where photographs are put together; below it they wait on the nodes
    min_free_mb: Above0 = 500.0
    # bodies that keep no photograph on a card are fired all the same, with a warning on every take
    allow_ram: bool = False


@dataclass(frozen=True)
class ExposureEntry:
    """`[exposure]` and `[profile.NAME]`: what every camera is set to before it is armed; empty means as the body is.

    Values are written as the camera writes them.
    """

    # sensitivity
    iso: str = ""
    # f-number
    aperture: str = ""
    # exposure time
    shutter: str = ""
    # as the body names it
    white_balance: str = ""
    # JPEG, raw or both, as the body names it
    image_format: str = ""
    # as the body names it
    focus_mode: str = ""
    # the light scene that goes with it; empty leaves the lights alone
    scene: str = ""


@dataclass(frozen=True)
class CheckLimits:
    """`[checks]`: when a take is worth a second look."""

    # advice when a photograph has less than this share of its camera's usual sharpness
    min_sharpness: Above0 = 0.7
    # advice when so many more pixels than usual are at the end of a channel
    max_clipped_percent: Above0 = 5.0
    # advice when one camera's brightness changes so much more than the rig's
    brightness_outlier_factor: Above0 = 1.5
    # advice when the whole rig is so much brighter or darker than before
    rig_brightness_factor: Above0 = 2.0
    # advice when fewer of the frontal views see a face
    min_face_share: Above0 = 0.5
    # an eye counts as closed from this score, 0 to 1
    eyes_closed_score: Above0 = 0.4
    # so many views must see the face before eyes and expression are judged
    min_face_views: From1 = 3
    # views within this angle of the face count among them
    frontal_degrees: Above0 = 35.0
    # a camera's usual figures are medians over its last so many kept takes
    baseline_takes: From1 = 100
    # whether a neutral is held against this subject's earlier ones: advice when it shows another person
    same_person: bool = False
    # check processes on the server
    processes: From1 = 2
    # a take is judged after this time with what is known
    timeout_s: Above0 = 30.0


@dataclass(frozen=True)
class PreflightLimits:
    """`[preflight]`: what a session may begin with."""

    # photographs that the session will ask of each camera: card and disks must have room for them
    frames: From1 = 40
    # how large one is
    frame_mb: Above0 = 12.0
    # with less a session does not begin
    min_battery_percent: From1 = 25
    # nor with an older calibration, or with none
    max_calibration_age_h: Above0 = 168.0
    # READY is not said when the rig was last armed, by a preflight or a fire, longer ago than this
    max_age_min: Above0 = 30.0


@dataclass(frozen=True)
class AsideLimits:
    """`[aside]`: how many cameras a take may do without, set aside or missing by decision; 0 forbids it."""

    # so many cameras of the rig
    max: From0 = 4
    # of them, so many frontal ones
    max_frontal: From0 = 2
    # ... and so many side ones
    max_side: From0 = 4
    # whether two that stand side by side may be missing together
    allow_neighbours: bool = False


@dataclass(frozen=True)
class SideWork:
    """`[side]`: what runs beside a session on the studio's computer, where the farm's packages are there."""

    # each take's cameras are held against its photographs
    bumped: bool = True
    # a coarse scan of each take is made for a look
    preview: bool = True
    # what wants more memory is ended,
    memory_gb: Above0 = 4.0
    # and what works longer
    timeout_s: Above0 = 120.0


@dataclass(frozen=True)
class Rig:
    """A whole rig file. Cameras are in view order; `exposure` is the profile "default"."""

    name: str
    cameras: tuple[CameraEntry, ...]
    sync: SyncLimits = field(default_factory=SyncLimits)
    transfer: TransferLimits = field(default_factory=TransferLimits)
    exposure: ExposureEntry = field(default_factory=ExposureEntry)
    checks: CheckLimits = field(default_factory=CheckLimits)
    preflight: PreflightLimits = field(default_factory=PreflightLimits)
    lights: LightsEntry = field(default_factory=LightsEntry)
    aside: AsideLimits = field(default_factory=AsideLimits)
    side: SideWork = field(default_factory=SideWork)
    profiles: Mapping[str, ExposureEntry] = field(default_factory=dict)
    scenes: Mapping[str, Scene] = field(default_factory=dict)

    def profile(self, name: str) -> ExposureEntry:
        """The settings profile of that name: "default" is `[exposure]`. Raises ConfigurationError."""
        if name == DEFAULT_PROFILE:
            return self.exposure
        if name not in self.profiles:
            known = ", ".join((DEFAULT_PROFILE, *sorted(self.profiles)))
            raise ConfigurationError(f"rig {self.name} has no settings profile {name!r}; it has {known}")
        return self.profiles[name]

    def scene_of(self, profile: str) -> Scene | None:
        """The light scene of a profile; None leaves the lights alone."""
        name = self.profile(profile).scene
        return self.scenes[name] if name else None

    def camera(self, name: str) -> CameraEntry:
        for entry in self.cameras:
            if entry.name == name:
                return entry
        raise ConfigurationError(f"rig {self.name} has no camera {name!r}")

    def without(self, names: Collection[str]) -> "Rig":
        """The rig without these cameras, for what is asked of the others alone."""
        return replace(self, cameras=tuple(camera for camera in self.cameras if camera.name not in names))


@dataclass(frozen=True)
class _RigFile:
    """A rig file as it is written."""

    name: Annotated[str, Meta(min_length=1, description='the name of the rig, as in name = "studio-a"')]
    camera: tuple[CameraEntry, ...] = ()
    sync: SyncLimits = field(default_factory=SyncLimits)
    transfer: TransferLimits = field(default_factory=TransferLimits)
    exposure: ExposureEntry = field(default_factory=ExposureEntry)
    checks: CheckLimits = field(default_factory=CheckLimits)
    preflight: PreflightLimits = field(default_factory=PreflightLimits)
    lights: LightsEntry = field(default_factory=LightsEntry)
    aside: AsideLimits = field(default_factory=AsideLimits)
    side: SideWork = field(default_factory=SideWork)
    profile: Mapping[str, ExposureEntry] = field(default_factory=dict)
    scene: Mapping[str, Any] = field(default_factory=dict)  # see light_scenes.examine_scene


def read_rig(path: Path, *, setting_up: bool = False) -> Rig:
    """Read and check a rig file. Raises ConfigurationError that names the file, the key and the likely meant key.

    setting_up: a file that has no camera yet will do.
    """
    rig, faults = judge_rig(read_toml(path, ConfigurationError), setting_up=setting_up)
    if rig is None:
        more = f"\n{len(faults) - 1} more:  mien rig check {path}" if len(faults) > 1 else ""
        raise ConfigurationError(f"{path}: {faults[0].text}{more}")
    return rig


def parse_rig(document: Mapping[str, Any], source: str) -> Rig:
    """The same for a parsed document; `source` names it in messages."""
    rig, faults = judge_rig(document)
    if rig is None:
        raise ConfigurationError(f"{source}: {faults[0].text}")
    return rig


def judge_rig(document: Mapping[str, Any], *, setting_up: bool = False) -> tuple[Rig | None, list[Refusal]]:
    """The rig of a parsed rig file, or None and all that is wrong with it."""
    written, faults = find_refusals(_RigFile, document)
    tables = document.get("scene")
    examined = {
        name: examine_scene(name, table) for name, table in (tables.items() if isinstance(tables, Mapping) else ())
    }
    if not document.get("camera") and not setting_up:
        faults.append(Refusal((), "needs at least one [[camera]]", absent=True))
    for kind in ("profile", "scene"):
        faults += _misnamed(kind, document.get(kind))
    for name, (_, wrong) in examined.items():
        faults += [Refusal(("scene", name, *one.at), f"[scene.{name}]{one.text}") for one in wrong]
    faults += _wrong_lights(document, examined)
    faults += _given_twice(document.get("camera"))
    if faults or written is None:
        return None, faults
    return Rig(
        name=written.name,
        cameras=tuple(sorted(written.camera, key=lambda camera: camera.view)),
        profiles=written.profile,
        scenes={name: scene for name, (scene, _) in examined.items()},
        **{section: getattr(written, section) for section in _SECTIONS},
    ), []


def format_rig(rig: Rig) -> str:
    """The rig as TOML that read_rig takes back unchanged; only what differs from the defaults is written."""
    lines = [f"name = {_toml(rig.name)}"]
    for section in _SECTIONS:
        changed = _changed(getattr(rig, section))
        if changed:
            lines += ["", f"[{section}]", *changed]
    for name, profile in rig.profiles.items():
        lines += ["", f"[profile.{name}]", *_changed(profile)]
    for scene in rig.scenes.values():
        lines += ["", *format_scene(scene)]
    for camera in rig.cameras:
        lines += ["", "[[camera]]", *_changed(camera)]
    return "\n".join(lines) + "\n"


def _changed(value: Any) -> list[str]:
    return [
        f"{item.name} = {_toml(getattr(value, item.name))}"
        for item in fields(value)
        if item.default is MISSING or getattr(value, item.name) != item.default
    ]


def _toml(value: str | float) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'
    return str(value).lower() if isinstance(value, bool) else repr(value)


def _misnamed(kind: str, tables: object) -> list[Refusal]:
    """Of the tables `[kind.NAME]`, those whose name commands and records could not carry."""
    faults = []
    for name in tables if isinstance(tables, Mapping) else ():
        if not CAMERA_NAME.fullmatch(name):
            told = f"[{kind}.{name}]: use lower-case letters, digits, - and _ in its name, at most 32"
            faults.append(Refusal((kind, name), told))
        elif kind == "profile" and name == DEFAULT_PROFILE:
            faults.append(Refusal((kind, name), f"the profile {DEFAULT_PROFILE!r} is written as [exposure]"))
    return faults


def _wrong_lights(document: Mapping[str, Any], scenes: Collection[str]) -> list[Refusal]:
    """Scenes that are named and missing, and an address that is none."""
    asked: dict[tuple[str, ...], tuple[str, object]] = {}
    for name in _table(document.get("profile")):
        asked["profile", name, "scene"] = f"profile {name!r}", _text(document, "profile", name, "scene")
    asked["exposure", "scene"] = "[exposure]", _text(document, "exposure", "scene")
    asked["lights", "between"] = "'between' in [lights]", _text(document, "lights", "between")
    faults = []
    for at, (place, scene) in asked.items():
        if scene and scene not in scenes:
            near = nearest(str(scene), scenes)
            meant = f"; did you mean {near!r}?" if near is not None else f"; write it as [scene.{scene}]"
            faults.append(Refusal(at, f"{place} names the scene {scene!r}, which there is not{meant}", absent=True))
    if interface := _text(document, "lights", "interface"):
        try:
            IPv4Address(interface)
        except ValueError:
            told = f"'interface' in [lights] is {interface!r}; give this server's IPv4 address there"
            faults.append(Refusal(("lights", "interface"), told))
    return faults


def _table(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _text(document: Mapping[str, Any], *keys: str) -> str:
    """The text under these keys; empty where there is none, or something else."""
    value: object = document
    for key in keys:
        value = _table(value).get(key)
    return value if isinstance(value, str) else ""


def _given_twice(cameras: object) -> list[Refusal]:
    """Names, views and serials that two cameras have; said of the second of them."""
    entries = list(enumerate(cameras if isinstance(cameras, list) else ()))
    faults = []
    for key, kind in (("name", str), ("view", int), ("serial", str)):
        seen: dict[Any, object] = {}
        for number, entry in entries:
            value = _table(entry).get(key)
            if type(value) is not kind or value == "":
                continue
            name = _table(entry).get("name") or f"camera[{number}]"
            if value in seen:
                told = f"{key} {value!r} is given to {seen[value]} and to {name}"
                faults.append(Refusal(("camera", number, key), told))
            seen.setdefault(value, name)
    return faults
