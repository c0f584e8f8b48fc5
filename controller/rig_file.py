"""rig.toml: the cameras of a rig, the limits it is held to, and what a misspelling means."""

import difflib
import re
import types
from collections.abc import Collection, Mapping
from dataclasses import MISSING, dataclass, field, fields, replace
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from common.configuration.toml_file import read_toml
from controller.errors import ConfigurationError
from controller.lighting.light_scenes import LightsEntry, Scene, format_scene, parse_scene

TIERS = ("frontal", "side")
T = TypeVar("T")
CAMERA_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")
DEFAULT_PROFILE = "default"


@dataclass(frozen=True)
class CameraEntry:
    """One `[[camera]]`: a place in the rig, and what is known of the body that stands there.

    `readout_ms` is the time from its sensor's first row to the last, negative when the last comes first.
    `tier` is "frontal" or "side". `url` is the camera's address at its node, kept with the records.
    """

    name: str
    view: int
    serial: str = ""
    url: str = ""
    tier: str = "side"
    lag_ms: float = 0.0
    lag_sigma_ms: float = 0.0
    readout_ms: float | None = None


@dataclass(frozen=True)
class SyncLimits:
    """`[sync]`: when to fire, how long to wait, and what is too late. Times in the unit of the name."""

    max_skew_ms: float = 5.0
    max_clock_uncertainty_ms: float = 0.5
    minimum_lead_ms: float = 150.0
    lead_round_trips: float = 5.0
    arm_timeout_ms: float = 2000.0
    arm_patience_s: float = 15.0  # at most so long for a camera that says that it needs longer
    clock_patience_s: float = 6.0
    window_ms: float = 120.0
    stamps_timeout_ms: float = 2000.0
    silence_s: float = 6.0
    system_time: str = ""  # "chrony" or "ptp": trusted with the clocks as long as the pings agree


@dataclass(frozen=True)
class TransferLimits:
    """`[transfer]`: how photographs come in. Memory held is about transfers x credit x chunk.

    allow_ram: a body that keeps its photographs in memory until they are fetched, not on its card, is fired all the
    same, with a warning on every take.
    """

    transfers: int = 4
    credit: int = 4
    frame_timeout_s: float = 30.0
    max_frame_mb: float = 200.0
    min_free_mb: float = 500.0
    allow_ram: bool = False


@dataclass(frozen=True)
class ExposureEntry:
    """`[exposure]` and `[profile.NAME]`: what every camera is set to before it is armed; empty means as the body is.

    `scene` is the light scene that goes with it; empty leaves the lights alone.
    """

    iso: str = ""
    aperture: str = ""
    shutter: str = ""
    white_balance: str = ""
    image_format: str = ""
    focus_mode: str = ""
    scene: str = ""


@dataclass(frozen=True)
class CheckLimits:
    """`[checks]`: when a take is worth a second look; what each means is in docs/operators.md."""

    min_sharpness: float = 0.7
    max_clipped_percent: float = 5.0
    brightness_outlier_factor: float = 1.5
    rig_brightness_factor: float = 2.0
    min_face_share: float = 0.5
    eyes_closed_score: float = 0.4
    min_face_views: int = 3
    frontal_degrees: float = 35.0
    baseline_takes: int = 100
    processes: int = 2
    timeout_s: float = 30.0


@dataclass(frozen=True)
class PreflightLimits:
    """`[preflight]`: what a session may begin with. `frames`: photographs that the session will ask of each camera."""

    frames: int = 40
    frame_mb: float = 12.0
    min_battery_percent: int = 25
    max_calibration_age_h: float = 168.0


@dataclass(frozen=True)
class AsideLimits:
    """`[aside]`: how many cameras a take may do without, set aside or missing by decision; 0 forbids it."""

    max: int = 4
    max_frontal: int = 2
    max_side: int = 4
    allow_neighbours: bool = False


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


