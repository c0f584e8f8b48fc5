"""Import of other topologies as templates: a studio's OBJ, ICT-FaceKit's head."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from scipy.spatial import cKDTree

from common.array_types import Floats
from common.bounded.npz_files import read_npz
from processing.files.mesh_files import read_mesh
from processing.geometry.mesh import Mesh, submesh
from processing.template.expression_recipes import ICT_RECIPES
from processing.template.part_labelling import label_parts
from processing.template.template import (
    EYE,
    MOUTH_INTERIOR,
    SKIN,
    Labels,
    Template,
    TemplateError,
    from_mesh,
    place_landmarks,
)
from processing.template.template_file import read_landmark_file
from processing.template.uv_overlaps import without_overlaps

# Materials of the ICT head that make a template: skin and hair-bearing skin; gums and teeth; eyes.
MATERIAL_PARTS = {0: SKIN, 1: SKIN, 2: MOUTH_INTERIOR, 3: MOUTH_INTERIOR, 4: EYE, 5: EYE, 6: EYE, 7: EYE}


def import_ict(path: Path, *, name: str = "") -> Template:
    """The ICT face model (MIT) from an .npz of its arrays: vertices (V, 3) in cm, quads, quad_uvs, quad_material, uvs,
    expression (E, V, 3), expression_names, landmarks68. Raises TemplateError.
    """
    wanted = {"vertices", "quads", "quad_uvs", "quad_material", "uvs", "expression", "expression_names", "landmarks68"}
    try:
        d = read_npz(path, wanted)
        missing = sorted(wanted - d.keys())
        if missing:
            raise TemplateError(f"{path} is no ICT face model: it lacks {', '.join(missing)}")
    except (OSError, ValueError) as error:
        raise TemplateError(f"{path} cannot be read: {error}") from None
    quads, uv_quads = d["quads"], d["quad_uvs"]
    triangles = np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])
    uv_triangles = np.concatenate([uv_quads[:, [0, 1, 2]], uv_quads[:, [0, 2, 3]]])
    material = np.r_[d["quad_material"], d["quad_material"]]
    keep = np.isin(material, list(MATERIAL_PARTS))
    keep &= (triangles != np.roll(triangles, 1, axis=1)).all(1)
    whole = Mesh(d["vertices"].astype(np.float64) * 10, triangles, d["uvs"], uv_triangles)
    mesh, used = submesh(whole, keep)
    vertex_parts = np.full(len(whole.vertices_mm), MOUTH_INTERIOR, np.int8)
    for number, part in MATERIAL_PARTS.items():
        vertex_parts[triangles[material == number]] = part
    landmarks = whole.vertices_mm[d["landmarks68"]]
    at, barycentric = place_landmarks(mesh, landmarks)
    names = [str(n) for n in d["expression_names"]]
    expressions: dict[str, Floats] = {}
    for expression, recipe in ICT_RECIPES.items():
        moved = whole.vertices_mm.copy()
        for unit, weight in recipe.items():
            if unit in names:
                moved += 10 * weight * d["expression"][names.index(unit)].astype(np.float64)
        expressions[expression] = moved[used]
    parts = label_parts(mesh, landmarks, vertex_parts[used])
    mesh = without_overlaps(mesh, _importance(mesh, landmarks, parts))
    return from_mesh(name or path.stem, mesh, at, barycentric, parts=parts, expressions=expressions)


def import_obj(
    path: Path, landmarks: Path, *, name: str = "", expressions: Mapping[str, Path] | None = None
) -> Template:
    """A studio's own topology, quads or triangles: an OBJ in millimetres and a file of its 68 landmarks.

    landmarks: text or JSON holding 68 vertex numbers (from 0), or 68 rows x y z on the surface.
    expressions: name -> OBJ with the same vertices.  Which vertices are skin is found out (`label_parts`).
    Raises TemplateError and MeshError.
    """
    mesh = read_mesh(path)
    points = read_landmark_file(landmarks, mesh)
    triangles, barycentric = place_landmarks(mesh, points)
    posed: dict[str, Floats] = {}
    for expression, file in (expressions or {}).items():
        other = read_mesh(file)
        if len(other.vertices_mm) != len(mesh.vertices_mm):
            have, want = len(other.vertices_mm), len(mesh.vertices_mm)
            raise TemplateError(f"{file} has {have} vertices, {path} has {want}: not the same topology")
        posed[expression] = other.vertices_mm
    parts = label_parts(mesh, points)
    mesh = without_overlaps(mesh, _importance(mesh, points, parts))
    return from_mesh(name or path.stem, mesh, triangles, barycentric, parts=parts, expressions=posed)


def _importance(mesh: Mesh, landmarks_mm: Floats, parts: Labels) -> Floats:
    """(T,) mm^2 of the face's skin: triangles by the inner landmarks; a thousandth of that elsewhere."""
    reach = 0.3 * float(np.linalg.norm(landmarks_mm[45] - landmarks_mm[36]))
    near = cKDTree(landmarks_mm[17:]).query(mesh.vertices_mm[mesh.triangles].mean(axis=1))[0] < reach
    skin = (parts[mesh.triangles] == SKIN).all(axis=1)
    return np.asarray(np.linalg.norm(mesh.triangle_cross, axis=1) / 2 * np.where(near & skin, 1.0, 1e-3))
