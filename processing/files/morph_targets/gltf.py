"""glTF 2.0: a face as one binary file, neutral, a named morph target an expression, texture inside.

Lengths are metres, as glTF demands. A target that moves part of the face names the vertices that it moves (a sparse
accessor), so that 52 units of 26,000 vertices are a few megabytes.

Format: the Khronos specification, sections 3.6.2.3 (sparse accessors), 3.7 (geometry, morph targets), 3.11
(animations) and 4 (GLB).
"""

from pathlib import Path
from typing import Any

import numpy as np

from common.array_types import Floats32, Ints32
from processing.errors import ShapeError
from processing.files.glb import METRES, GlbBuffer, write_glb_file
from processing.files.morph_targets.morph_target_model import (
    STILL_MM,
    STILL_NORMAL,
    MorphAnimation,
    MorphTargetModel,
    Rights,
    moved_vertices,
    vertex_normals,
)

SECONDS = 0.6  # that a target is played for, there and back
_GREY = [0.62, 0.55, 0.5, 1.0]


def write_glb(path: Path, model: MorphTargetModel, animation: MorphAnimation | None = None) -> None:
    """Whole or not at all. A vertex at a UV seam is there once for each of its UVs: glTF knows one index a corner.

    animation: what the file plays, in place of one target after another. Raises ShapeError for one of other targets.
    """
    buffer = GlbBuffer()
    mesh = _mesh(buffer, model)
    document = _asset(model) | {
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0, "name": model.name}],
        "meshes": [mesh],
        **_material(buffer, model),
    }
    if animation is not None:
        document["animations"] = [_recorded(buffer, animation, len(model.targets))]
        if animation.turns is not None:
            document |= _turned_nodes(model, animation)
    elif model.plays and model.targets:
        document["animations"] = [_in_turn(buffer, len(model.targets))]
    document |= {
        "accessors": buffer.accessors,
        "bufferViews": buffer.views,
        "buffers": [{"byteLength": len(buffer.data)}],
    }
    write_glb_file(path, document, buffer)


def _mesh(buffer: GlbBuffer, model: MorphTargetModel) -> dict[str, Any]:
    """The neutral face and its morph targets, their numbers in the buffer."""
    topology = model.topology
    pairs = topology.triangles.astype(np.int64).ravel() << 32 | topology.uv_triangles.ravel()
    split, corner = np.unique(pairs, return_inverse=True)
    vertex, uv = split >> 32, split & 0xFFFFFFFF
    uvs = topology.uvs[uv] * np.array([1, -1], np.float32) + np.array([0, 1], np.float32)  # glTF's origin is at the top
    normals = vertex_normals(model.neutral, topology.triangles)
    attributes = {
        "POSITION": buffer.vectors(model.neutral[vertex] * METRES, "VEC3", bounded=True),
        "NORMAL": buffer.vectors(normals[vertex], "VEC3"),
        "TEXCOORD_0": buffer.vectors(uvs, "VEC2"),
    }
    indices = buffer.indices(corner.reshape(-1).astype(np.uint32))
    targets = [_target(buffer, model, name, vertex.astype(np.int32), normals) for name in model.targets]
    primitive: dict[str, Any] = {"attributes": attributes, "indices": indices, "material": 0}
    mesh: dict[str, Any] = {"name": f"face_{model.name}", "primitives": [primitive]}
    if targets:
        primitive["targets"] = targets
        mesh |= {"weights": [0.0] * len(targets), "extras": {"targetNames": list(model.targets)}}
    return mesh


def _target(buffer: GlbBuffer, model: MorphTargetModel, name: str, vertex: Ints32, normals: Floats32) -> dict[str, int]:
    """Accessors of a target. vertex: (C,) of each vertex of the file.  normals: (V, 3) of the neutral face."""
    moved = moved_vertices(model, name, normals)
    return {
        "POSITION": _moved(buffer, moved.vertices, moved.offsets * METRES, vertex, STILL_MM * METRES, bounded=True),
        "NORMAL": _moved(buffer, moved.vertices, moved.normals, vertex, STILL_NORMAL),
    }


def _moved(
    buffer: GlbBuffer, vertices: Ints32, values: Floats32, vertex: Ints32, still: float, *, bounded: bool = False
) -> int:
    """An accessor of values (M, 3) of vertices (M,), zero where they are less than `still`. vertex: (C,) as above."""
    more = np.linalg.norm(values, axis=1) > still
    place = np.full(max(vertices.max(initial=0), vertex.max(initial=0)) + 1, -1, np.int32)
    place[vertices[more]] = np.flatnonzero(more)
    rows = np.flatnonzero(place[vertex] >= 0).astype(np.uint32)
    return buffer.sparse_vectors(rows, values[place[vertex[rows]]], len(vertex), bounded=bounded)


