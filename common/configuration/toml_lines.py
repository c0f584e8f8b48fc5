"""Lines of a TOML text: where each key stands, and all that is no TOML at once.

Python's parser keeps no positions and stops at the first error. Here it is asked statement by statement instead: lines
are joined until it takes them, and what it cannot take is reported with its line and left out. So what is TOML and what
is not is decided by that parser alone.
"""

import re
import tomllib
from dataclasses import dataclass, field
from typing import Any

from common.bounded.json_toml import check_toml
from common.bounded.limits import OutOfBounds

Path = tuple[str | int, ...]  # keys from the top, and the number of an entry of a list
_AT_LINE = re.compile(r" \(at line (\d+), column \d+\)$")
_AT_END = " (at end of document)"
_LONGEST = 500  # lines of one statement, or it is none


@dataclass(frozen=True)
class BrokenLine:
    """A place that is no TOML."""

    line: int  # from 1
    text: str  # the parser's own words


@dataclass
class _Statement:
    """A header, or a key with its value."""

    line: int  # its first, from 1
    lines: int
    header: bool


@dataclass
class TomlLines:
    """A text, statement by statement."""

    document: dict[str, Any]  # without what is broken
    broken: list[BrokenLine]
    headless: bool = False  # whether a broken place was the head of a table: the whole table is left out
    _lines: dict[Path, int] = field(default_factory=dict)
    _incomplete: set[Path] = field(default_factory=set)

    def line_of(self, at: Path) -> int:
        """The line of a key, or of the innermost table around it that is written; 1 where none is."""
        while at and at not in self._lines:
            at = at[:-1]
        return self._lines.get(at, 1)

    def incomplete(self, at: Path) -> bool:
        """Whether a broken line stood in this table: what it lacks may be what cannot be read."""
        return at in self._incomplete


def read_toml_lines(text: str) -> TomlLines:
    """Raises OutOfBounds for a text that is too large or too deep to be read at all."""
    check_toml(text)
    lines = text.replace("\r\n", "\n").split("\n")
    found = TomlLines({}, [])
    statements = _statements(lines, found)
    while True:
        try:
            found.document = tomllib.loads("\n".join(lines))
            break
        except RecursionError:
            raise OutOfBounds("it is nested too deep") from None
        except tomllib.TOMLDecodeError as error:  # each statement is one, but not beside the others: written twice
            line = _line_of_error(str(error), len(lines))
            at = max((i for i, one in enumerate(statements) if one.line <= line), default=0)
            _leave_out(statements, at, lines, found, _words(str(error)))
    found.broken.sort(key=lambda one: one.line)
    found._lines, tables = _positions(statements, lines)
    for one in found.broken:
        found._incomplete.add(next((table for line, table in reversed(tables) if line < one.line), ()))
    return found


def _statements(lines: list[str], found: TomlLines) -> list[_Statement]:
    """All that can be read by itself. What cannot is reported and made blank, a head with all that stands under it."""
    statements: list[_Statement] = []
    at, under_broken_head = 0, False
    while at < len(lines):
        begins = lines[at].lstrip(" \t")[:1]
        if not begins:
            at += 1
            continue
        head = begins == "["
        length, said = _length(lines, at)
        if length and begins != "#" and not (under_broken_head and not head):
            statements.append(_Statement(at + 1, length, head))
        elif not length:
            found.broken.append(BrokenLine(at + 1, said))
            found.headless |= head
        if head:
            under_broken_head = not length
        if not length or (under_broken_head and not head):
            lines[at : at + max(length, 1)] = [""] * max(length, 1)
        at += max(length, 1)
    return statements


def _length(lines: list[str], at: int) -> tuple[int, str]:
    """How many lines the statement has that begins here, or 0 and why it is none."""
    said = ""
    for length in range(1, min(_LONGEST, len(lines) - at) + 1):
        try:
            tomllib.loads("\n".join(lines[at : at + length]) + "\n")
        except RecursionError:
            return 0, "it is nested too deep"
        except tomllib.TOMLDecodeError as error:
            said = said or _words(str(error))
            if not str(error).endswith(_AT_END):  # another line would not mend it
                return 0, said
        else:
            return length, ""
    return 0, said


def _leave_out(statements: list[_Statement], at: int, lines: list[str], found: TomlLines, said: str) -> None:
    """A statement that contradicts another; a head with all that stands under it."""
    first = statements[at]
    found.broken.append(BrokenLine(first.line, said))
    found.headless |= first.header
    end = at + 1
    while first.header and end < len(statements) and not statements[end].header:
        end += 1
    for one in statements[at:end]:
        lines[one.line - 1 : one.line - 1 + one.lines] = [""] * one.lines
    del statements[at:end]


def _positions(statements: list[_Statement], lines: list[str]) -> tuple[dict[Path, int], list[tuple[int, Path]]]:
    """The line of each key and table, and of each head the line and its table."""
    positions: dict[Path, int] = {}
    heads: list[tuple[int, Path]] = []
    lists: dict[Path, int] = {}  # how many entries a list of tables has so far
    table: Path = ()
    for one in statements:
        parsed = tomllib.loads("\n".join(lines[one.line - 1 : one.line - 1 + one.lines]) + "\n")
        if one.header:
            table = _table_of(parsed, lists)
            heads.append((one.line, table))
            _note(positions, table, one.line)
        else:
            for path in _leaves(parsed):
                _note(positions, (*table, *path), one.line)
    return positions, heads


def _note(positions: dict[Path, int], path: Path, line: int) -> None:
    for length in range(1, len(path) + 1):
        positions.setdefault(path[:length], line)


def _table_of(parsed: dict[str, Any], lists: dict[Path, int]) -> Path:
    """The table that a header opens, entries of lists numbered as they come."""
    at: Path = ()
    inner: Any = parsed
    while isinstance(inner, dict) and inner:
        key, inner = next(iter(inner.items()))
        at = (*at, key)
        if isinstance(inner, list):  # [[key]]: one more
            lists[at] = lists.get(at, -1) + 1
            inner = inner[0]
        if at in lists:  # [key.inner]: of the last entry
            at = (*at, lists[at])
    return at


def _leaves(value: Any, at: Path = ()) -> list[Path]:
    """Paths of all that a statement says."""
    if isinstance(value, dict) and value:
        return [path for key, inner in value.items() for path in _leaves(inner, (*at, key))]
    if isinstance(value, list) and value:
        return [path for number, inner in enumerate(value) for path in _leaves(inner, (*at, number))]
    return [at]


def _line_of_error(said: str, lines: int) -> int:
    found = _AT_LINE.search(said)
    return int(found[1]) if found else lines


def _words(said: str) -> str:
    words = _AT_LINE.sub("", said.removesuffix(_AT_END))
    return "a text is not closed on its line" if words == "Illegal character '\\n'" else words
