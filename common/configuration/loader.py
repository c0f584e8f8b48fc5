"""Configuration: a file's table becomes a frozen dataclass or Struct, and whatever is wrong in it is refused by name.

A dataclass declares the keys, their types and defaults. Ranges and patterns are declared beside the type, as msgspec
has them, with words for people where a bare range says too little:

    Positive = Annotated[float, Meta(gt=0)]
    Name = Annotated[str, Meta(pattern="^[a-z]+$", description="lower-case letters")]

A refusal names the file, the table, the key, what came and what is wanted; of a misspelt key, the likely meant one.
Tables nest: a field may be a dataclass, a tuple of them ([[camera]]) or a mapping to them
([profile.NAME]).
"""

import dataclasses
import re
import typing
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin

import msgspec

from common.bounded import json_toml
from common.configuration.suggestions import nearest

T = TypeVar("T")
_TYPES = {"float": "a number", "str": "a string", "array": "a list", "object": "a table"}
_EXPECTED = re.compile(r"Expected `(?P<kinds>[^`]*)`(?: (?P<bound>[<>]=?) (?P<limit>\S+))?")
_BOUNDS = {">": "above {}", ">=": "{} or above", "<": "below {}", "<=": "{} or below"}


@dataclass(frozen=True)
class Wording:
    """How a room words its refusals; each begins with the file."""

    # A key that nobody reads. key, place (" in [table]", or nothing at the top).
    unknown: str = "unknown key {key!r}{place}"
    # After it: the likely meant key, and all keys where there is none.
    near: str = "did you mean {near!r}?"
    known: str = "known keys: {known}"
    # A value that cannot be. key, place, wanted, value.
    value: str = "{key!r}{place} must be {wanted}, not {value!r}"


@dataclass(frozen=True)
class Refusal:
    """One thing that is wrong in a table."""

    at: tuple[str | int, ...]  # where: keys from the top, and the number of an entry of a list
    text: str  # what, which, and what is wanted
    absent: bool = False  # whether something that ought to be there is not


@dataclass(frozen=True)
class _Place:
    """Where in a file a table stands, for people and for programs."""

    words: tuple[str, ...] = ()
    at: tuple[str | int, ...] = ()

    def key(self, key: str) -> "_Place":
        return _Place((*self.words, key), (*self.at, key))

    def entry(self, key: str, number: int, entry: object) -> "_Place":
        """An entry of the list that `key` holds."""
        return _Place((*self.words, _numbered(key, number, entry)), (*self.at, key, number))

    @property
    def header(self) -> str:
        return ".".join(self.words)

    @property
    def told(self) -> str:
        """ " in [table]", or nothing at the top."""
        return f" in [{self.header}]" if self.words else ""


@dataclass(frozen=True)
class _Reader:
    """What every step of reading a table passes on."""

    source: str
    problem: type[Exception]
    wording: Wording
    strict: bool
    found: list[Refusal] | None = None  # all that is wrong, where that is wanted; else the first is raised

    def refuse(self, text: str, place: _Place, absent: bool = False) -> None:
        """Raises `problem`, unless all refusals are wanted: then go on without what is refused."""
        if self.found is None:
            raise self.problem(f"{self.source}: {text}")
        self.found.append(Refusal(place.at, text, absent))

    @property
    def count(self) -> int:
        return len(self.found or ())


def read_toml(path: Path, problem: type[Exception]) -> dict[str, Any]:
    """A TOML file that a person writes, within the bounds of common.bounded. Raises `problem` naming the file."""
    try:
        return json_toml.read_toml(path)
    except OSError as error:
        raise problem(f"{path}: cannot be read: {error.strerror or error}") from error
    except ValueError as error:
        raise problem(f"{path}: not valid TOML: {error}") from error


def check_keys(
    found: Iterable[str], known: Collection[str], source: str, problem: type[Exception], wording: Wording = Wording()
) -> None:
    """Refuse a key that is none of `known`. source: the file and table, as in "studio.toml [farm]"."""
    _check_keys(found, known, _Place(), _Reader(source, problem, wording, strict=True))


def from_table(
    kind: type[T],
    table: object,
    source: str,
    problem: type[Exception],
    *,
    wording: Wording = Wording(),
    strict: bool = True,
) -> T:
    """`table` as the dataclass `kind`. source: the file, with the table's name where it is not the whole file.

    strict: a number is a number; otherwise a text such as "3" or "true" will do, as an address or a command line has
    it. Raises `problem`, in the words of `wording`.
    """
    made: T = _table(kind, table, _Place(), _Reader(source, problem, wording, strict))
    return made


def find_refusals(kind: type[T], table: object) -> tuple[T | None, list[Refusal]]:
    """`table` as from_table makes it, or None and all that is wrong; what from_table would raise comes first."""
    found: list[Refusal] = []
    made: T | None = _table(kind, table, _Place(), _Reader("", ValueError, Wording(), strict=True, found=found))
    return made, found


def values_from_table(
    kind: type, table: object, source: str, problem: type[Exception], *, wording: Wording = Wording()
) -> dict[str, Any]:
    """What `table` says of the dataclass `kind`, checked as from_table does, where other sources give the rest.

    Nothing is filled in, and nothing needs to be there.
    """
    hints = typing.get_type_hints(kind, include_extras=True)
    return _given(
        {name: hints[name] for name in _fields(kind)}, table, _Place(), _Reader(source, problem, wording, True)
    )


