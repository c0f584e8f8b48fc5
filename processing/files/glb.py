"""GLB, glTF 2.0's binary file: its container, and a coloured mesh in it. Lengths are metres, as glTF demands.

Format: the Khronos specification, sections 3.6 (buffers), 3.7 (geometry) and 4 (GLB).
"""

import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from common.files.atomic_write import atomic_write

if TYPE_CHECKING:  # who exports a release has no Open3D
    from processing.geometry.mesh import Mesh

METRES = 0.001  # in a millimetre
FLOAT, UNSIGNED_INT, UNSIGNED_SHORT, VERTICES, INDICES = 5126, 5125, 5123, 34962, 34963


class GlbBuffer:
    """The binary chunk, and the views and accessors that say what is in it."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.views: list[dict[str, Any]] = []
        self.accessors: list[dict[str, Any]] = []

    def view(self, data: bytes, target: int | None = None) -> int:
        self.data += bytes(-len(self.data) % 4)
        view: dict[str, Any] = {"buffer": 0, "byteOffset": len(self.data), "byteLength": len(data)}
        self.views.append(view | ({"target": target} if target else {}))
        self.data += data
        return len(self.views) - 1

    def vectors(self, values: NDArray[np.float32], kind: str, *, bounded: bool = False) -> int:
        """An accessor of (N, k) floats; bounded: with the smallest and the largest, as positions must have them."""
        values = np.ascontiguousarray(values, dtype="<f4")
        accessor: dict[str, Any] = {
            "bufferView": self.view(values.tobytes(), VERTICES),
            "componentType": FLOAT,
            "count": len(values),
            "type": kind,
        }
        if bounded:
            accessor |= {"min": values.min(axis=0).tolist(), "max": values.max(axis=0).tolist()}
        self.accessors.append(accessor)
        return len(self.accessors) - 1

    def sparse_vectors(
        self, rows: NDArray[np.uint32], values: NDArray[np.float32], count: int, *, bounded: bool = False
    ) -> int:
        """An accessor of (count, 3) floats that are zero but for `rows` (M,), ascending, which are `values` (M, 3).

        Where most rows are named, all are written: that is smaller.
        """
        narrow = count <= 1 << 16
        if len(rows) * ((2 if narrow else 4) + 12) >= count * 12:
            dense = np.zeros((count, 3), np.float32)
            dense[rows] = values
            return self.vectors(dense, "VEC3", bounded=bounded)
        values = np.ascontiguousarray(values, dtype="<f4")
        accessor: dict[str, Any] = {"componentType": FLOAT, "count": count, "type": "VEC3"}
        if bounded:
            with_zero = np.vstack([values, np.zeros((1, 3), np.float32)])
            accessor |= {"min": with_zero.min(axis=0).tolist(), "max": with_zero.max(axis=0).tolist()}
        if len(rows):  # without a view and without any row, an accessor is zero
            indices = self.view(rows.astype("<u2" if narrow else "<u4").tobytes())
            accessor["sparse"] = {
                "count": len(rows),
                "indices": {"bufferView": indices, "componentType": UNSIGNED_SHORT if narrow else UNSIGNED_INT},
                "values": {"bufferView": self.view(values.tobytes())},
            }
        self.accessors.append(accessor)
        return len(self.accessors) - 1

    def keyframes(self, values: NDArray[np.float32], kind: str = "SCALAR") -> int:
        """An accessor of an animation's times or numbers, (N, 1) floats; or (N, 4) turns, of kind VEC4."""
        values = np.ascontiguousarray(values, dtype="<f4")
        view = self.view(values.tobytes())
        least, most = values.min(axis=0).tolist(), values.max(axis=0).tolist()
        self.accessors.append(
            {"bufferView": view, "componentType": FLOAT, "count": len(values), "type": kind}
            | {"min": least, "max": most}
        )
        return len(self.accessors) - 1

    def shares(self, values: NDArray[np.float64], kind: str) -> int:
        """An accessor of (N, k) values of 0 to 1, sixteen bits each; N x k must fill whole words of four bytes."""
        packed = np.ascontiguousarray(np.rint(np.clip(values, 0, 1) * 65535), dtype="<u2")
        view = self.view(packed.tobytes(), VERTICES)
        self.accessors.append(
            {
                "bufferView": view,
                "componentType": UNSIGNED_SHORT,
                "normalized": True,
                "count": len(packed),
                "type": kind,
            }
        )
        return len(self.accessors) - 1

    def indices(self, values: NDArray[np.uint32]) -> int:
        values = np.ascontiguousarray(values, dtype="<u4")
        view = self.view(values.tobytes(), INDICES)
        self.accessors.append(
            {"bufferView": view, "componentType": UNSIGNED_INT, "count": values.size, "type": "SCALAR"}
        )
        return len(self.accessors) - 1


def write_glb_file(path: Path, document: Mapping[str, Any], buffer: GlbBuffer) -> None:
    """Whole or not at all. document: the JSON chunk."""
    text = json.dumps(document, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 4)
    data = bytes(buffer.data) + bytes(-len(buffer.data) % 4)
    with atomic_write(path) as temporary, temporary.open("wb") as file:
        file.write(struct.pack("<4sII", b"glTF", 2, 12 + 8 + len(text) + 8 + len(data)))
        file.write(struct.pack("<I4s", len(text), b"JSON") + text)
        file.write(struct.pack("<I4s", len(data), b"BIN\0") + data)


def write_mesh_glb(path: Path, mesh: "Mesh") -> None:
    """A mesh with normals, and vertex colours where it has them: lit already, and to be looked at from both sides."""
    buffer = GlbBuffer()
    attributes = {
        "POSITION": buffer.vectors((mesh.vertices_mm * METRES).astype(np.float32), "VEC3", bounded=True),
        "NORMAL": buffer.vectors(mesh.vertex_normals.astype(np.float32), "VEC3"),
    }
    if mesh.colors is not None:
        opaque = np.ones((len(mesh.colors), 1))
        attributes["COLOR_0"] = buffer.shares(np.hstack([_linear(mesh.colors / 255), opaque]), "VEC4")
    indices = buffer.indices(mesh.triangles.astype(np.uint32).ravel())
    unlit: dict[str, Any] = {"KHR_materials_unlit": {}}
    plain = {"metallicFactor": 0.0, "roughnessFactor": 0.9}
    document = {
        "asset": {"version": "2.0", "generator": "Mien"},
        "extensionsUsed": list(unlit),
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0}],
        "meshes": [{"primitives": [{"attributes": attributes, "indices": indices, "material": 0}]}],
        "materials": [{"doubleSided": True, "pbrMetallicRoughness": plain, "extensions": unlit}],
        "accessors": buffer.accessors,
        "bufferViews": buffer.views,
        "buffers": [{"byteLength": len(buffer.data)}],
    }
    write_glb_file(path, document, buffer)


def _linear(srgb: NDArray[np.float64]) -> NDArray[np.float64]:
    """Light of colours that are encoded for a screen, 0 to 1 (IEC 61966-2-1): glTF's vertex colours are light."""
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
