"""What is known of camera bodies by model: time-outs, habits, what they cannot do.  Data, in data/body_models.toml.

Every entry whose patterns fit the model's name counts, the more specific over the less: "Canon EOS*" says what holds
for all of them, "Canon EOS 7D" what that one does besides.  A file of the operator lies over the whole table.
"""

import difflib
import fnmatch
import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from camera_nodes.errors import BadSettings
from common.bounded.files import read_text
from common.bounded.json_toml import parse_toml
from common.bounded.limits import MAX_TOML_BYTES

Order = Literal["raw_first", "jpeg_first", "either"]
Keeps = Literal["utc", "local"]


@dataclass(frozen=True)
class Source:
    """Where a fact is from."""

    url: str  # of the page
    says: str  # what is said there


@dataclass(frozen=True)
class ClockSetting:
    """A setting that reads and sets the body's clock; libgphoto2 gives and takes it as seconds since 1970."""

    name: str  # libgphoto2's
    keeps: Keeps  # what the body itself keeps; "local": libgphoto2 converts by the time zone of this computer


@dataclass(frozen=True)
class BodyModel:
    """How a body behaves.  Times in seconds, each the longest that is waited for, unless it says otherwise."""

    name: str = "any body"  # of the most specific entry
    file_s: float = 45.0  # from the release to its file
    settle_s: float = 5.0  # until a setting that was set is there
    busy_s: float = 10.0  # how long it answers "busy"
    init_s: float = 20.0  # until a new connection answers
    quiet_s: float = 0.05  # so long without an event, and its queue is dry
    between_s: float = 0.0  # the shortest time from one release to the next that is told of as working
    order: Order = "either"  # which of raw file and JPEG is announced first
    same_stem: bool = True  # both have one stem on the card
    # values of `capturetarget` that put a photograph on the card, the best first; empty: none is known
    card_target: tuple[str, ...] = ("Memory card", "card+sdram", "card")
    ram_only: bool = False  # it keeps its photographs in memory alone, whatever is set
    # reading a setting gives what libgphoto2 remembers: no proof before an event or a new connection
    cached_settings: bool = False
    deletes: bool = True  # files can be deleted
    releases: bool = True  # its shutter can be released over the cable
    # the best first; empty: it has no clock that can be asked
    clock_settings: tuple[ClockSetting, ...] = (ClockSetting("datetimeutc", "utc"), ClockSetting("datetime", "local"))
    notes: str = ""  # for people
    sources: tuple[Source, ...] = ()  # of all this
    entries: tuple[str, ...] = ()  # that this was made from, the least specific first


@dataclass(frozen=True)
class ModelEntry:
    """One entry of a table."""

    name: str  # of the model, or of a family
    match: tuple[str, ...]  # patterns of the names that it fits
    values: Mapping[str, Any]  # what it says: keys of BodyModel
    notes: str = ""  # for people
    sources: tuple[Source, ...] = ()  # of all this
    layer: int = 0  # 0: of the built-in table, 1: of the operator's file

    def fits(self, model: str) -> int:
        """How specifically it fits: literal characters of its best pattern, and 1; 0 when none fits."""
        name = model.strip().lower()
        fitting = [p for p in self.match if fnmatch.fnmatchcase(name, p.strip().lower())]
        return max((_literal(pattern) + 1 for pattern in fitting), default=0)


@dataclass(frozen=True)
class BodyModels:
    """A table of entries."""

    entries: tuple[ModelEntry, ...] = field(default=())  # in the order of the table

    def find(self, model: str) -> BodyModel:
        """What is known of the body that calls itself `model`; that of any body when nothing is."""
        fitting = [(entry.layer, entry.fits(model), entry.name, entry) for entry in self.entries]
        found = BodyModel()
        for *_, entry in sorted((f for f in fitting if f[1]), key=lambda f: f[:3]):
            found = replace(
                found,
                **entry.values,
                name=entry.name,
                notes="\n".join(part for part in (found.notes, entry.notes) if part),
                sources=(*found.sources, *entry.sources),
                entries=(*found.entries, entry.name),
            )
        return found

    def with_file(self, path: Path) -> "BodyModels":
        """This table with the operator's file laid over it.  Raises BadSettings."""
        try:
            text = read_text(path, MAX_TOML_BYTES)
        except (OSError, ValueError) as error:
            raise BadSettings(f"the file of camera models {path} cannot be read: {error}") from None
        return BodyModels((*self.entries, *parse(text, str(path), layer=1)))


@functools.cache
def built_in() -> BodyModels:
    """The table that comes with Mien."""
    file = resources.files("camera_nodes.camera_models") / "data" / "body_models.toml"
    return BodyModels(parse(file.read_text(encoding="utf-8"), "body_models.toml"))


def load(path: Path | None = None) -> BodyModels:
    """The built-in table, with the operator's file over it where there is one.  Raises BadSettings."""
    return built_in() if path is None else built_in().with_file(path)


def body_model(model: str, path: Path | None = None) -> BodyModel:
    """What is known of the body that calls itself `model` ("Canon EOS 5D Mark IV", "D850").  Raises BadSettings."""
    return load(path).find(model)


