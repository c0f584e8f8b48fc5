"""rig.toml: the cameras of a rig, the limits it is held to, and what a misspelling means."""

import difflib
import re
import tomllib
import types
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from controller.errors import ConfigurationError

TIERS = ("frontal", "side")
T = TypeVar("T")
CAMERA_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")


@dataclass(frozen=True)
class CameraEntry:
    """One `[[camera]]`: a place in the rig, and what is known of the body that stands there.

    `tier` is "frontal" or "side". `url` is the camera's address at its node, kept with the records.
    """

    name: str
    view: int
    serial: str = ""
    url: str = ""
    tier: str = "side"
    lag_ms: float = 0.0
    lag_sigma_ms: float = 0.0


@dataclass(frozen=True)
class SyncLimits:
    """`[sync]`: when to fire, how long to wait, and what is too late. Times in the unit of the name."""

    max_skew_ms: float = 5.0
    max_clock_uncertainty_ms: float = 0.5
    minimum_lead_ms: float = 150.0
    lead_round_trips: float = 5.0
    arm_timeout_ms: float = 2000.0
    clock_patience_s: float = 6.0
    window_ms: float = 120.0
    stamps_timeout_ms: float = 2000.0
    silence_s: float = 6.0


@dataclass(frozen=True)
class TransferLimits:
    """`[transfer]`: how photographs come in. Memory held is about transfers x credit x chunk."""

    transfers: int = 4
    credit: int = 4
    frame_timeout_s: float = 30.0
    max_frame_mb: float = 200.0


@dataclass(frozen=True)
class ExposureEntry:
    """`[exposure]`: what every camera is set to before it is armed; empty means as the body is."""

    iso: str = ""
    aperture: str = ""
    shutter: str = ""


@dataclass(frozen=True)
class CheckLimits:
    """`[checks]`: when a photograph is worth a second look."""

    max_clipped_percent: float = 25.0
    brightness_outlier_factor: float = 2.0


@dataclass(frozen=True)
class Rig:
    """A whole rig file. Cameras are in view order."""

    name: str
    cameras: tuple[CameraEntry, ...]
    sync: SyncLimits = field(default_factory=SyncLimits)
    transfer: TransferLimits = field(default_factory=TransferLimits)
    exposure: ExposureEntry = field(default_factory=ExposureEntry)
    checks: CheckLimits = field(default_factory=CheckLimits)

    def camera(self, name: str) -> CameraEntry:
        for entry in self.cameras:
            if entry.name == name:
                return entry
        raise ConfigurationError(f"rig {self.name} has no camera {name!r}")


def read_rig(path: Path) -> Rig:
    """Read and check a rig file. Raises ConfigurationError that names the file, the key and the likely meant key."""
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read: {error.strerror or error}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path}: not valid TOML: {error}") from error
    return parse_rig(document, str(path))


def parse_rig(document: Mapping[str, Any], source: str) -> Rig:
    """The same for a parsed document; `source` names it in messages."""
    sections: dict[str, type[Any]] = {
        "sync": SyncLimits,
        "transfer": TransferLimits,
        "exposure": ExposureEntry,
        "checks": CheckLimits,
    }
    _refuse_unknown(document, {"name", "camera", *sections}, source, "")
    name = document.get("name")
    if not isinstance(name, str) or not name:
        raise ConfigurationError(f'{source}: needs name = "..." at the top')
    entries = document.get("camera", [])
    if not isinstance(entries, list) or not entries:
        raise ConfigurationError(f"{source}: needs at least one [[camera]]")
    cameras = [_table(CameraEntry, entry, source, f"camera[{index}]") for index, entry in enumerate(entries)]
    parsed = {key: _table(kind, document[key], source, key) for key, kind in sections.items() if key in document}
    rig = Rig(name=name, cameras=tuple(sorted(cameras, key=lambda camera: camera.view)), **parsed)
    _check_cameras(rig, source)
    _check_limits(rig, source)
    return rig


def format_rig(rig: Rig) -> str:
    """The rig as TOML that read_rig takes back unchanged; only what differs from the defaults is written."""
    lines = [f"name = {_toml(rig.name)}"]
    for section in ("sync", "transfer", "exposure", "checks"):
        changed = _changed(getattr(rig, section))
        if changed:
            lines += ["", f"[{section}]", *changed]
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
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'
    return repr(value)


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


def _value(value: Any, hint: Any, place: str) -> Any:
    kinds = get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)
    if float in kinds and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if any(type(value) is kind for kind in kinds):
        return value
    names = " or ".join(kind.__name__ for kind in kinds)
    raise ConfigurationError(f"{place} must be {names}, not {value!r}")


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


def _check_limits(rig: Rig, source: str) -> None:
    for section in ("sync", "transfer", "checks"):
        table = getattr(rig, section)
        for item in fields(table):
            value = getattr(table, item.name)
            if not value > 0:
                raise ConfigurationError(f"{source}: {item.name!r} in [{section}] must be above 0, not {value!r}")
