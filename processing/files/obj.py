"""Wavefront OBJ: meshes with UVs, and the material file of a texture. Files appear whole or not at all."""

import os
from array import array
from pathlib import Path

import numpy as np

from common.array_types import Floats, Ints32
from common.bounded.files import open_regular_file
from common.bounded.limits import (
    MAX_FACES,
    MAX_LINE_BYTES,
    MAX_MESH_BYTES,
    MAX_POLYGON,
    MAX_UV,
    MAX_VERTICES,
)
from common.files.atomic_write import atomic_write
from processing.errors import MeshError
from processing.files.ply import clean_mesh
from processing.geometry.mesh import Mesh


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
    """An OBJ of triangles, quads or polygons (fanned), with UVs where every face has them.

    Raises MeshError naming the line that cannot be read.
    """
    path = Path(path)
    read = _Obj(path)
    try:
        with os.fdopen(open_regular_file(path), "rb") as file:
            if os.fstat(file.fileno()).st_size > MAX_MESH_BYTES:
                raise MeshError(f"{path} has more than {MAX_MESH_BYTES >> 30} GiB, and no more are read")
            number = 0
            while line := file.readline(MAX_LINE_BYTES + 1):
                number += 1
                while line.endswith((b"\\\n", b"\\\r\n")) and len(line) <= MAX_LINE_BYTES:  # goes on in the next
                    line = line.rstrip(b"\r\n")[:-1] + b" " + file.readline(MAX_LINE_BYTES + 1)
                    number += 1
                read.line(number, line)
    except OSError as error:
        raise MeshError(f"{path} cannot be read: {error.strerror}") from None
    return read.mesh()


class _Obj:
    """What has been read of an OBJ, in flat arrays: a scan of millions is no list of lists."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.vertices, self.uvs = array("d"), array("d")
        self.triangles, self.uv_triangles = array("q"), array("q")
        self.vertex_count = self.uv_count = 0

    def line(self, number: int, line: bytes) -> None:
        """Raises MeshError."""
        kind, *words = line.split(maxsplit=1) or [b""]
        if len(line) > MAX_LINE_BYTES:
            raise MeshError(f"{self.path}, line {number}: is longer than {MAX_LINE_BYTES:,} bytes")
        rest = words[0] if words else b""
        try:
            if kind == b"v":
                self.vertices.extend(_numbers(rest, 3))
                self.vertex_count += 1
            elif kind == b"vt":
                self.uvs.extend(_numbers(rest, 2))
                self.uv_count += 1
            elif kind == b"f":
                self._face(rest.split())
        except (ValueError, IndexError, OverflowError):
            said = line.strip()[:60].decode("utf-8", "replace")
            raise MeshError(f"{self.path}, line {number}: cannot be read as OBJ: {said!r}") from None
        if self.vertex_count > MAX_VERTICES or self.uv_count > MAX_VERTICES or len(self.triangles) > 3 * MAX_FACES:
            most = f"at most {MAX_VERTICES:,} vertices and {MAX_FACES:,} triangles are read"
            raise MeshError(f"{self.path}, line {number}: is too large; {most}")

    def _face(self, words: list[bytes]) -> None:
        if len(words) > MAX_POLYGON:
            raise ValueError("a polygon of too many corners")
        corners = [corner.split(b"/") for corner in words]
        at = [_index(c[0], self.vertex_count) for c in corners]
        uv = [_index(c[1], self.uv_count) for c in corners if len(c) > 1 and c[1]]
        for k in range(1, len(at) - 1):
            self.triangles.extend((at[0], at[k], at[k + 1]))
            if len(uv) == len(at):
                self.uv_triangles.extend((uv[0], uv[k], uv[k + 1]))

    def mesh(self) -> Mesh:
        """Raises MeshError."""
        faces = len(self.triangles) // 3
        if not self.vertex_count or not faces:
            raise MeshError(f"{self.path} holds {self.vertex_count} vertices and {faces} faces: not a mesh")
        vertices = np.array(self.vertices).reshape(-1, 3)
        triangles = _within(self.triangles, self.vertex_count, self.path)
        if not self.uv_count or len(self.uv_triangles) != len(self.triangles):
            return clean_mesh(self.path, vertices, triangles)
        uvs = np.array(self.uvs).reshape(-1, 2)
        if not (np.abs(uvs) <= MAX_UV).all():
            raise MeshError(f"{self.path} has a UV that is not finite, or beyond {MAX_UV:g}")
        corners = _within(self.uv_triangles, self.uv_count, self.path)
        return clean_mesh(self.path, vertices, triangles, uvs=uvs, uv_triangles=corners)


def _numbers(text: bytes, count: int) -> list[float]:
    numbers = [float(word) for word in text.split(maxsplit=count)[:count]]
    if len(numbers) != count:
        raise ValueError("too few numbers")
    return numbers


def _within(corners: "array[int]", count: int, path: Path) -> Ints32:
    found = np.frombuffer(corners, np.int64)
    if found.min() < 0 or found.max() >= count:
        raise MeshError(f"{path} has a face with a corner that is not there ({count} are)")
    return found.astype(np.int32).reshape(-1, 3)


def _index(text: bytes, count: int) -> int:
    value = int(text)
    if value == 0:
        raise IndexError(text)
    return value - 1 if value > 0 else count + value