# --- reading a table

_BOUNDS = {
    "file_s": (0.1, 7200.0), "settle_s": (0.0, 120.0), "busy_s": (0.0, 300.0), "init_s": (0.1, 300.0),
    "quiet_s": (0.001, 10.0), "between_s": (0.0, 300.0),
}  # fmt: skip
_SWITCHES = ("same_stem", "ram_only", "cached_settings", "deletes", "releases")
_ORDERS = ("raw_first", "jpeg_first", "either")
_OF_ENTRY = ("name", "match", "notes", "sources")
KEYS = tuple(f.name for f in fields(BodyModel) if f.name not in (*_OF_ENTRY, "entries"))


def parse(text: str, where: str, *, layer: int = 0) -> tuple[ModelEntry, ...]:
    """The entries of a table.  Raises BadSettings naming file, entry, key and the likely meant key."""
    try:
        table = parse_toml(text)
    except ValueError as error:
        raise BadSettings(f"{where}: not a TOML file: {error}") from None
    _known(table, ("body",), where)
    written = table.get("body", [])
    if not isinstance(written, list) or not all(isinstance(entry, dict) for entry in written):
        raise BadSettings(f"{where}: write [[body]] above each entry")
    entries = tuple(_entry(entry, f"{where}: entry {number + 1}", layer) for number, entry in enumerate(written))
    names = [entry.name for entry in entries]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise BadSettings(f"{where}: the entry {twice!r} is there twice")
    return entries


def _entry(written: Mapping[str, Any], where: str, layer: int) -> ModelEntry:
    name = written.get("name")
    if not isinstance(name, str) or not name.strip():
        raise BadSettings(f'{where}: it needs a name, as in name = "Canon EOS 5D Mark IV"')
    where = f"{where} ({name})"
    _known(written, (*_OF_ENTRY, *KEYS), where)
    match = _texts(written.get("match", [name]), f"{where}: match")
    if not match:
        raise BadSettings(f'{where}: match is empty; write the model\'s name, as in match = ["{name}"]')
    notes = written.get("notes", "")
    if not isinstance(notes, str):
        raise BadSettings(f"{where}: notes is {notes!r}, not a text")
    values = {key: _value(key, value, where) for key, value in written.items() if key in KEYS}
    return ModelEntry(name, match, values, notes.strip(), _sources(written.get("sources", []), where), layer)


def _value(key: str, value: Any, where: str) -> Any:
    where = f"{where}: {key}"
    if key in _BOUNDS:
        low, high = _BOUNDS[key]
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not number or not math.isfinite(value) or not low <= value <= high:
            raise BadSettings(f"{where} is {value!r}; it is a number of seconds from {low:g} to {high:g}")
        return float(value)
    if key in _SWITCHES:
        if not isinstance(value, bool):
            raise BadSettings(f"{where} is {value!r}; it is true or false")
        return value
    if key == "order":
        if value not in _ORDERS:
            raise BadSettings(f"{where} is {value!r}{_meant(str(value), _ORDERS)}")
        return value
    if key == "clock_settings":
        return tuple(_clock_setting(text, where) for text in _texts(value, where))
    return _texts(value, where)


def _clock_setting(text: str, where: str) -> ClockSetting:
    name, _, keeps = text.partition(" ")
    if keeps == "utc":
        return ClockSetting(name, "utc")
    if keeps == "local":
        return ClockSetting(name, "local")
    raise BadSettings(f'{where}: {text!r} is not a setting and what the body keeps, as in "datetimeutc utc"')


def _texts(value: Any, where: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(text, str) and text.strip() for text in value):
        raise BadSettings(f'{where} is {value!r}; it is a list of texts, as in ["Memory card"]')
    return tuple(value)


def _sources(written: Any, where: str) -> tuple[Source, ...]:
    if not isinstance(written, list) or not all(isinstance(source, dict) for source in written):
        raise BadSettings(f'{where}: sources is a list of {{ url = "...", says = "..." }}')
    for source in written:
        _known(source, ("url", "says"), f"{where}: sources")
        if not all(isinstance(source.get(key), str) and source[key].strip() for key in ("url", "says")):
            raise BadSettings(f"{where}: a source has a url and says what is said there")
    return tuple(Source(source["url"], source["says"]) for source in written)


def _known(found: Mapping[str, Any], allowed: Sequence[str], where: str) -> None:
    for key in found:
        if key not in allowed:
            raise BadSettings(f"{where}: unknown key {key!r}{_meant(key, allowed)}")


def _meant(given: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(given, known, n=1)
    return f"; did you mean {close[0]!r}?" if close else f"; known: {', '.join(known)}"


def _literal(pattern: str) -> int:
    """How many characters of a pattern stand for themselves: those outside `*`, `?` and `[...]`."""
    count, inside = 0, False
    for char in pattern:
        if inside:
            inside = char != "]"
        elif char == "[":
            inside = True
        elif char not in "*?":
            count += 1
    return count
