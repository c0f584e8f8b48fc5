"""What is known of camera bodies by model: time-outs, habits, what they cannot do.  Data, in data/body_models.toml.

Every entry whose patterns fit the model's name counts, the more specific over the less: "Canon EOS*" says what holds
for all of them, "Canon EOS 7D" what that one does besides.  A file of the operator lies over the whole table.
"""

import fnmatch
import functools
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

from msgspec import Meta

from camera_nodes.errors import BadSettings
from common.bounded.files import read_text
from common.bounded.json_toml import parse_toml
from common.bounded.limits import MAX_TOML_BYTES
from common.configuration.loader import Wording, check_keys, values_from_table

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

_WORDING = Wording(unknown="unknown key {key!r}", known="known: {known}", value="{key} is {value!r}; it is {wanted}")
_OF_ENTRY = ("name", "match", "notes", "sources")
KEYS = tuple(f.name for f in fields(BodyModel) if f.name not in (*_OF_ENTRY, "entries"))
Text = Annotated[str, Meta(pattern=r"\S")]
Texts = Annotated[tuple[Text, ...], Meta(description='a list of texts, as in ["Memory card"]')]
Switch = Annotated[bool, Meta(description="true or false")]
FileS = Annotated[float, Meta(ge=0.1, le=7200.0, description="a number of seconds from 0.1 to 7200")]
SettleS = Annotated[float, Meta(ge=0.0, le=120.0, description="a number of seconds from 0 to 120")]
BusyS = Annotated[float, Meta(ge=0.0, le=300.0, description="a number of seconds from 0 to 300")]
InitS = Annotated[float, Meta(ge=0.1, le=300.0, description="a number of seconds from 0.1 to 300")]
QuietS = Annotated[float, Meta(ge=0.001, le=10.0, description="a number of seconds from 0.001 to 10")]


@dataclass(frozen=True)
class _EntryTable:
    """A [[body]] as it is written: keys of BodyModel, for whom they hold, and where that is from."""

    name: Annotated[Text, Meta(description='a name, as in name = "Canon EOS 5D Mark IV"')]
    match: Texts = ()
    notes: Annotated[str, Meta(description="a text (this is not a text)")] = ""
    sources: object = ()  # see _sources
    file_s: FileS = 0.0
    settle_s: SettleS = 0.0
    busy_s: BusyS = 0.0
    init_s: InitS = 0.0
    quiet_s: QuietS = 0.0
    between_s: BusyS = 0.0
    order: Order = "either"
    same_stem: Switch = True
    card_target: Texts = ()
    ram_only: Switch = False
    cached_settings: Switch = False
    deletes: Switch = True
    releases: Switch = True
    clock_settings: Texts = ()


def parse(text: str, where: str, *, layer: int = 0) -> tuple[ModelEntry, ...]:
    """The entries of a table.  Raises BadSettings naming file, entry, key and the likely meant key."""
    try:
        table = parse_toml(text)
    except ValueError as error:
        raise BadSettings(f"{where}: not a TOML file: {error}") from None
    check_keys(table, ("body",), where, BadSettings, _WORDING)
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
    given = values_from_table(_EntryTable, written, where, BadSettings, wording=_WORDING)
    match = given.get("match", (name,))
    if not match:
        raise BadSettings(f'{where}: match is empty; write the model\'s name, as in match = ["{name}"]')
    values = {key: value for key, value in given.items() if key in KEYS}
    if "clock_settings" in values:
        values["clock_settings"] = tuple(_clock_setting(text, where) for text in values["clock_settings"])
    return ModelEntry(
        name, match, values, given.get("notes", "").strip(), _sources(given.get("sources", []), where), layer
    )


def _clock_setting(text: str, where: str) -> ClockSetting:
    name, _, keeps = text.partition(" ")
    if keeps == "utc":
        return ClockSetting(name, "utc")
    if keeps == "local":
        return ClockSetting(name, "local")
    raise BadSettings(
        f'{where}: clock_settings: {text!r} is not a setting and what the body keeps, as in "datetimeutc utc"'
    )


def _sources(written: object, where: str) -> tuple[Source, ...]:
    if not isinstance(written, list) or not all(isinstance(source, dict) for source in written):
        raise BadSettings(f'{where}: sources is a list of {{ url = "...", says = "..." }}')
    for source in written:
        check_keys(source, ("url", "says"), f"{where}: sources", BadSettings, _WORDING)
        if not all(isinstance(source.get(key), str) and source[key].strip() for key in ("url", "says")):
            raise BadSettings(f"{where}: a source has a url and says what is said there")
    return tuple(Source(source["url"], source["says"]) for source in written)


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
