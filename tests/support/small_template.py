"""A template of some 3,800 vertices and its face units: the built-in head's control mesh without the back."""

from functools import lru_cache

import numpy as np

from processing.geometry.mesh import Mesh, submesh
from processing.template.anny_head import load_head
from processing.template.face_units import ARKIT_UNITS, FaceUnits, topology_of
from processing.template.settled_units import ANNY_WHOLE
from processing.template.template import EYE, MOUTH_INTERIOR, SKIN, Template, from_mesh, place_landmarks


@lru_cache(maxsize=1)
def small_template() -> tuple[Template, FaceUnits]:
    """The template, posed as the average head, and the 52 units on it."""
    from processing.template.builtin_template import default_template

    head = load_head()
    quads = head.quads[np.isin(head.quad_parts, (SKIN, EYE, MOUTH_INTERIOR))]
    triangles = np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])
    front = (head.vertices_mm[triangles, 2] > -60).all(1) & (head.vertices_mm[triangles, 1] > -130).all(1)
    mesh, used = submesh(Mesh(head.vertices_mm, triangles), front)
    parts = head.parts[used]
    whole = default_template()
    skin = (parts[mesh.triangles] == SKIN).all(1)
    landmarks = place_landmarks(mesh, whole.landmark_points(whole.mesh.vertices_mm), skin)
    template = from_mesh("small", mesh, *landmarks, parts=parts)
    weights = [{unit: ANNY_WHOLE.get(unit, 1.0)} for unit in ARKIT_UNITS]
    posed = [head.pose(head.vertices_mm, one)[used] - mesh.vertices_mm for one in weights]
    return template, FaceUnits(ARKIT_UNITS, np.array(posed, dtype=np.float32), topology_of(template))
