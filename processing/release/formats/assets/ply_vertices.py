"""Vertices of a scan's PLY file: positions and colours read, or colours replaced with everything else as it was.

For binary little-endian files, as scans are kept; faces are not looked at.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from common.array_types import Floats, Image
from common.bounded.files import read_bytes
from common.bounded.limits import MAX_MESH_BYTES
from common.files.atomic_write import atomic_write
from processing.files.ply_header import HEADER_BYTES, PlyError, read_ply_header
from processing.release.formats.errors import ReleaseError

_RGB = ("red", "green", "blue")


class ScanPoints(NamedTuple):
    """The vertices of a scan."""

    #: (V, 3) mm.
    positions_mm: Floats
    #: (V, 3) RGB; None where the scan has none.
    colours: Image | None


def read_scan_points(path: Path) -> ScanPoints:
    """Positions and colours. Raises ReleaseError for another kind of file, and positions that are not finite."""
    try:
        data = bytearray(read_bytes(path, MAX_MESH_BYTES))
    except (OSError, ValueError) as error:
        raise ReleaseError(f"{path} cannot be read as a scan ({error}); run mien release verify") from None
    vertices = _vertices(data, path)
    try:
        positions = np.stack([vertices[axis] for axis in "xyz"], axis=1).astype(np.float64)
        colours = np.stack([vertices[name] for name in _RGB], axis=1) if _has_colours(vertices) else None
    except ValueError:
        raise ReleaseError(f"{path} has vertices without a position; run mien release verify") from None
    if not np.isfinite(positions).all():
        raise ReleaseError(f"{path} has vertices that are not finite; run mien release verify")
    return ScanPoints(positions, None if colours is None else colours.astype(np.uint8))


def recolour_ply(path: Path, colours: Image) -> None:
    """Replace the RGB of each vertex, (V, 3). Raises ReleaseError for a file that is not binary little-endian PLY with
    `colours`'s number of vertices first, each with red, green and blue."""
    data = bytearray(path.read_bytes())
    vertices = _vertices(data, path)
    if len(vertices) != len(colours) or not _has_colours(vertices):
        raise ReleaseError(f"{path.name} has {len(vertices)} vertices; {len(colours)} colours were made for it")
    for channel, name in enumerate(_RGB):
        vertices[name] = colours[:, channel]
    with atomic_write(path) as temporary:
        temporary.write_bytes(data)


def vertex_properties(path: Path) -> tuple[str, ...]:
    """Names of what a PLY file says of each vertex. Raises ReleaseError."""
    with path.open("rb") as file:
        return tuple(_record(file.read(HEADER_BYTES), path)[0].names or ())


def _has_colours(vertices: np.ndarray[tuple[int], np.dtype[np.void]]) -> bool:
    return set(_RGB) <= set(vertices.dtype.names or ())


def _vertices(data: bytearray, path: Path) -> np.ndarray[tuple[int], np.dtype[np.void]]:
    """A view of the vertices in a file's bytes."""
    record, count, start = _record(data, path)
    if start + count * record.itemsize > len(data):
        raise ReleaseError(f"{path.name} is cut short: it has less than {count:,} vertices")
    return np.frombuffer(data, record, count, start)


def _record(data: bytes | bytearray, path: Path) -> tuple[np.dtype[np.void], int, int]:
    """What each vertex holds, how many there are, and where they begin."""
    try:
        header = read_ply_header(data)
    except PlyError:
        raise ReleaseError(f"{path.name} does not begin with its vertices") from None
    first = header.elements[0]
    if header.form != "binary_little_endian" or first.name != "vertex" or first.has_list:
        raise ReleaseError(f"{path.name} is not a binary PLY file as scans are kept")
    return first.row_type(header.order), first.count, header.start
