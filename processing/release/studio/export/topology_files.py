"""Topology files: triangles, UVs and seams, landmarks that all registered meshes share, and a picture to check them.

topology/<id>.npz             triangles, uvs, uv_triangles, uv_vertex, seam_vertices, parts, landmarks
topology/<id>.json            counts, the version of template and landmarks, the landmarks again
topology/<id>_landmarks.png   the landmarks drawn on the template
"""

import hashlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from common.array_types import Floats, Image, Ints32
from common.files.atomic_write import atomic_write
from processing.errors import MeshError
from processing.files.image_files import write_image
from processing.files.stage_files import write_json
from processing.geometry.mesh import Mesh
from processing.geometry.rendering import bounds, portrait_camera, render, text
from processing.landmarks.multi_pie_68 import GROUPS
from processing.release.formats.errors import ReleaseError
from processing.release.formats.released_files import TOPOLOGY, TOPOLOGY_ARRAYS, TOPOLOGY_PICTURE
from processing.template.template import PART_NAMES, Template

CHECK_HEIGHT_PX = 560
_COLOURS = ((60, 60, 235), (60, 200, 60), (235, 120, 40), (30, 180, 230), (200, 60, 200), (200, 200, 40))


def topology_id(template_sha256: str) -> str:
    """How a release calls a topology."""
    return template_sha256[:12]


def topology_paths(topology: str) -> tuple[str, str, str]:
    """Where a release has a topology: its JSON, its arrays, its picture."""
    json_, arrays, picture = (path.format(topology=topology) for path in (TOPOLOGY, TOPOLOGY_ARRAYS, TOPOLOGY_PICTURE))
    return json_, arrays, picture


def uv_vertex(mesh: Mesh) -> Ints32:
    """(U,) the vertex that each UV belongs to; -1 for a UV that no triangle uses. Raises MeshError without UVs."""
    if mesh.uvs is None or mesh.uv_triangles is None:
        raise MeshError("the mesh has no UVs")
    owner = np.full(len(mesh.uvs), -1, dtype=np.int32)
    owner[mesh.uv_triangles.ravel()] = mesh.triangles.ravel()
    return owner


def seam_vertices(mesh: Mesh) -> Ints32:
    """Vertices with more than one UV, ascending: where a loader that keeps one index a corner must split them."""
    owner = uv_vertex(mesh)
    uses = np.bincount(owner[owner >= 0], minlength=len(mesh.vertices_mm))
    return np.flatnonzero(uses > 1).astype(np.int32)


def landmark_vertices(template: Template) -> Ints32:
    """(68,) the vertex nearest to each landmark: the corner with the largest share of its triangle."""
    corners = template.mesh.triangles[template.landmark_triangles]
    return np.asarray(corners[np.arange(68), template.landmark_barycentric.argmax(axis=1)], dtype=np.int32)


def landmark_version(template: Template) -> str:
    """Changes when a landmark moves on the topology."""
    places = template.landmark_triangles.astype("<i4").tobytes() + template.landmark_barycentric.astype("<f8").tobytes()
    return hashlib.sha256(places).hexdigest()[:12]


def write_topology(folder: Path, template: Template, template_sha256: str) -> dict[str, Any]:
    """Write the three files of topology_paths under `folder` and return what the JSON says."""
    mesh, name = template.mesh, topology_id(template_sha256)
    at_json, at_arrays, at_picture = (folder / path for path in topology_paths(name))
    if mesh.uvs is None or mesh.uv_triangles is None:
        raise ReleaseError(f"template {template.name} has no UVs: its meshes cannot be released with textures")
    seams = seam_vertices(mesh)
    about = {
        "topology": name,
        "template": {"name": template.name, "version": template.version, "sha256": template_sha256},
        "vertices": len(mesh.vertices_mm),
        "triangles": len(mesh.triangles),
        "uvs": len(mesh.uvs),
        "seam_vertices": len(seams),
        "note": "an OBJ holds `vertices` positions and `uvs` texture coordinates; loaders with one index a corner show "
        "`uvs` vertices, of which number u is vertex uv_vertex[u] here",
        "parts": dict(enumerate(PART_NAMES)),
        "landmarks": {
            "scheme": "multi-pie-68",
            "version": landmark_version(template),
            "triangles": template.landmark_triangles.tolist(),
            "barycentric": np.round(template.landmark_barycentric, 6).tolist(),
            "nearest_vertices": landmark_vertices(template).tolist(),
        },
    }
    at_json.parent.mkdir(parents=True, exist_ok=True)
    write_json(at_json, about)
    arrays: dict[str, NDArray[np.generic]] = {
        "triangles": mesh.triangles,
        "uvs": mesh.uvs,
        "uv_triangles": mesh.uv_triangles,
        "uv_vertex": uv_vertex(mesh),
        "seam_vertices": seams,
        "parts": template.parts,
        "landmark_triangles": template.landmark_triangles,
        "landmark_barycentric": template.landmark_barycentric,
        "landmark_vertices": landmark_vertices(template),
    }
    with atomic_write(at_arrays) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]
    write_image(at_picture, draw_landmarks(template, mesh.vertices_mm))
    return about


def draw_landmarks(template: Template, vertices_mm: Floats, *, height_px: int | None = None) -> Image:
    """The landmarks of a registered mesh on it, in clay, from the front and from its left: a check for a person.

    vertices_mm: (V, 3) with the face towards +z.
    """
    mesh = Mesh(vertices_mm, template.mesh.triangles)
    points = template.landmark_points(vertices_mm)
    pictures = []
    for yaw in (0.0, 35.0):
        camera = portrait_camera(bounds(mesh), yaw_deg=yaw, height_px=height_px or CHECK_HEIGHT_PX)
        picture = render(mesh, camera, supersample=1)
        pixels = camera.project(points)
        for number, (x, y) in enumerate(pixels.tolist()):
            colour = _COLOURS[_group(number) % len(_COLOURS)]
            cv2.circle(picture, (round(x), round(y)), 2, colour, -1, cv2.LINE_AA)
            if yaw == 0.0 and number % 3 == 0:
                text(picture, str(number), (round(x) + 3, round(y) - 2), 0.28)
        pictures.append(picture)
    high = max(p.shape[0] for p in pictures)
    padded = [cv2.copyMakeBorder(p, 0, high - p.shape[0], 0, 0, cv2.BORDER_REPLICATE) for p in pictures]
    return np.asarray(np.concatenate(padded, axis=1), dtype=np.uint8)


def _group(landmark: int) -> int:
    return next(number for number, members in enumerate(GROUPS.values()) if landmark in members)
