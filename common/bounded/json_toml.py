"""JSON and TOML from elsewhere: size, depth and count are looked at before the parser sees them."""

import json
import re
import tomllib
from pathlib import Path
from typing import Any

from common.bounded.files import read_bytes
from common.bounded.limits import (
    MAX_DEPTH,
    MAX_JSON_BYTES,
    MAX_JSON_VALUES,
    MAX_KEY_PARTS,
    MAX_TOML_BYTES,
    OutOfBounds,
)

# A text, or a bracket. Texts are passed over, so that brackets in them do not count.
_JSON_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*+"|[\[\]{}]', re.DOTALL)
_TOML_TOKEN = re.compile(
    r'"""(?:[^"\\]|\\.|"(?!""))*+"""|\'\'\'(?:[^\']|\'(?!\'\'))*+\'\'\'|"(?:[^"\\\n]|\\.)*+"|\'[^\'\n]*+\'|\#[^\n]*+'
    r"|[\[\]{}.\n,=]",
    re.DOTALL,
)


def read_json(path: Path, most: int = MAX_JSON_BYTES, *, once: bool = False) -> Any:
    """A JSON file. Raises OSError, and ValueError (of which OutOfBounds is one) for what is none."""
    return parse_json(read_bytes(path, most), once=once)


def parse_json(data: bytes | str, most: int = MAX_JSON_BYTES, *, once: bool = False) -> Any:
    """JSON of at most `most` bytes. once: a key that stands twice in an object is refused, too.

    Raises ValueError for what is none, OutOfBounds for too large, deep or many.
    """
    raw = data.encode("utf-8", "surrogatepass") if isinstance(data, str) else data
    check_json(raw, most)
    try:
        text = raw.decode("utf-8-sig")  # editors put a mark before the text
        return json.loads(text, object_pairs_hook=_once if once else None)
    except RecursionError:
        raise OutOfBounds(f"it is nested deeper than {MAX_DEPTH}") from None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"{key[:100]!r} stands there twice")
        found[key] = value
    return found


def check_json(data: bytes | bytearray, most: int = MAX_JSON_BYTES, values: int = MAX_JSON_VALUES) -> None:
    """Size, number of values and depth, before anything is decoded. Raises OutOfBounds."""
    if len(data) > most:
        raise OutOfBounds(f"it has {len(data):,} bytes; at most {most:,} are read")
    opened = data.count(b"[") + data.count(b"{")
    count = data.count(b",") + opened
    if count > values:
        raise OutOfBounds(f"it has up to {count:,} values; at most {values:,} are read")
    if opened <= MAX_DEPTH:
        return
    depth = 0
    for token in _JSON_TOKEN.finditer(data):
        kind = data[token.start()]
        if kind in b"[{":
            depth += 1
            if depth > MAX_DEPTH:
                raise OutOfBounds(f"it is nested deeper than {MAX_DEPTH}")
        elif kind in b"]}":
            depth -= 1


def read_toml(path: Path, most: int = MAX_TOML_BYTES) -> dict[str, Any]:
    """A TOML file. Raises OSError, and ValueError (of which OutOfBounds is one) for what is none."""
    return parse_toml(read_bytes(path, most), most)


def parse_toml(data: bytes | str, most: int = MAX_TOML_BYTES) -> dict[str, Any]:
    """TOML of at most `most` bytes. Raises ValueError for what is none, OutOfBounds for too large or deep."""
    text = data if isinstance(data, str) else data.decode("utf-8")
    check_toml(text, most)
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise OutOfBounds(f"it is nested deeper than {MAX_DEPTH}") from None


def check_toml(text: str, most: int = MAX_TOML_BYTES) -> None:
    """Size, depth and the length of dotted keys. Raises OutOfBounds."""
    if len(text) > most:
        raise OutOfBounds(f"it has {len(text):,} characters; at most {most:,} are read")
    depth, dots = 0, 0
    for token in _TOML_TOKEN.finditer(text):
        kind = text[token.start()]
        if kind in "[{":
            depth += 1
        elif kind in "]}":
            depth = max(0, depth - 1)
        if kind == ".":
            dots += 1
        elif kind in "\n,=[]{}":
            dots = 0
        if depth > MAX_DEPTH:
            raise OutOfBounds(f"it is nested deeper than {MAX_DEPTH}")
        if dots > MAX_KEY_PARTS:
            raise OutOfBounds(f"it has a key of more than {MAX_KEY_PARTS} parts")
