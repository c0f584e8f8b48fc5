"""Face regions: named parts of the face on any template, from its landmarks, in its neutral pose."""

import numpy as np
from scipy.spatial import cKDTree

from common.array_types import Bools
from processing.template.template import SKIN, Template

REGIONS = ("brow", "eye", "nose", "mouth", "chin", "cheek", "ear")
# Landmarks (Multi-PIE) and how near skin must be to belong; earlier names come first.
_AROUND: dict[str, tuple[tuple[int, ...], float]] = {
    "eye": (tuple(range(36, 48)), 10.0),
    "mouth": (tuple(range(48, 68)), 10.0),
    "nose": (tuple(range(27, 36)), 14.0),
    "brow": (tuple(range(17, 27)), 13.0),
    "chin": ((7, 8, 9, 57), 20.0),
}
_EAR_MM = 48.0
_FACE_WIDTH_MM = 90.0  # between the outer corners of the eyes: distances are for a face of this width


def face_regions(template: Template) -> dict[str, Bools]:
    """(V,) a name of REGIONS; skin that counts (weight over one half), each vertex in one region at most.

    Cheeks lie below the eyes, above the chin and before the ears; ears behind the ends of the jaw's landmarks.
    """
    vertices = template.mesh.vertices_mm
    landmarks = template.landmark_points(vertices)
    unit = float(np.linalg.norm(landmarks[45] - landmarks[36])) / _FACE_WIDTH_MM
    left: Bools = (template.parts == SKIN) & (template.weights > 0.5)
    found: dict[str, Bools] = {}
    for name, (which, reach) in _AROUND.items():
        near = cKDTree(landmarks[list(which)]).query(vertices)[0] < reach * unit
        found[name] = left & near
        left = left & ~near
    ends = landmarks[[0, 16]]
    beside = cKDTree(ends).query(vertices)[0] < _EAR_MM * unit
    outside = np.abs(vertices[:, 0] - landmarks[8, 0]) > 0.5 * np.abs(ends[1, 0] - ends[0, 0]) + 2 * unit
    found["ear"] = left & beside & outside & (vertices[:, 2] < ends[:, 2].max() + 10 * unit)
    left = left & ~found["ear"]
    below, above = float(landmarks[[41, 40, 46, 47], 1].mean()), float(landmarks[8, 1])
    before = vertices[:, 2] > landmarks[[2, 14], 2].mean()
    found["cheek"] = left & before & (vertices[:, 1] < below) & (vertices[:, 1] > above)
    return {name: found[name] for name in REGIONS}
