"""The header of a PLY file (Turk 1994): what it has how many of, in which order, and how each is written.

Its counts are bounded before anything is made of them.
"""

import mmap
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from common.bounded.limits import MAX_FACES, MAX_VERTICES
from common.guarding.safe_text import shown

HEADER_BYTES = 1 << 20
MAX_PROPERTIES = 128
_TYPES = {
    **{"char": "i1", "uchar": "u1", "short": "i2", "ushort": "u2", "int": "i4", "uint": "u4", "float": "f4"},
    **{"int8": "i1", "uint8": "u1", "int16": "i2", "uint16": "u2", "int32": "i4", "uint32": "u4", "float32": "f4"},
    **{"double": "f8", "float64": "f8"},
}
_ORDERS = {"ascii": "=", "binary_little_endian": "<", "binary_big_endian": ">"}
CORNER_LISTS = ("vertex_indices", "vertex_index")
_MANY = {"vertex": "vertices"}


class PlyError(ValueError):
    """Why a PLY file cannot be read. where: 'line 12', or 'face 3 (byte 451)'."""

    def __init__(self, where: str, what: str) -> None:
        super().__init__(f"{where}: {what}")


class PlyProperty(NamedTuple):
    """What an element says of each of its rows."""

    name: str
    #: NumPy's letters of its type, or of its items' where it is a list.
    letters: str
    #: Those of its list's length; '' where it is no list.
    length_letters: str


@dataclass(frozen=True)
class PlyElement:
    """What a PLY file has many of: vertices, faces."""

    name: str
    count: int
    properties: list[PlyProperty]

    @property
    def many(self) -> str:
        """Its name for several."""
        return _MANY.get(self.name, f"{self.name}s")

    @property
    def has_list(self) -> bool:
        return any(one.length_letters for one in self.properties)

    def row_type(self, order: str) -> np.dtype[np.void]:
        """One of them in a binary file; for an element without lists."""
        return np.dtype([(one.name, order + one.letters) for one in self.properties])


class PlyHeader(NamedTuple):
    """What stands before the body."""

    #: 'ascii', 'binary_little_endian' or 'binary_big_endian'.
    form: str
    #: In the order of the body.
    elements: tuple[PlyElement, ...]
    #: The body's first byte.
    start: int
    #: Lines before the body.
    lines: int

    @property
    def order(self) -> str:
        """NumPy's letter for the order of bytes."""
        return _ORDERS[self.form]

    def element(self, name: str) -> PlyElement:
        """Raises KeyError."""
        return {e.name: e for e in self.elements}[name]


def read_ply_header(data: bytes | bytearray | mmap.mmap) -> PlyHeader:
    """The header of a PLY of vertices and faces. Raises PlyError, with the line, for another file."""
    begin = 3 if data[:3] == b"\xef\xbb\xbf" else 0
    end_of_line = b"\r" if data[begin + 3 : begin + 4] == b"\r" and data[begin + 4 : begin + 5] != b"\n" else b"\n"
    form, elements, at, number = "", list[PlyElement](), begin, 0
    while True:
        end = data.find(end_of_line, at, HEADER_BYTES)
        text = bytes(data[at : end if end >= 0 else at + 100]).decode("ascii", "replace")
        at, number, words = end + 1, number + 1, text.split()
        if number == 1 and words != ["ply"]:
            raise PlyError("line 1", "it does not begin with 'ply': it has no PLY header")
        if end < 0:
            raise PlyError(f"line {number}", "it is cut short: it ends within its header")
        if words[:1] == ["end_header"]:
            break
        try:
            form = _add_line(words, elements) or form
        except (IndexError, ValueError, KeyError) as error:
            what = str(error) if isinstance(error, _Refused) else "it cannot be read as a line of a PLY header"
            raise PlyError(f"line {number}", f"{what}: {shown(text.strip()[:60])!r}") from None
    header = PlyHeader(form, tuple(elements), at, number)
    _check(header)
    return header


class _Refused(ValueError):
    """A line of a header that says what is not read."""


def _add_line(words: list[str], elements: list[PlyElement]) -> str:
    """What a line of the header says is added to the elements; returns the form where it says that."""
    if words[:1] == ["format"]:
        if words[1] not in _ORDERS:
            raise _Refused(f"a format that is none of {', '.join(_ORDERS)}")
        return words[1]
    if words[:1] == ["element"]:
        count = int(words[2])
        if not 0 <= count <= MAX_FACES or len(elements) >= MAX_PROPERTIES:
            raise _Refused(f"at most {MAX_FACES:,} of an element are read, and {MAX_PROPERTIES} elements")
        if any(e.name == words[1] for e in elements):
            raise _Refused("an element that was there before")
        elements.append(PlyElement(words[1], count, []))
    elif words[:1] == ["property"]:
        known = elements[-1].properties
        if len(known) >= MAX_PROPERTIES or any(one.name == words[-1] for one in known):
            raise _Refused(f"an element has two properties of one name, or more than {MAX_PROPERTIES}")
        of_list = words[1] == "list"
        if len(words) != (5 if of_list else 3) or words[-2] not in _TYPES or (of_list and words[2] not in _TYPES):
            raise _Refused("a property of a type that is not known")
        length = _TYPES[words[2]] if of_list else ""
        if length.startswith("f"):
            raise _Refused("a list whose length is no whole number")
        known.append(PlyProperty(words[-1], _TYPES[words[-2]], length))
    elif words and words[0] not in ("ply", "comment", "obj_info"):
        raise _Refused("no keyword of PLY")
    return ""


def _check(header: PlyHeader) -> None:
    """Raises PlyError where there is no mesh of polygons in what a header announces."""
    where = f"line {header.lines}"
    counts = {e.name: e.count for e in header.elements}
    if not header.form:
        raise PlyError(where, "its header has no line 'format'")
    if counts.get("tristrips"):
        raise PlyError(where, "its triangles are in strips (tristrips), which are not read; write it as triangles")
    if not counts.get("vertex") or not counts.get("face"):
        held = ", ".join(f"{shown(name)} ({count:,})" for name, count in list(counts.items())[:8]) or "nothing"
        raise PlyError(where, f"it is no mesh: vertices and faces are wanted; it holds {held}")
    if counts["vertex"] > MAX_VERTICES:
        raise PlyError(where, f"it has {counts['vertex']:,} vertices; at most {MAX_VERTICES:,} are read")
    named = {one.name: one for one in header.element("vertex").properties}
    if any(axis not in named or named[axis].length_letters for axis in "xyz"):
        raise PlyError(where, "its vertices have no x, y and z")
    lists = [one for one in header.element("face").properties if one.name in CORNER_LISTS and one.length_letters]
    if len(lists) != 1:
        raise PlyError(where, f"its faces have no list {CORNER_LISTS[0]}, or two of them")
    if lists[0].letters.startswith("f"):
        raise PlyError(where, "a corner is no number of a vertex: its type is one for fractions")
