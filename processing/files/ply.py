"""PLY, ASCII and binary little-endian (Turk 1994): positions, colours and polygons; the rest is passed over.

The header's counts are held against the file's size before anything is made of them.
"""

import mmap
import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.array_types import Floats, Gray, Ints32
from common.bounded.files import open_regular_file
from common.bounded.limits import MAX_COORDINATE_MM, MAX_FACES, MAX_MESH_BYTES, MAX_POLYGON
from common.files.atomic_write import atomic_write
from common.guarding.safe_text import shown
from processing.errors import MeshError
from processing.files.ply_header import CORNER_LISTS, PlyElement, read_ply_header
from processing.geometry.mesh import Mesh


def write_ply(path: Path, mesh: Mesh) -> None:
    """Binary little-endian PLY: float positions in mm, normals, triangles; RGB and confidence where there are any."""
    fields = [("x", "<f4"), ("y", "<f4"), ("z", "<f4"), ("nx", "<f4"), ("ny", "<f4"), ("nz", "<f4")]
    if mesh.colors is not None:
        fields += [("red", "u1"), ("green", "u1"), ("blue", "u1")]
    if mesh.confidence is not None:
        fields.append(("confidence", "<f4"))
    rows = np.zeros(len(mesh.vertices_mm), dtype=fields)
    for k, axis in enumerate("xyz"):
        rows[axis], rows[f"n{axis}"] = mesh.vertices_mm[:, k], mesh.vertex_normals[:, k]
    if mesh.colors is not None:
        for k, name in enumerate(("red", "green", "blue")):
            rows[name] = mesh.colors[:, k]
    if mesh.confidence is not None:
        rows["confidence"] = mesh.confidence
    faces = np.zeros(len(mesh.triangles), dtype=[("n", "u1"), ("v", "<i4", (3,))])
    faces["n"], faces["v"] = 3, mesh.triangles
    names = {"<f4": "float", "u1": "uchar"}
    header = ["ply", "format binary_little_endian 1.0", "comment Mien; millimetres, y up, z out of the face"]
    header += [f"element vertex {len(rows)}", *(f"property {names[kind]} {name}" for name, kind in fields)]
    header += [f"element face {len(faces)}", "property list uchar int vertex_indices", "end_header\n"]
    with atomic_write(Path(path)) as temporary, temporary.open("wb") as file:
        file.write("\n".join(header).encode())
        file.write(rows.tobytes())
        file.write(faces.tobytes())


def read_ply(path: Path) -> Mesh:
    """A PLY of triangles (or polygons, fanned), with RGB and confidence where it has them.

    Raises MeshError for a file that is cut short, is too large, or is no mesh.
    """
    path = Path(path)
    try:
        with os.fdopen(open_regular_file(path), "rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size > MAX_MESH_BYTES:
                raise MeshError(f"{path} has more than {MAX_MESH_BYTES >> 30} GiB, and no more are read")
            data: bytes | mmap.mmap = (
                mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) if size > 1 << 20 else file.read()
            )
    except OSError as error:
        raise MeshError(f"{path} cannot be read: {error.strerror}") from None
    try:
        form, vertex, face, start = read_ply_header(data)
        read = _read_ascii if form == "ascii" else _read_binary
        columns, triangles = read(data, start, vertex, face)
        return _mesh(path, columns, triangles)
    except (ValueError, KeyError, IndexError, OverflowError) as error:
        raise MeshError(f"{path} is cut short or damaged ({shown(error)})") from None


def _read_binary(
    data: bytes | mmap.mmap, start: int, vertex: PlyElement, face: PlyElement
) -> tuple[dict[str, NDArray[Any]], NDArray[np.int32]]:
    kind = vertex.row_type
    if start + vertex.count * kind.itemsize > len(data):
        there = (len(data) - start) // max(1, kind.itemsize)
        raise ValueError(f"it has {there:,} of {vertex.count:,} vertices")
    rows = np.frombuffer(data, kind, vertex.count, start)
    columns = {name: rows[name] for name, _, _ in vertex.properties}
    return columns, _binary_faces(data, start + rows.nbytes, face)


def _binary_faces(data: bytes | mmap.mmap, start: int, face: PlyElement) -> NDArray[np.int32]:
    """Every face has lists as long as the first's. Raises ValueError."""
    if not face.count:
        return np.zeros((0, 3), np.int32)
    fields: list[Any] = []
    lists: dict[str, int] = {}
    at = start
    for name, letters, of_list in face.properties:
        if of_list:
            length = int(np.frombuffer(data, "<" + of_list, 1, at)[0])
            if not 0 <= length <= MAX_POLYGON:
                raise ValueError(f"a face's list {name} has {length} items; at most {MAX_POLYGON} are read")
            lists[name] = length
            fields += [(f"{name}#", "<" + of_list), (name, "<" + letters, (length,))]
            at += np.dtype(of_list).itemsize + length * np.dtype(letters).itemsize
        else:
            fields.append((name, "<" + letters))
            at += np.dtype(letters).itemsize
    kind = np.dtype(fields)
    there = (len(data) - start) // kind.itemsize
    count = min(face.count, there)
    rows = np.frombuffer(data, kind, count, start)
    for name, length in lists.items():
        if not (rows[f"{name}#"] == length).all():
            raise ValueError(f"its faces' lists {name} are not all as long as the first, {length}; triangulate it")
    if there < face.count:
        raise ValueError(f"it has {there:,} of {face.count:,} faces")
    corners = next(name for name in lists if name in CORNER_LISTS)
    if lists[corners] < 3:
        raise ValueError(f"its faces have {lists[corners]} corners")
    if count * (lists[corners] - 2) > MAX_FACES:
        raise ValueError(f"its polygons are {count * (lists[corners] - 2):,} triangles; at most {MAX_FACES:,} are read")
    items = rows[corners]
    if items.dtype.kind == "f" or items.max() > np.iinfo(np.int32).max:
        raise ValueError("a corner is no number of a vertex")
    fans = [items[:, [0, k, k + 1]].astype(np.int32) for k in range(1, lists[corners] - 1)]
    return np.concatenate(fans)


