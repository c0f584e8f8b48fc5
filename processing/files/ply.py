"""PLY (Turk 1994) read and written: positions, colours, confidence and polygons; the rest is passed over.

The header's counts are held against the file's size before anything is made of them.
"""

import mmap
import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.array_types import Gray
from common.bounded.files import open_regular_file
from common.bounded.limits import MAX_MESH_BYTES
from common.files.atomic_write import atomic_write
from processing.errors import MeshError
from processing.files.mesh_arrays import MeshArrays, fanned
from processing.files.ply_header import PlyError, read_ply_header
from processing.files.ply_rows import read_ply_rows
from processing.files.vertex_rgb import colours_of_numbers
from processing.geometry.mesh import Mesh

_RGB = (("red", "green", "blue"), ("diffuse_red", "diffuse_green", "diffuse_blue"), ("r", "g", "b"))


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
    """A PLY whose vertices keep their numbers. Raises MeshError as `read_ply_arrays`."""
    return read_ply_arrays(path).topology()


def read_ply_arrays(path: Path) -> MeshArrays:
    """A PLY of triangles (or polygons, fanned), as text or binary, with RGB and confidence where it has them.

    Raises MeshError, which names the file and the line, or the row and its byte, for a file that is cut short, says
    something else than its header, is too large, or is no mesh.
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
            rows = read_ply_rows(file, data, read_ply_header(data))
    except OSError as error:
        raise MeshError(f"{path} cannot be read: {error.strerror}") from None
    except PlyError as error:
        raise MeshError(f"{path}, {error}") from None
    columns, faces = rows["vertex"].columns, rows["face"]
    vertices = np.stack([columns[axis] for axis in "xyz"], axis=1).astype(np.float64)
    triangles, _, _ = fanned(path, faces.corner_counts, faces.corners, len(vertices), faces.place)
    vertex_place, colors, confidence = rows["vertex"].place, _colours(columns), _confidence(columns)
    return MeshArrays(path, vertices, triangles, vertex_place, colors=colors, confidence=confidence)


def _colours(columns: dict[str, NDArray[Any]]) -> NDArray[np.uint8] | None:
    """(V, 3) RGB."""
    names = next((names for names in _RGB if set(names) <= columns.keys()), None)
    return None if names is None else colours_of_numbers(np.stack([columns[name] for name in names], axis=1))


def _confidence(columns: dict[str, NDArray[Any]]) -> Gray | None:
    """(V,) the property `confidence`, or `quality` as MeshLab calls it; None where it is a measure of another kind,
    which is when not all of it lies within 0 and 1."""
    values = columns.get("confidence", columns.get("quality"))
    if values is None or not ((values >= 0) & (values <= 1)).all():
        return None
    return values.astype(np.float32)
