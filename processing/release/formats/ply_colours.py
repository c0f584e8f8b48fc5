"""New colours for the vertices of a PLY file, everything else as it was: normals, confidence and whatever is there."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from common.files.atomic_write import atomic_write
from processing.release.formats.errors import ReleaseError

_TYPES = {
    "char": "i1", "int8": "i1", "uchar": "u1", "uint8": "u1", "short": "<i2", "int16": "<i2", "ushort": "<u2",
    "uint16": "<u2", "int": "<i4", "int32": "<i4", "uint": "<u4", "uint32": "<u4", "float": "<f4", "float32": "<f4",
    "double": "<f8", "float64": "<f8",
}  # fmt: skip
_HEADER_BYTES = 1 << 16


def recolour_ply(path: Path, colours: NDArray[np.uint8]) -> None:
    """Replace the RGB of each vertex, (V, 3). Raises ReleaseError for a file that is not binary little-endian PLY with
    `colours`'s number of vertices first, each with red, green and blue."""
    data = bytearray(path.read_bytes())
    start, count, record = _vertices(data, path)
    if count != len(colours) or not {"red", "green", "blue"} <= set(record.names or ()):
        raise ReleaseError(f"{path.name} has {count} vertices; {len(colours)} colours were made for it")
    vertices = np.frombuffer(data, dtype=record, count=count, offset=start)
    for channel, name in enumerate(("red", "green", "blue")):
        vertices[name] = colours[:, channel]
    with atomic_write(path) as temporary:
        temporary.write_bytes(data)


def vertex_properties(path: Path) -> tuple[str, ...]:
    """Names of what a PLY file says of each vertex. Raises ReleaseError."""
    with path.open("rb") as file:
        _, _, record = _vertices(bytearray(file.read(_HEADER_BYTES)), path)
    return tuple(record.names or ())


def _vertices(data: bytearray, path: Path) -> tuple[int, int, np.dtype[np.void]]:
    """Where the vertices begin, how many there are, and what each one holds."""
    end = data.find(b"end_header\n", 0, _HEADER_BYTES)
    lines = data[: max(end, 0)].decode("ascii", "replace").splitlines()
    if end < 0 or lines[:1] != ["ply"] or "format binary_little_endian 1.0" not in lines:
        raise ReleaseError(f"{path.name} is not a binary PLY file as scans are kept")
    words = [line.split() for line in lines]
    elements = [number for number, word in enumerate(words) if word[:1] == ["element"]]
    fields: list[tuple[str, str]] = []
    try:
        first = words[elements[0]]
        for word in words[elements[0] + 1 : elements[1] if len(elements) > 1 else len(words)]:
            if word[0] == "property":
                fields.append((word[2], _TYPES[word[1]]))
        if first[1] != "vertex":
            raise ValueError
        return end + len(b"end_header\n"), int(first[2]), np.dtype(fields)
    except (IndexError, KeyError, ValueError):
        raise ReleaseError(f"{path.name} does not begin with its vertices") from None
