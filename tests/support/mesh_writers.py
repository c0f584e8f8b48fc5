"""Meshes as other programs write them: one mesh, many files."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

FORMS = ("ascii", "binary_little_endian", "binary_big_endian")
_LETTERS = {
    "char": "i1", "uchar": "u1", "short": "i2", "ushort": "u2", "int": "i4", "uint": "u4", "float": "f4",
    "double": "f8", "uint8": "u1", "int32": "i4", "float32": "f4",
}  # fmt: skip


@dataclass(frozen=True)
class PlyStyle:
    """How a PLY file is written."""

    form: str = "ascii"
    coordinate: str = "float"
    colour: str = "uchar"
    index: str = "int"
    length: str = "uchar"
    list_name: str = "vertex_indices"
    newline: str = "\n"
    comments: Sequence[str] = ()
    #: (name, type) or (name, type, length of its list) before and behind the corners of each face.
    before: Sequence[tuple[Any, ...]] = ()
    behind: Sequence[tuple[Any, ...]] = ()
    #: Further scalar properties of a vertex.
    vertex_more: Sequence[str] = ()
    #: Elements in this order; 'other' is one that no mesh has, with a list.
    elements: Sequence[str] = ("vertex", "face")
    colours: bool = True
    rgb: Sequence[str] = ("red", "green", "blue")
    confidence: str = ""
    seed: int = field(default=0)


def ply_bytes(vertices: Any, faces: Sequence[Sequence[int]], colours: Any, confidence: Any, style: PlyStyle) -> bytes:
    """A PLY of V vertices (V, 3), polygons, RGB (V, 3) of 8 bits and confidence (V,)."""
    rng = np.random.default_rng(style.seed)
    vertex_kinds = [(axis, style.coordinate) for axis in "xyz"] + [(name, "float") for name in style.vertex_more]
    if style.colours:
        vertex_kinds += [(name, style.colour) for name in style.rgb]
    if style.confidence:
        vertex_kinds.append((style.confidence, "float"))
    rows: dict[str, list[list[tuple[str, Any]]]] = {"vertex": [], "face": [], "other": []}
    scale = {"float": 1 / 255, "double": 1 / 255, "ushort": 257}.get(style.colour, 1)
    for k, point in enumerate(vertices):
        row = [(style.coordinate, x) for x in point] + [("float", rng.uniform(-9, 9)) for _ in style.vertex_more]
        row += [(style.colour, c * scale) for c in colours[k].astype(float)] if style.colours else []
        rows["vertex"].append(row + ([("float", confidence[k])] if style.confidence else []))
    for face in faces:
        corners = [(style.length, len(face)), *((style.index, k) for k in face)]
        rows["face"].append([*_more(style.before, rng), *corners, *_more(style.behind, rng)])
    for k in range(3):
        rows["other"].append([("uchar", k), *(("short", 7) for _ in range(k)), ("double", 0.5)])
    head = ["ply", f"format {style.form} 1.0", *(f"comment {text}" for text in style.comments)]
    listed = f"property list {style.length} {style.index} {style.list_name}"
    lines = {
        "vertex": [f"property {kind} {name}" for name, kind in vertex_kinds],
        "face": [*map(_said, style.before), listed, *map(_said, style.behind)],
        "other": ["property list uchar short things", "property double weight"],
    }
    for name in style.elements:
        head += [f"element {name} {len(rows[name])}", *lines[name]]
    text = style.newline.join([*head, "end_header", ""]).encode()
    for name in style.elements:
        text += _body(rows[name], style)
    return text


def _said(one: tuple[Any, ...]) -> str:
    return f"property {one[1]} {one[0]}" if len(one) == 2 else f"property list uchar {one[1]} {one[0]}"


def _more(properties: Sequence[tuple[Any, ...]], rng: np.random.Generator) -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for one in properties:
        if len(one) == 3:
            found.append(("uchar", one[2]))
        found += [(one[1], int(rng.integers(0, 99))) for _ in range(one[2] if len(one) == 3 else 1)]
    return found


def _body(rows: Sequence[Sequence[tuple[str, Any]]], style: PlyStyle) -> bytes:
    if style.form == "ascii":
        whole = [" ".join(_number(kind, value) for kind, value in row) for row in rows]
        return "".join(line + style.newline for line in whole).encode()
    order = "<" if style.form == "binary_little_endian" else ">"
    return b"".join(np.array(value).astype(order + _LETTERS[kind]).tobytes() for row in rows for kind, value in row)


def _number(kind: str, value: Any) -> str:
    return repr(float(value)) if kind in ("float", "double", "float32") else str(round(value))


@dataclass(frozen=True)
class ObjStyle:
    """How an OBJ file is written."""

    gap: str = " "
    newline: str = "\n"
    #: Words of a line go on in the next after this many; 0: never.
    continued: int = 0
    negative: bool = False
    normals: bool = False
    colours: bool = False
    comments: bool = False
    groups: bool = False
    #: Faces before the vertices that they name (positive numbers allow that).
    faces_first: bool = False


def obj_bytes(
    vertices: Any, faces: Sequence[Sequence[int]], uvs: Any, uv_faces: Any, colours: Any, style: ObjStyle
) -> bytes:
    """An OBJ of vertices (V, 3), polygons, UVs (U, 2) or None, and which of them each corner has (None: none)."""
    count, uv_count = len(vertices), 0 if uvs is None else len(uvs)
    points = []
    for k, point in enumerate(vertices):
        more = [repr(float(c) / 255) for c in colours[k]] if style.colours else []
        points.append(["v", *(repr(float(x)) for x in point), *more])
    points += [["vt", *(repr(float(x)) for x in uv)] for uv in (() if uvs is None else uvs)]
    points += [["vn", "0", "0", "1"]] if style.normals else []

    def number(k: int, there: int) -> str:
        return str(k - there if style.negative else k + 1)

    polygons = []
    for face, uv_face in zip(faces, uv_faces, strict=True):
        words = []
        for j, corner in enumerate(face):
            word = number(corner, count)
            if uv_face is not None:
                word += f"/{number(uv_face[j], uv_count)}"
            if style.normals:
                word += "/" * (2 if uv_face is None else 1) + "1"
            words.append(word)
        polygons.append(["f", *words])
    if style.groups:
        polygons = [["g", "skin"], ["usemtl", "a\\"], ["s", "off"], *polygons]
    rows = polygons + points if style.faces_first else points + polygons
    if style.comments:
        rows = [["#", "from", "C:\\scans\\"], ["mtllib", "C:\\scans\\"], *rows[:1], ["#"], [], *rows[1:]]
    return "".join(_line(row, style) for row in rows).encode()


def _line(row: Sequence[str], style: ObjStyle) -> str:
    if style.continued and row and row[0] in ("v", "vt", "f"):
        parts = [row[k : k + style.continued] for k in range(0, len(row), style.continued)]
        return f"{style.gap}\\{style.newline}{style.gap}".join(style.gap.join(part) for part in parts) + style.newline
    return style.gap.join(row) + style.newline