def _in_turn(buffer: GlbBuffer, count: int) -> dict[str, Any]:
    """An animation of the weights: each target rises and falls, one after another."""
    times = np.arange(2 * count + 1, dtype=np.float32)[:, None] * (SECONDS / 2)
    weights = np.zeros((2 * count + 1, count), np.float32)
    weights[2 * np.arange(count) + 1, np.arange(count)] = 1
    sampler = {
        "input": buffer.keyframes(times),
        "output": buffer.keyframes(weights.reshape(-1, 1)),
        "interpolation": "LINEAR",
    }
    channel = {"sampler": 0, "target": {"node": 0, "path": "weights"}}
    return {"name": "in turn", "samplers": [sampler], "channels": [channel]}


def _recorded(buffer: GlbBuffer, animation: MorphAnimation, count: int) -> dict[str, Any]:
    """A recording: weights of all targets on node 0, the head's turns on node 1."""
    if animation.weights.shape != (len(animation.times_s), count):
        raise ShapeError("weights", animation.weights.shape, f"({len(animation.times_s)}, {count})")
    samplers = [
        {
            "input": buffer.keyframes(animation.times_s[:, None]),
            "output": buffer.keyframes(animation.weights.reshape(-1, 1)),
            "interpolation": "LINEAR",
        }
    ]
    channels = [{"sampler": 0, "target": {"node": 0, "path": "weights"}}]
    if animation.turns is not None and animation.turn_times_s is not None:
        if animation.turns.shape != (len(animation.turn_times_s), 4):
            raise ShapeError("turns", animation.turns.shape, f"({len(animation.turn_times_s)}, 4)")
        samplers.append(
            {
                "input": buffer.keyframes(animation.turn_times_s[:, None]),
                "output": buffer.keyframes(animation.turns, "VEC4"),
                "interpolation": "LINEAR",  # of quaternions: along the great circle
            }
        )
        channels.append({"sampler": 1, "target": {"node": 1, "path": "rotation"}})
    return {"name": animation.name, "samplers": samplers, "channels": channels}


def _turned_nodes(model: MorphTargetModel, animation: MorphAnimation) -> dict[str, Any]:
    """The face under a node that turns about the pivot."""
    pivot = [METRES * part for part in animation.pivot_mm]
    face = {"mesh": 0, "name": model.name, "translation": [-part for part in pivot]}
    return {
        "scenes": [{"nodes": [1]}],
        "nodes": [face, {"name": f"{model.name}_head", "children": [0], "translation": pivot}],
    }


def _material(buffer: GlbBuffer, model: MorphTargetModel) -> dict[str, Any]:
    """Skin with the texture where there is one."""
    plain: dict[str, Any] = {"metallicFactor": 0.0, "roughnessFactor": 0.6}
    if model.texture is None:
        return {"materials": [{"name": "face", "pbrMetallicRoughness": plain | {"baseColorFactor": _GREY}}]}
    return {
        "materials": [{"name": "face", "pbrMetallicRoughness": plain | {"baseColorTexture": {"index": 0}}}],
        "textures": [{"source": 0, "sampler": 0}],
        "samplers": [{"magFilter": 9729, "minFilter": 9987}],
        "images": [{"bufferView": buffer.view(model.texture), "mimeType": "image/jpeg", "name": "texture"}],
    }


def _asset(model: MorphTargetModel) -> dict[str, Any]:
    """What the file says of itself: whose it is, and out of which release."""
    asset: dict[str, Any] = {"version": "2.0", "generator": "Mien", "extras": dict(model.facts)}
    rights = model.rights
    if rights is None:
        return {"asset": asset}
    asset["copyright"] = rights.notice
    asset["extras"] |= {
        "licence": rights.licence,
        "licence_text": rights.licence_text,
        "creators": list(rights.creators),
        "citation": rights.citation,
    }
    asset["extensions"] = {"KHR_xmp_json_ld": {"packet": 0}}
    return {
        "asset": asset,
        "extensionsUsed": ["KHR_xmp_json_ld"],
        "extensions": {"KHR_xmp_json_ld": {"packets": [_rights_packet(rights, model.name)]}},
    }


def _rights_packet(rights: Rights, name: str) -> dict[str, Any]:
    """Rights as XMP in JSON-LD, by Khronos's extension KHR_xmp_json_ld: programs for assets show it."""
    return {
        "@context": {
            "dc": "http://purl.org/dc/elements/1.1/",
            "rdf": "http://www.w3.org/1999/02/22-rdf-syntax-ns#",
            "xmpRights": "http://ns.adobe.com/xap/1.0/rights/",
        },
        "@id": "",
        "dc:title": {"@type": "rdf:Alt", "rdf:_1": {"@language": "en", "@value": f"{rights.release}, {name}"}},
        "dc:creator": {"@list": list(rights.creators)},
        "dc:rights": {"@type": "rdf:Alt", "rdf:_1": {"@language": "en", "@value": rights.licence}},
        "dc:source": rights.release,
        "xmpRights:Marked": True,
        "xmpRights:UsageTerms": {"@type": "rdf:Alt", "rdf:_1": {"@language": "en", "@value": rights.licence_text}},
    }