def read_rig(path: Path) -> Rig:
    """Read and check a rig file. Raises ConfigurationError that names the file, the key and the likely meant key."""
    return parse_rig(read_toml(path), str(path))


def parse_rig(document: Mapping[str, Any], source: str) -> Rig:
    """The same for a parsed document; `source` names it in messages."""
    sections: dict[str, type[Any]] = {
        "sync": SyncLimits,
        "transfer": TransferLimits,
        "exposure": ExposureEntry,
        "checks": CheckLimits,
        "preflight": PreflightLimits,
        "lights": LightsEntry,
        "aside": AsideLimits,
    }
    _refuse_unknown(document, {"name", "camera", "profile", "scene", *sections}, source, "")
    name = document.get("name")
    if not isinstance(name, str) or not name:
        raise ConfigurationError(f'{source}: needs name = "..." at the top')
    entries = document.get("camera", [])
    if not isinstance(entries, list) or not entries:
        raise ConfigurationError(f"{source}: needs at least one [[camera]]")
    cameras = [_table(CameraEntry, entry, source, f"camera[{index}]") for index, entry in enumerate(entries)]
    parsed = {key: _table(kind, document[key], source, key) for key, kind in sections.items() if key in document}
    rig = Rig(
        name=name,
        cameras=tuple(sorted(cameras, key=lambda camera: camera.view)),
        profiles={
            key: _table(ExposureEntry, table, source, f"profile.{key}")
            for key, table in _named(document, "profile", source).items()
        },
        scenes={
            key: parse_scene(key, table, f"{source}: [scene.{key}]")
            for key, table in _named(document, "scene", source).items()
        },
        **parsed,
    )
    _check_lights(rig, source)
    _check_cameras(rig, source)
    _check_limits(rig, source)
    return rig


def format_rig(rig: Rig) -> str:
    """The rig as TOML that read_rig takes back unchanged; only what differs from the defaults is written."""
    lines = [f"name = {_toml(rig.name)}"]
    for section in ("sync", "transfer", "exposure", "checks", "preflight", "lights", "aside"):
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


def _refuse_unknown(table: Mapping[str, Any], known: set[str], source: str, where: str) -> None:
    for key in table:
        if key not in known:
            near = difflib.get_close_matches(key, sorted(known), n=1, cutoff=0.5)
            meant = f"; did you mean {near[0]!r}?" if near else f"; known are {', '.join(sorted(known))}"
            place = f" in [{where}]" if where else ""
            raise ConfigurationError(f"{source}: unknown key {key!r}{place}{meant}")


def _table(kind: type[T], table: Any, source: str, where: str) -> T:
    if not isinstance(table, Mapping):
        raise ConfigurationError(f"{source}: [{where}] must be a table")
    hints = get_type_hints(kind)
    _refuse_unknown(table, set(hints), source, where)
    for item in fields(kind):  # type: ignore[arg-type]
        if item.name not in table and item.default is MISSING and item.default_factory is MISSING:
            raise ConfigurationError(f"{source}: [{where}] lacks {item.name!r}")
    return kind(**{key: _value(value, hints[key], f"{source}: {key!r} in [{where}]") for key, value in table.items()})


def _named(document: Mapping[str, Any], kind: str, source: str) -> Mapping[str, Any]:
    """The tables `[kind.NAME]`, with names that commands and records can carry."""
    tables = document.get(kind, {})
    if not isinstance(tables, Mapping):
        raise ConfigurationError(f"{source}: {kind!r} must be tables named [{kind}.NAME]")
    for name in tables:
        if not CAMERA_NAME.fullmatch(name):
            raise ConfigurationError(
                f"{source}: [{kind}.{name}]: use lower-case letters, digits, - and _ in its name, at most 32"
            )
        if kind == "profile" and name == DEFAULT_PROFILE:
            raise ConfigurationError(f"{source}: the profile {DEFAULT_PROFILE!r} is written as [exposure]")
    return tables


