"""Wavefront OBJ: meshes with UVs, and the material file of a texture. Files appear whole or not at all."""

import os
import re
from array import array
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from common.array_types import Floats, Ints32, Ints64
from common.bounded.files import open_regular_file
from common.bounded.limits import (
    MAX_FACES,
    MAX_MESH_BYTES,
    MAX_POLYGON,
    MAX_UV,
    MAX_VERTICES,
)
from common.files.atomic_write import atomic_write
from processing.errors import MeshError
from processing.files.mesh_arrays import MeshArrays, fanned
from processing.files.mesh_text import LineTooLong, TextLines, numbers
from processing.files.vertex_rgb import colours_of_numbers
from processing.geometry.mesh import Mesh

_NO_UV = -(1 << 62)
# What goes on behind these is a name, which may end in a backslash.
_NAMES = frozenset((b"mtllib", b"usemtl", b"o", b"g", b"usemap", b"maplib"))
_FREE_FORM = frozenset((b"curv", b"curv2", b"surf", b"cstype", b"deg", b"bzp", b"bsp", b"cdc", b"cdp", b"res"))
_KEYWORD = re.compile(rb"[A-Za-z_][\w.:-]*")


def write_obj(path: Path, mesh: Mesh, texture: str | None = None) -> None:
    """OBJ in millimetres with UVs when the mesh has them.

    With `texture` (a file name relative to the OBJ), `<path>.mtl` is written beside it and referred to.
    """
    path = Path(path)
    parts = ["# Mien. Millimetres, right-handed, y up, z out of the face.\n"]
    if texture is not None:
        parts.append(f"mtllib {path.name}.mtl\nusemtl face\n")
    parts.append(_lines("v %.5f %.5f %.5f\n", mesh.vertices_mm))
    if mesh.uvs is not None and mesh.uv_triangles is not None:
        parts.append(_lines("vt %.6f %.6f\n", mesh.uvs))
        parts.append(_lines("f %d/%d %d/%d %d/%d\n", np.stack([mesh.triangles, mesh.uv_triangles], axis=2) + 1))
    else:
        parts.append(_lines("f %d %d %d\n", mesh.triangles + 1))
    if texture is not None:
        material = f"newmtl face\nKa 1 1 1\nKd 1 1 1\nKs 0 0 0\nillum 1\nmap_Kd {texture}\n"
        with atomic_write(path.with_name(path.name + ".mtl")) as temporary:
            temporary.write_text(material)
    with atomic_write(path) as temporary:
        temporary.write_text("".join(parts))


def _lines(form: str, rows: Floats | Ints32) -> str:
    """A line of text for each row (N, ...), written by one format: a list a row costs several times as much."""
    return form * len(rows) % tuple(rows.ravel().tolist())


def read_obj(path: Path) -> Mesh:
    """An OBJ whose vertices keep their numbers. Raises MeshError as `read_obj_arrays`."""
    return read_obj_arrays(path).topology()


def read_obj_arrays(path: Path) -> MeshArrays:
    """An OBJ of triangles, quads or polygons (fanned), with UVs where a face has them, colours where all vertices do.

    A face without UVs gets a UV of its own that is no number (NaN).  Raises MeshError with the file and the line that
    cannot be read.
    """
    path = Path(path)
    read = _Obj(path)
    try:
        with os.fdopen(open_regular_file(path), "rb") as file:
            if os.fstat(file.fileno()).st_size > MAX_MESH_BYTES:
                raise MeshError(f"{path} has more than {MAX_MESH_BYTES >> 30} GiB, and no more are read")
            read.lines(TextLines(file))
    except OSError as error:
        raise MeshError(f"{path} cannot be read: {error.strerror}") from None
    return read.arrays()


