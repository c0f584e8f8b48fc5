"""glTF 2.0 export: a subject as one binary file, neutral face, a morph target an expression, texture inside.

Lengths are metres, as glTF demands.

Format: the Khronos specification, sections 3.7 (geometry, morph targets) and 4 (GLB).
"""

from pathlib import Path
from typing import Any

import numpy as np

from processing.files.glb import METRES, GlbBuffer, write_glb_file
from processing.release.formats.assets.morph_targets import MorphTargetModel, vertex_normals


def _rights_packet(model: MorphTargetModel) -> dict[str, Any]:
    """Rights as XMP in JSON-LD, by Khronos's extension KHR_xmp_json_ld: programs for assets show it."""
    rights = model.rights
    return {
        "@context": {
            "dc": "http://purl.org/dc/elements/1.1/",
            "rdf": "http://www.w3.org/1999/02/22-rdf-syntax-ns#",
            "xmpRights": "http://ns.adobe.com/xap/1.0/rights/",
        },
        "@id": "",
        "dc:title": {"@type": "rdf:Alt", "rdf:_1": {"@language": "en", "@value": f"{rights.release}, {model.index}"}},
        "dc:creator": {"@list": list(rights.creators)},
        "dc:rights": {"@type": "rdf:Alt", "rdf:_1": {"@language": "en", "@value": rights.licence}},
        "dc:source": rights.release,
        "xmpRights:Marked": True,
        "xmpRights:UsageTerms": {"@type": "rdf:Alt", "rdf:_1": {"@language": "en", "@value": rights.licence_text}},
    }


def write_glb(path: Path, model: MorphTargetModel) -> None:
    """Whole or not at all. A vertex at a UV seam is there once for each of its UVs: glTF knows one index a corner."""
    buffer = GlbBuffer()
    mesh = _mesh(buffer, model)
    image = buffer.view(model.texture)
    document = _document(model, buffer, mesh, image)
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
    targets = []
    for positions in model.targets.values():
        moved = vertex_normals(positions, topology.triangles) - normals
        targets.append(
            {
                "POSITION": buffer.vectors((positions - model.neutral)[vertex] * METRES, "VEC3", bounded=True),
                "NORMAL": buffer.vectors(moved[vertex], "VEC3"),
            }
        )
    primitive: dict[str, Any] = {"attributes": attributes, "indices": indices, "material": 0}
    mesh: dict[str, Any] = {"name": f"face_{model.index}", "primitives": [primitive]}
    if targets:
        primitive["targets"] = targets
        mesh |= {"weights": [0.0] * len(targets), "extras": {"targetNames": list(model.targets)}}
    return mesh


def _document(model: MorphTargetModel, buffer: GlbBuffer, mesh: dict[str, Any], image: int) -> dict[str, Any]:
    """The JSON chunk. image: the texture's view of the buffer."""
    material = {"baseColorTexture": {"index": 0}, "metallicFactor": 0.0, "roughnessFactor": 0.6}
    return {
        "asset": _asset(model),
        "extensionsUsed": ["KHR_xmp_json_ld"],
        "extensions": {"KHR_xmp_json_ld": {"packets": [_rights_packet(model)]}},
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0, "name": f"subject_{model.index}"}],
        "meshes": [mesh],
        "materials": [{"name": "face", "pbrMetallicRoughness": material}],
        "textures": [{"source": 0, "sampler": 0}],
        "samplers": [{"magFilter": 9729, "minFilter": 9987}],
        "images": [{"bufferView": image, "mimeType": "image/jpeg", "name": "texture"}],
        "accessors": buffer.accessors,
        "bufferViews": buffer.views,
        "buffers": [{"byteLength": len(buffer.data)}],
    }


def _asset(model: MorphTargetModel) -> dict[str, Any]:
    """What the file says of itself: whose it is, and out of which release."""
    return {
        "version": "2.0",
        "generator": "Mien",
        "copyright": model.rights.notice,
        "extras": {
            "release": model.release,
            "version": model.version,
            "subject": model.index,
            "licence": model.rights.licence,
            "licence_text": model.rights.licence_text,
            "creators": list(model.rights.creators),
            "citation": model.rights.citation,
        },
        "extensions": {"KHR_xmp_json_ld": {"packet": 0}},
    }
