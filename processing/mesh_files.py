"""Meshes in files: OBJ with UVs, and binary PLY. Files appear whole or not at all."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from processing.errors import MeshError
from processing.mesh import Mesh
from processing.whole_file import whole_file as whole_file


def write_obj(path: Path, mesh: Mesh, texture: str | None = None) -> None:
    """OBJ in millimetres with UVs when the mesh has them.

    With `texture` (a file name relative to the OBJ), `<path>.mtl` is written beside it and referred to.
    """
    path = Path(path)
    lines = ["# Mien. Millimetres, right-handed, y up, z out of the face."]
    if texture is not None:
        lines += [f"mtllib {path.name}.mtl", "usemtl face"]
    lines += [f"v {x:.5f} {y:.5f} {z:.5f}" for x, y, z in mesh.vertices_mm.tolist()]
    if mesh.uvs is not None and mesh.uv_triangles is not None:
        lines += [f"vt {u:.6f} {v:.6f}" for u, v in mesh.uvs.tolist()]
        both = np.stack([mesh.triangles, mesh.uv_triangles], axis=2) + 1
        lines += [f"f {a}/{i} {b}/{j} {c}/{k}" for (a, i), (b, j), (c, k) in both.tolist()]
    else:
        lines += [f"f {a} {b} {c}" for a, b, c in (mesh.triangles + 1).tolist()]
    if texture is not None:
        material = f"newmtl face\nKa 1 1 1\nKd 1 1 1\nKs 0 0 0\nillum 1\nmap_Kd {texture}\n"
        with whole_file(path.with_name(path.name + ".mtl")) as temporary:
            temporary.write_text(material)
    with whole_file(path) as temporary:
        temporary.write_text("\n".join(lines) + "\n")


def read_obj(path: Path) -> Mesh:
    """An OBJ of triangles, quads or polygons (fanned), with UVs where every face has them.

    Raises MeshError naming the line that cannot be read.
    """
    vertices: list[list[float]] = []
    uvs: list[list[float]] = []
    triangles: list[tuple[int, int, int]] = []
    uv_triangles: list[tuple[int, int, int]] = []
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise MeshError(f"{path} cannot be read: {error.strerror}") from None
    for number, line in enumerate(text.splitlines(), 1):
        kind, _, rest = line.strip().partition(" ")
        try:
            if kind == "v":
                vertices.append([float(x) for x in rest.split()[:3]])
            elif kind == "vt":
                uvs.append([float(x) for x in rest.split()[:2]])
            elif kind == "f":
                corners = [corner.split("/") for corner in rest.split()]
                at = [_index(c[0], len(vertices)) for c in corners]
                uv = [_index(c[1], len(uvs)) for c in corners if len(c) > 1 and c[1]]
                for k in range(1, len(at) - 1):
                    triangles.append((at[0], at[k], at[k + 1]))
                    if len(uv) == len(at):
                        uv_triangles.append((uv[0], uv[k], uv[k + 1]))
        except (ValueError, IndexError):
            raise MeshError(f"{path}, line {number}: cannot be read as OBJ: {line.strip()[:60]!r}") from None
    if not vertices or not triangles:
        raise MeshError(f"{path} holds {len(vertices)} vertices and {len(triangles)} faces: not a mesh")
    if any(len(v) != 3 for v in vertices):
        raise MeshError(f"{path} has a vertex with fewer than three coordinates")
    positions = np.array(vertices)
    if not np.isfinite(positions).all():
        raise MeshError(f"{path} has a vertex that is not finite")
    if uvs and len(uv_triangles) == len(triangles):
        return Mesh(positions, np.array(triangles, np.int32), np.array(uvs), np.array(uv_triangles, np.int32))
    return Mesh(positions, np.array(triangles, np.int32))


def _index(text: str, count: int) -> int:
    value = int(text)
    if value == 0:
        raise IndexError(text)
    return value - 1 if value > 0 else count + value


_TYPES = {
    **{"char": "i1", "uchar": "u1", "short": "i2", "ushort": "u2", "int": "i4", "uint": "u4", "float": "f4"},
    **{"int8": "i1", "uint8": "u1", "int16": "i2", "uint16": "u2", "int32": "i4", "uint32": "u4", "float32": "f4"},
    **{"double": "f8", "float64": "f8"},
}


def write_ply(path: Path, mesh: Mesh) -> None:
    """Binary little-endian PLY: float positions in mm, normals, RGB where the mesh has it, triangles."""
    fields = [("x", "<f4"), ("y", "<f4"), ("z", "<f4"), ("nx", "<f4"), ("ny", "<f4"), ("nz", "<f4")]
    if mesh.colors is not None:
        fields += [("red", "u1"), ("green", "u1"), ("blue", "u1")]
    rows = np.zeros(len(mesh.vertices_mm), dtype=fields)
    for k, axis in enumerate("xyz"):
        rows[axis], rows[f"n{axis}"] = mesh.vertices_mm[:, k], mesh.vertex_normals[:, k]
    if mesh.colors is not None:
        for k, name in enumerate(("red", "green", "blue")):
            rows[name] = mesh.colors[:, k]
    faces = np.zeros(len(mesh.triangles), dtype=[("n", "u1"), ("v", "<i4", (3,))])
    faces["n"], faces["v"] = 3, mesh.triangles
    names = {"<f4": "float", "u1": "uchar"}
    header = ["ply", "format binary_little_endian 1.0", "comment Mien; millimetres, y up, z out of the face"]
    header += [f"element vertex {len(rows)}", *(f"property {names[kind]} {name}" for name, kind in fields)]
    header += [f"element face {len(faces)}", "property list uchar int vertex_indices", "end_header\n"]
    with whole_file(Path(path)) as temporary, temporary.open("wb") as file:
        file.write("\n".join(header).encode())
        file.write(rows.tobytes())
        file.write(faces.tobytes())


def read_ply(path: Path) -> Mesh:
    """A PLY of triangles (or polygons, fanned), ASCII or binary little-endian, with RGB where it has it.

    Raises MeshError for a file that is cut short or not a mesh.
    """
    path = Path(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise MeshError(f"{path} cannot be read: {error.strerror}") from None
    end = data.find(b"end_header")
    if not data.startswith(b"ply") or end < 0:
        raise MeshError(f"{path} is not a PLY file")
    body = data[data.index(b"\n", end) + 1 :]
    lines = [line.split() for line in data[:end].decode("ascii", "replace").splitlines()]
    form = next((line[1] for line in lines if line[:1] == ["format"]), "")
    elements: list[tuple[str, int, list[list[str]]]] = []
    for line in lines:
        if line[:1] == ["element"]:
            elements.append((line[1], int(line[2]), []))
        elif line[:1] == ["property"]:
            elements[-1][2].append(line[1:])
    if form not in ("binary_little_endian", "ascii") or [e[0] for e in elements[:2]] != ["vertex", "face"]:
        raise MeshError(f"{path}: PLY of format {form!r} with elements {[e[0] for e in elements]} is not supported")
    (_, vertex_count, properties), (_, face_count, face_properties) = elements[:2]
    names = [p[-1] for p in properties]
    try:
        if form == "ascii":
            columns, faces = _ascii(body.decode("ascii", "replace"), vertex_count, face_count, len(names))
            get = {name: columns[:, k] for k, name in enumerate(names)}
        else:
            kind = np.dtype([(p[-1], "<" + _TYPES[p[0]]) for p in properties])
            rows = np.frombuffer(body, kind, vertex_count)
            faces = _binary_faces(body[rows.nbytes :], face_count, face_properties)
            get = {name: rows[name] for name in names}
        vertices = np.stack([get[axis] for axis in "xyz"], axis=1).astype(np.float64)
    except (ValueError, KeyError, IndexError) as error:
        raise MeshError(f"{path} is cut short or damaged ({error})") from None
    colors = None
    if {"red", "green", "blue"} <= set(names):
        colors = np.stack([get[c] for c in ("red", "green", "blue")], axis=1).astype(np.uint8)
    if len(vertices) == 0 or len(faces) == 0:
        raise MeshError(f"{path} holds {len(vertices)} vertices and {len(faces)} faces: not a mesh")
    return Mesh(vertices, faces, colors=colors)


def _binary_faces(body: bytes, count: int, properties: list[list[str]]) -> NDArray[np.int32]:
    if len(properties) != 1 or properties[0][0] != "list":
        raise ValueError("faces have more than their vertex list")
    size, index = (_TYPES[t] for t in properties[0][1:3])
    if count and body:
        first = int(np.frombuffer(body, "<" + size, 1)[0])
        kind = np.dtype([("n", "<" + size), ("v", "<" + index, (first,))])
        rows = np.frombuffer(body, kind, count)
        if (rows["n"] == first).all() and first >= 3:
            fans = [rows["v"][:, [0, k, k + 1]] for k in range(1, first - 1)]
            return np.concatenate(fans).astype(np.int32)
    raise ValueError("faces of differing size or none")


def _ascii(text: str, vertices: int, faces: int, width: int) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
    lines = text.splitlines()
    rows = np.array([[float(x) for x in line.split()[:width]] for line in lines[:vertices]])
    fans: list[list[int]] = []
    for line in lines[vertices : vertices + faces]:
        corner = [int(x) for x in line.split()[1 : 1 + int(line.split()[0])]]
        fans += [[corner[0], corner[k], corner[k + 1]] for k in range(1, len(corner) - 1)]
    if len(rows) != vertices:
        raise ValueError("vertices missing")
    return rows, np.array(fans, np.int32)