class _Obj:
    """What has been read of an OBJ, in flat arrays: a scan of millions is no list of lists."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.vertices, self.colours, self.uvs = array("d"), array("d"), array("d")
        self.counts, self.corners, self.uv_corners = array("q"), array("q"), array("q")
        self.vertex_lines, self.uv_lines, self.face_lines = array("I"), array("I"), array("I")
        #: A line of curves or surfaces that are no polygons, if there is one: its number and keyword.
        self.free_form: tuple[int, str] | None = None

    def lines(self, lines: TextLines) -> None:
        """Raises MeshError."""
        read = {b"v": self._vertex, b"vt": self._uv, b"f": self._face, b"fo": self._face}
        line = b""
        try:
            while line := lines.line():
                line = line.removeprefix(b"\xef\xbb\xbf") if lines.number == 1 else line
                words = _words(line, lines)
                if not words:
                    continue
                number = lines.number
                if (kind := read.get(words[0])) is not None:
                    kind(words[1:], number)
                elif words[0] in _FREE_FORM:
                    self.free_form = self.free_form or (number, words[0].decode())
                elif words[0] == b"call" or not _KEYWORD.fullmatch(words[0]):
                    raise ValueError("no keyword of OBJ that is read")
        except (ValueError, IndexError, OverflowError) as error:
            why = str(error) if isinstance(error, LineTooLong) else "cannot be read as OBJ"
            said = "" if isinstance(error, LineTooLong) else f": {line.strip()[:60].decode('utf-8', 'replace')!r}"
            raise MeshError(f"{self.path}, line {lines.number:,}: {why}{said}") from None

    def _vertex(self, words: list[bytes], number: int) -> None:
        values = numbers(words[:6])
        if len(values) < 3:
            raise ValueError("too few numbers")
        self.vertices.extend(values[:3])
        if len(values) == 6:
            self.colours.extend(values[3:])
        self._place(self.vertex_lines, number, MAX_VERTICES, "vertices")

    def _uv(self, words: list[bytes], number: int) -> None:
        values = numbers(words[:2])
        if not values:
            raise ValueError("too few numbers")
        self.uvs.extend(values if len(values) == 2 else (values[0], 0.0))
        self._place(self.uv_lines, number, MAX_VERTICES, "UVs")

    def _face(self, words: list[bytes], number: int) -> None:
        if not 3 <= len(words) <= MAX_POLYGON:
            raise ValueError("a polygon of too few or too many corners")
        corners = [word.split(b"/") for word in words]
        count = len(self.vertex_lines)
        self.corners.extend([_index(c[0], count) for c in corners])
        uv = [_index(c[1], len(self.uv_lines)) for c in corners if len(c) > 1 and c[1]]
        self.uv_corners.extend(uv if len(uv) == len(corners) else [_NO_UV] * len(corners))
        self.counts.append(len(corners))
        if len(self.corners) > 3 * MAX_FACES:
            raise MeshError(f"{self.path}, line {number:,}: is too large; at most {MAX_FACES:,} triangles are read")
        self.face_lines.append(number)

    def _place(self, places: "array[int]", number: int, most: int, what: str) -> None:
        places.append(number)
        if len(places) > most:
            raise MeshError(f"{self.path}, line {number:,}: is too large; at most {most:,} {what} are read")

    def arrays(self) -> MeshArrays:
        """Raises MeshError."""
        count = len(self.vertex_lines)
        if not count or not self.counts:
            raise MeshError(f"{self.path} holds {count} vertices and {len(self.counts)} faces: not a mesh{self._why()}")
        counts, corners = np.array(self.counts, np.int64), np.array(self.corners, np.int64)
        triangles, places, polygon = fanned(self.path, counts, corners, count, self._face_place, first_number=1)
        uvs, uv_triangles = self._uv_arrays(places, polygon)
        vertices = np.array(self.vertices).reshape(-1, 3)
        return MeshArrays(
            self.path, vertices, triangles, lambda k: f"line {self.vertex_lines[k]:,}", uvs, uv_triangles, self._rgb()
        )

    def _face_place(self, face: int) -> str:
        return f"line {self.face_lines[face]:,}"

    def _why(self) -> str:
        if self.free_form is None:
            return ""
        number, keyword = self.free_form
        return f"; its curves and surfaces (line {number:,}: {keyword}) are not read, write it as polygons"

    def _uv_arrays(self, places: Ints64, polygon: Ints64) -> tuple[Floats | None, Ints32 | None]:
        """UVs, and the triangles' corners among them; faces without have the last, which is NaN."""
        corners = np.array(self.uv_corners, np.int64)[places]
        without = corners[:, 0] == _NO_UV
        if without.all():
            return None, None
        uvs = np.array(self.uvs).reshape(-1, 2)
        wrong = (corners < 0) | (corners >= len(uvs))
        wrong[~wrong] = ~(np.abs(uvs[corners[~wrong]]) <= MAX_UV).all(axis=1)
        wrong[without] = False
        if wrong.any():
            line = self.face_lines[int(polygon[int(wrong.any(axis=1).argmax())])]
            what = f"a face names a UV that is not there, or is not finite, or beyond {MAX_UV:g}"
            raise MeshError(f"{self.path}, line {line:,}: {what}")
        if without.any():
            corners[without] = len(uvs)
            uvs = np.concatenate([uvs, np.full((1, 2), np.nan)])
        return uvs, corners.astype(np.int32)

    def _rgb(self) -> NDArray[np.uint8] | None:
        if len(self.colours) != len(self.vertices):
            return None
        return colours_of_numbers(np.array(self.colours).reshape(-1, 3))


def _words(line: bytes, lines: TextLines) -> list[bytes]:
    """Of a line and those that it goes on in, without its comment."""
    words = line.split()
    if not words or words[0].startswith(b"#"):
        return []
    while words and words[-1].endswith(b"\\") and words[0] not in _NAMES:
        words[-1] = words[-1][:-1]
        words = [word for word in words if word] + lines.line().split()
    if b"#" in line and words and words[0] not in _NAMES:
        at = next((k for k, word in enumerate(words) if word.startswith(b"#")), len(words))
        words = words[:at]
    return words


def _index(text: bytes, count: int) -> int:
    value = int(text)
    if value == 0:
        raise IndexError(text)
    return value - 1 if value > 0 else count + value