def _read_ascii(
    data: bytes | mmap.mmap, start: int, vertex: PlyElement, face: PlyElement
) -> tuple[dict[str, NDArray[Any]], NDArray[np.int32]]:
    lines = bytes(data[start:]).splitlines()
    if len(lines) < vertex.count:
        raise ValueError(f"it has {len(lines):,} of {vertex.count:,} vertices")
    if len(lines) < vertex.count + face.count:
        raise ValueError(f"it has {len(lines) - vertex.count:,} of {face.count:,} faces")
    width = len(vertex.properties)
    rows = np.empty((vertex.count, width))
    for number, line in enumerate(lines[: vertex.count]):
        rows[number] = [float(word) for word in line.split()[:width]]
    fans: list[tuple[int, int, int]] = []
    for line in lines[vertex.count : vertex.count + face.count]:
        corner = _ascii_corners(line.split(), face)
        fans += [(corner[0], corner[k], corner[k + 1]) for k in range(1, len(corner) - 1)]
        if len(fans) > MAX_FACES:
            raise ValueError(f"it has more than {MAX_FACES:,} triangles")
    columns: dict[str, NDArray[Any]] = {name: rows[:, k] for k, (name, _, _) in enumerate(vertex.properties)}
    return columns, np.array(fans, np.int32).reshape(-1, 3)


def _ascii_corners(words: list[bytes], face: PlyElement) -> list[int]:
    at = 0
    for name, _, of_list in face.properties:
        length = int(words[at]) if of_list else 0
        if not 0 <= length <= MAX_POLYGON:
            raise ValueError(f"a face's list {name} has {length} items; at most {MAX_POLYGON} are read")
        if name in CORNER_LISTS and of_list:
            corners = [int(word) for word in words[at + 1 : at + 1 + length]]
            if len(corners) < max(3, length):
                raise ValueError(f"a face has {len(corners)} corners")
            return corners
        at += 1 + length
    raise ValueError("a face without corners")


def _mesh(path: Path, columns: dict[str, NDArray[Any]], triangles: Ints32) -> Mesh:
    vertices = np.stack([columns[axis] for axis in "xyz"], axis=1).astype(np.float64)
    if len(vertices) == 0 or len(triangles) == 0:
        raise MeshError(f"{path} holds {len(vertices)} vertices and {len(triangles)} faces: not a mesh")
    colors = None
    if {"red", "green", "blue"} <= columns.keys():
        rgb = np.stack([columns[c] for c in ("red", "green", "blue")], axis=1)
        colors = np.nan_to_num(rgb.astype(np.float64)).clip(0, 255).astype(np.uint8) if rgb.dtype != np.uint8 else rgb
    return clean_mesh(path, vertices, triangles, colors=colors, confidence=_confidence(columns))


def _confidence(columns: dict[str, NDArray[Any]]) -> Gray | None:
    """(V,) the property `confidence`, or `quality` as MeshLab calls it; None where it is a measure of another kind,
    which is when not all of it lies within 0 and 1."""
    values = columns.get("confidence", columns.get("quality"))
    if values is None or not ((values >= 0) & (values <= 1)).all():
        return None
    return values.astype(np.float32)


def clean_mesh(
    path: Path,
    vertices: Floats,
    triangles: Ints32,
    *,
    uvs: Floats | None = None,
    uv_triangles: Ints32 | None = None,
    colors: NDArray[np.uint8] | None = None,
    confidence: Gray | None = None,
) -> Mesh:
    """The mesh; vertices that are not finite and belong to no face are left out. Raises MeshError."""
    if triangles.min() < 0 or triangles.max() >= len(vertices):
        raise MeshError(f"{path} has a face with a corner that is not there ({len(vertices):,} are)")
    bad = ~np.isfinite(vertices).all(axis=1) | (np.abs(np.nan_to_num(vertices)).max(axis=1) > MAX_COORDINATE_MM)
    if bad.any():
        used = np.zeros(len(vertices), np.bool_)
        used[triangles.ravel()] = True
        if (wrong := int((bad & used).sum())) > 0:
            what = "not finite, or beyond a thousand kilometres"
            raise MeshError(f"{path} has {wrong:,} vertices with a coordinate that is {what}; repair the scan")
        number = np.cumsum(~bad) - 1
        triangles, vertices = number[triangles].astype(np.int32), vertices[~bad]
        if colors is not None:
            colors = colors[~bad]
        if confidence is not None:
            confidence = confidence[~bad]
    return Mesh(vertices, triangles, uvs, uv_triangles, colors, confidence)