def values_by_type(
    types: Mapping[str, Any], table: object, source: str, problem: type[Exception], *, wording: Wording = Wording()
) -> dict[str, Any]:
    """The same where no dataclass has these keys. types: of each key, as annotations say them."""
    return _given(types, table, _Place(), _Reader(source, problem, wording, True))


def _table(kind: type, table: object, place: _Place, reader: _Reader) -> Any:
    """The table as `kind`; None once something of it was refused."""
    before = reader.count
    hints = typing.get_type_hints(kind, include_extras=True)
    given = _given({name: hints[name] for name in _fields(kind)}, table, place, reader)
    for name, required in _fields(kind).items():
        if required and name not in given and isinstance(table, Mapping):
            reader.refuse(f"[{place.header}] lacks {name!r}" if place.words else f"lacks {name!r}", place, absent=True)
    return kind(**given) if reader.count == before else None


def _given(types: Mapping[str, Any], table: object, place: _Place, reader: _Reader) -> dict[str, Any]:
    if not isinstance(table, Mapping):
        wanted = f"{place.words[-1]!r} must be a table: write [{place.header}]" if place.words else "is not a table"
        reader.refuse(wanted, place)
        return {}
    _check_keys(table, types, place, reader)
    return {key: _value(types[key], value, place, key, reader) for key, value in table.items() if key in types}


def _value(hint: Any, value: object, place: _Place, key: str, reader: _Reader) -> Any:
    if hint is object:  # whoever reads it further looks at it
        return value
    deeper = place.key(key)
    if _is_table(hint):
        return _table(hint, value, deeper, reader)
    arguments = get_args(hint)
    if get_origin(hint) is tuple and _is_table(arguments[0]):
        if not isinstance(value, list | tuple):
            reader.refuse(f"{key!r} must be a list of tables: write [[{deeper.header}]] above each", deeper)
            return ()
        return tuple(
            _table(arguments[0], entry, place.entry(key, number, entry), reader) for number, entry in enumerate(value)
        )
    if get_origin(hint) is Mapping and _is_table(arguments[1]):
        if not isinstance(value, Mapping):
            reader.refuse(f"{key!r} must be tables named [{deeper.header}.NAME]", deeper)
            return {}
        return {name: _table(arguments[1], entry, deeper.key(name), reader) for name, entry in value.items()}
    try:
        return msgspec.convert(value, hint, strict=reader.strict, dec_hook=_of_text)
    except msgspec.ValidationError as error:
        reader.refuse(_refusal(hint, value, place, key, reader.wording, str(error)), deeper)
        return None


def _refusal(hint: Any, value: object, place: _Place, key: str, wording: Wording, said: str) -> str:
    """A value that cannot be, in words. said: by msgspec."""
    wanted = _wanted(hint, said)
    if wanted == "a table":
        return f"{key!r} must be a table: write [{place.key(key).header}]"
    if isinstance(value, list) and "[" in said:  # "... - at `$[1]`": the list is one, its entry is not
        wanted = f"a list, each of it {wanted}"
    return wording.value.format(key=key, place=place.told, wanted=wanted, value=value)


def _check_keys(found: Iterable[str], known: Collection[str], place: _Place, reader: _Reader) -> None:
    for key in found:
        if key in known:
            continue
        near = nearest(key, known)
        wording = reader.wording
        hint = wording.known.format(known=", ".join(sorted(known)) or "none")
        if near is not None:
            hint = wording.near.format(near=near)
        reader.refuse(f"{wording.unknown.format(key=key, place=place.told)}; {hint}", place.key(key))


def _is_table(hint: object) -> bool:
    return dataclasses.is_dataclass(hint) or (isinstance(hint, type) and issubclass(hint, msgspec.Struct))


def _fields(kind: Any) -> dict[str, bool]:
    """The keys of a table, and whether each must be there."""
    if issubclass(kind, msgspec.Struct):
        return {field.name: field.required for field in msgspec.structs.fields(kind)}
    without = dataclasses.MISSING
    return {f.name: f.default is without and f.default_factory is without for f in dataclasses.fields(kind)}


def _numbered(key: str, number: int, entry: object) -> str:
    """ "camera[3] cam-03": an entry of a list, with its own name or code where it has one."""
    name = entry.get("name") or entry.get("code") if isinstance(entry, Mapping) else None
    return f"{key}[{number}]" + (f" {name}" if isinstance(name, str) and name.isprintable() else "")


def _of_text(kind: type, value: object) -> Path:
    """What msgspec does not know: a path, from a text."""
    if kind is Path and isinstance(value, str):
        return Path(value)
    raise msgspec.ValidationError(f"Expected `str`, got `{type(value).__name__}`")


def _wanted(hint: Any, said: str) -> str:
    """What a key's value should have been, for a person."""
    for part in (hint, *get_args(hint)):
        if get_origin(part) is Annotated:
            described = next((m.description for m in part.__metadata__ if getattr(m, "description", None)), None)
            if described is not None:
                return str(described)
        if get_origin(part) is Literal:
            return " or ".join(repr(choice) for choice in get_args(part))
    found = _EXPECTED.search(said)
    if found is None:
        return said
    if found["bound"]:
        return _BOUNDS[found["bound"]].format(f"{float(found['limit']):g}")
    kinds = [kind for kind in found["kinds"].split(" | ") if kind != "null"]
    return " or ".join(_TYPES.get(kind, kind) for kind in kinds)
