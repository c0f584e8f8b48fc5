"""An avatar as one glTF binary: textured head, teeth, 52 morph targets by ARKit's names; metres, y up.

What moves little is left out and what moves some vertices names them (sparse accessors), so that a head of 3,000
vertices with its texture is a few megabytes, without any extension.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from common.array_types import Floats, Floats32, Ints32
from processing.avatars.mouth_parts import TeethMesh
from processing.errors import DataError
from processing.files.glb import METRES, GlbBuffer, write_glb_file
from processing.files.morph_targets.morph_target_model import STILL_MM, STILL_NORMAL, vertex_normals
from processing.geometry.mesh import Mesh

MOST_BYTES = 6_000_000
_SECONDS = 1.0  # from the neutral to the photograph's expression, and held as long


@dataclass(frozen=True, eq=False)
class AvatarParts:
    """What goes into the file."""

    name: str
    mesh: Mesh  # L vertices with UVs, neutral, mm
    units: tuple[str, ...]
    offsets_mm: Floats  # (U, L, 3) each at weight 1
    texture: bytes  # JPEG over the UVs
    teeth: TeethMesh | None
    teeth_texture: bytes  # PNG
    facts: Mapping[str, Any]  # asset.extras, as JSON has it
    expression: Floats | None = None  # (U,) the photograph's, played as an animation
    normals: bytes | None = None  # JPEG of a normal map over the UVs


def write_avatar(path: Path, parts: AvatarParts) -> int:
    """Whole or not at all; how many bytes it has. Raises DataError beyond MOST_BYTES, and nothing is written."""
    buffer = GlbBuffer()
    document = _document(buffer, parts)
    if len(buffer.data) > MOST_BYTES - 100_000:
        raise DataError(
            f"{path} would have {len(buffer.data) / 1e6:.1f} MB; an avatar has at most {MOST_BYTES / 1e6:.0f}: "
            "ask for a smaller texture (--texture-px)"
        )
    write_glb_file(path, document, buffer)
    return path.stat().st_size


def _document(buffer: GlbBuffer, parts: AvatarParts) -> dict[str, Any]:
    assert parts.mesh.uvs is not None
    assert parts.mesh.uv_triangles is not None
    primitives = [
        _primitive(buffer, parts.mesh, parts.offsets_mm, 0),
    ]
    images = [{"bufferView": buffer.view(parts.texture), "mimeType": "image/jpeg", "name": "texture"}]
    matt = {"metallicFactor": 0.0, "roughnessFactor": 0.7}
    materials: list[dict[str, Any]] = [
        {"name": "head", "pbrMetallicRoughness": matt | {"baseColorTexture": {"index": 0}}, "doubleSided": True}
    ]
    if parts.teeth is not None:
        teeth = parts.teeth
        mesh = Mesh(teeth.vertices_mm, teeth.triangles, teeth.uvs, teeth.triangles)
        primitives.append(_primitive(buffer, mesh, teeth.offsets_mm, 1))
        images.append({"bufferView": buffer.view(parts.teeth_texture), "mimeType": "image/png", "name": "teeth"})
        materials.append({
            "name": "teeth", "pbrMetallicRoughness": {"metallicFactor": 0.0, "roughnessFactor": 0.35,
            "baseColorTexture": {"index": 1}}, "alphaMode": "MASK", "alphaCutoff": 0.5, "doubleSided": True,
        })  # fmt: skip
    if parts.normals is not None:
        images.append({"bufferView": buffer.view(parts.normals), "mimeType": "image/jpeg", "name": "normals"})
        materials[0]["normalTexture"] = {"index": len(images) - 1}
    document: dict[str, Any] = {
        "asset": {"version": "2.0", "generator": "Mien", "extras": dict(parts.facts)},
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0, "name": parts.name}],
        "meshes": [
            {
                "name": parts.name,
                "primitives": primitives,
                "weights": [0.0] * len(parts.units),
                "extras": {"targetNames": list(parts.units)},
            }
        ],
        "materials": materials,
        "textures": [{"source": number, "sampler": 0} for number in range(len(images))],
        "samplers": [{"magFilter": 9729, "minFilter": 9987, "wrapS": 33071, "wrapT": 33071}],
        "images": images,
    }
    if parts.expression is not None:
        document["animations"] = [_animation(buffer, parts.expression)]
    return document | {
        "accessors": buffer.accessors,
        "bufferViews": buffer.views,
        "buffers": [{"byteLength": len(buffer.data)}],
    }


def _primitive(buffer: GlbBuffer, mesh: Mesh, offsets_mm: Floats, material: int) -> dict[str, Any]:
    """Vertices, one for each of their UVs, and what the units move."""
    assert mesh.uvs is not None
    assert mesh.uv_triangles is not None
    pairs = mesh.triangles.astype(np.int64).ravel() << 32 | mesh.uv_triangles.ravel()
    split, corner = np.unique(pairs, return_inverse=True)
    vertex, uv = (split >> 32).astype(np.int32), split & 0xFFFFFFFF
    rest = mesh.vertices_mm.astype(np.float32)
    normals = vertex_normals(rest, mesh.triangles)
    uvs = (mesh.uvs[uv] * [1, -1] + [0, 1]).astype(np.float32)  # glTF's origin is at the top
    return {
        "attributes": {
            "POSITION": buffer.vectors(rest[vertex] * np.float32(METRES), "VEC3", bounded=True),
            "NORMAL": buffer.vectors(normals[vertex], "VEC3"),
            "TEXCOORD_0": buffer.vectors(uvs, "VEC2"),
        },
        "indices": buffer.indices(corner.reshape(-1).astype(np.uint32)),
        "material": material,
        "targets": [
            _target(buffer, rest, offset.astype(np.float32), mesh.triangles, normals, vertex) for offset in offsets_mm
        ],
    }


def _target(
    buffer: GlbBuffer, rest: Floats32, offset: Floats32, triangles: Ints32, normals: Floats32, vertex: Ints32
) -> dict[str, int]:
    turned = vertex_normals(rest + offset, triangles) - normals if offset.any() else np.zeros_like(normals)
    accessors = {}
    for key, values, still, scale in (
        ("POSITION", offset, STILL_MM, np.float32(METRES)),
        ("NORMAL", turned, STILL_NORMAL, np.float32(1)),
    ):
        moves = np.linalg.norm(values, axis=1) > still
        rows = np.flatnonzero(moves[vertex]).astype(np.uint32)
        accessors[key] = buffer.sparse_vectors(
            rows, values[vertex[rows]] * scale, len(vertex), bounded=key == "POSITION"
        )
    return accessors


def _animation(buffer: GlbBuffer, weights: Floats) -> dict[str, Any]:
    """From the neutral to the photograph's expression and back."""
    times = np.array([[0.0], [_SECONDS], [2 * _SECONDS], [3 * _SECONDS]], np.float32)
    values = np.outer([0.0, 1.0, 1.0, 0.0], weights).astype(np.float32).reshape(-1, 1)
    sampler = {"input": buffer.keyframes(times), "output": buffer.keyframes(values), "interpolation": "LINEAR"}
    return {
        "name": "photograph",
        "samplers": [sampler],
        "channels": [{"sampler": 0, "target": {"node": 0, "path": "weights"}}],
    }
