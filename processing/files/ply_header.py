"""The header of a PLY file (Turk 1994): what it has how many of, and how each is written.

Its counts are bounded before anything is made of them.
"""

import mmap
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from common.bounded.limits import MAX_FACES, MAX_VERTICES

HEADER_BYTES = 1 << 20
MAX_PROPERTIES = 128
_TYPES = {
    **{"char": "i1", "uchar": "u1", "short": "i2", "ushort": "u2", "int": "i4", "uint": "u4", "float": "f4"},
    **{"int8": "i1", "uint8": "u1", "int16": "i2", "uint16": "u2", "int32": "i4", "uint32": "u4", "float32": "f4"},
    **{"double": "f8", "float64": "f8"},
}
CORNER_LISTS = ("vertex_indices", "vertex_index")


@dataclass(frozen=True)
class PlyElement:
    """What a PLY file has many of: vertices, faces."""

    name: str
    count: int
    #: (name, NumPy's letters of its type, those of its list's length or '' where it is no list).
    properties: list[tuple[str, str, str]]

    @property
    def row_type(self) -> np.dtype[np.void]:
        """One of them in a binary file; for an element without lists."""
        return np.dtype([(name, f"<{letters}") for name, letters, _ in self.properties])


class PlyHeader(NamedTuple):
    """What stands before the body."""

    #: 'ascii' or 'binary_little_endian'.
    form: str
    vertex: PlyElement
    face: PlyElement
    #: The body's first byte.
    start: int


def read_ply_header(data: bytes | bytearray | mmap.mmap) -> PlyHeader:
    """The header of a PLY of vertices and faces. Raises ValueError, KeyError or IndexError for another file."""
    end = data.find(b"end_header", 0, HEADER_BYTES)
    if data[:3] != b"ply" or end < 0:
        raise ValueError("it has no PLY header")
    lines = [line.split() for line in bytes(data[:end]).decode("ascii", "replace").splitlines()]
    form = next((line[1] for line in lines if line[:1] == ["format"] and len(line) > 1), "")
    elements: list[PlyElement] = []
    for line in lines:
        if line[:1] == ["element"]:
            count = int(line[2])
            if not 0 <= count <= MAX_FACES or len(elements) >= MAX_PROPERTIES:
                raise ValueError(f"it says that it has {count:,} of '{line[1]}'; at most {MAX_FACES:,} are read")
            elements.append(PlyElement(line[1], count, []))
        elif line[:1] == ["property"]:
            if not elements or len(elements[-1].properties) >= MAX_PROPERTIES:
                raise ValueError(f"an element has more than {MAX_PROPERTIES} properties, or a property has none")
            of_list = line[1] == "list"
            elements[-1].properties.append((line[-1], _TYPES[line[-2]], _TYPES[line[2]] if of_list else ""))
    if form not in ("binary_little_endian", "ascii") or [e.name for e in elements[:2]] != ["vertex", "face"]:
        raise ValueError(f"format {form!r} with elements {[e.name for e in elements[:8]]} is not supported")
    vertex, face = elements[:2]
    if vertex.count > MAX_VERTICES:
        raise ValueError(f"it has {vertex.count:,} vertices; at most {MAX_VERTICES:,} are read")
    if any(of_list for _, _, of_list in vertex.properties):
        raise ValueError("its vertices have a list")
    for element in (vertex, face):
        names = [name for name, _, _ in element.properties]
        if len(set(names)) < len(names):
            raise ValueError(f"its {element.name} has two properties of one name")
    if not any(name in CORNER_LISTS and of_list for name, _, of_list in face.properties):
        raise ValueError(f"its faces have no list {CORNER_LISTS[0]}")
    line_end = data.find(b"\n", end, end + 100)
    if line_end < 0:
        raise ValueError("it ends with its header")
    return PlyHeader(form, vertex, face, line_end + 1)