def _value(value: Any, hint: Any, place: str) -> Any:
    kinds = get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)
    if float in kinds and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if any(type(value) is kind for kind in kinds):
        return value
    names = " or ".join(kind.__name__ for kind in kinds)
    raise ConfigurationError(f"{place} must be {names}, not {value!r}")


def _check_lights(rig: Rig, source: str) -> None:
    asked = {f"profile {name!r}": profile.scene for name, profile in rig.profiles.items()}
    asked |= {"[exposure]": rig.exposure.scene, "'between' in [lights]": rig.lights.between}
    for place, scene in asked.items():
        if scene and scene not in rig.scenes:
            near = difflib.get_close_matches(scene, sorted(rig.scenes), n=1, cutoff=0.5)
            meant = f"; did you mean {near[0]!r}?" if near else f"; write it as [scene.{scene}]"
            raise ConfigurationError(f"{source}: {place} names the scene {scene!r}, which there is not{meant}")
    if not 0 <= rig.lights.priority <= 200:
        raise ConfigurationError(f"{source}: 'priority' in [lights] is {rig.lights.priority}; sACN has 0 to 200")
    if not 0 <= rig.lights.settle_ms <= 10_000:
        raise ConfigurationError(f"{source}: 'settle_ms' in [lights] is {rig.lights.settle_ms:g}; use 0 to 10000")
    if rig.lights.interface:
        try:
            IPv4Address(rig.lights.interface)
        except ValueError:
            raise ConfigurationError(
                f"{source}: 'interface' in [lights] is {rig.lights.interface!r}; give this server's IPv4 address there"
            ) from None


def _check_cameras(rig: Rig, source: str) -> None:
    for key in ("name", "view", "serial"):
        seen: dict[Any, str] = {}
        for camera in rig.cameras:
            value = getattr(camera, key)
            if value == "":
                continue
            if value in seen:
                raise ConfigurationError(f"{source}: {key} {value!r} is given to {seen[value]} and to {camera.name}")
            seen[value] = camera.name
    for camera in rig.cameras:
        if not CAMERA_NAME.fullmatch(camera.name):
            raise ConfigurationError(
                f"{source}: camera name {camera.name!r}: use lower-case letters, digits, - and _, at most 32"
            )
        if camera.tier not in TIERS:
            raise ConfigurationError(f"{source}: {camera.name} has tier {camera.tier!r}; use {' or '.join(TIERS)}")
        if camera.view < 0:
            raise ConfigurationError(f"{source}: {camera.name} has view {camera.view}; views count from 0")
        if not 0 <= camera.lag_ms <= 1000 or not 0 <= camera.lag_sigma_ms <= 100:
            raise ConfigurationError(f"{source}: {camera.name} has lag {camera.lag_ms} +- {camera.lag_sigma_ms} ms")
        if camera.readout_ms is not None and not -200 <= camera.readout_ms <= 200:
            raise ConfigurationError(f"{source}: {camera.name} has readout_ms {camera.readout_ms}; within -200 and 200")


def _check_limits(rig: Rig, source: str) -> None:
    for section in ("sync", "transfer", "checks", "preflight"):
        table = getattr(rig, section)
        for item in fields(table):
            value = getattr(table, item.name)
            if item.name == "system_time":
                if value not in ("", "chrony", "ptp"):
                    raise ConfigurationError(f"{source}: 'system_time' in [sync] is 'chrony' or 'ptp', not {value!r}")
            elif not isinstance(value, bool) and not value > 0:
                raise ConfigurationError(f"{source}: {item.name!r} in [{section}] must be above 0, not {value!r}")
    for item in fields(rig.aside):
        if getattr(rig.aside, item.name) < 0:
            value = getattr(rig.aside, item.name)
            raise ConfigurationError(f"{source}: {item.name!r} in [aside] must be 0 or above, not {value!r}")
