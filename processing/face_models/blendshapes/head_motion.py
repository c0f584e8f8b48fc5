"""Head motion removed: every expression into the frame of the neutral, by what no expression moves."""

import numpy as np

from common.array_types import Bools, Floats
from processing.geometry.procrustes import Degenerate, Similarity, fit_motion_robust
from processing.template.face_units import FaceUnits
from processing.template.template import SKIN, Template

STILL_MM = 0.05  # a unit that moves skin less leaves it still
_NOSE_BASE = 33  # landmark: below it jaw and neck move
_JAW_ENDS = (0, 16)
_BEHIND = 0.45  # of the face's width behind the jaw's ends: hair and nape are not measured well
_LEAST = 30  # vertices
_SURELY = 0.1  # of the largest weight


def still_vertices(units: FaceUnits) -> Floats:
    """(V,) 0..1, how still every unit leaves a vertex."""
    most = np.sqrt(np.square(units.offsets_mm.astype(np.float64)).sum(axis=2).max(axis=0))
    return np.asarray(np.exp(-np.square(most / STILL_MM)))


def skull_weights(template: Template, units: FaceUnits) -> Floats:
    """(V,) the say of each vertex in the head's motion: skin on skull and ears that no unit moves, by its area.

    Raises Degenerate for a template on which there is nearly none.
    """
    vertices = template.mesh.vertices_mm
    landmarks = template.landmark_points(vertices)
    ends = landmarks[list(_JAW_ENDS)]
    width = float(np.linalg.norm(ends[1] - ends[0]))
    inside: Bools = (template.parts == SKIN) & (template.weights > 0.5)
    inside &= (vertices[:, 1] > landmarks[_NOSE_BASE, 1]) & (vertices[:, 2] > ends[:, 2].mean() - _BEHIND * width)
    still = np.where(inside, still_vertices(units), 0.0)
    if (still > 0.5).sum() < _LEAST:
        raise Degenerate(f"template {template.name} has no skin that all units leave still: head motion is unknown")
    return still * template.mesh.vertex_areas


def motion_to(reference_mm: Floats, vertices_mm: Floats, weights: Floats, noise_mm: float) -> Similarity:
    """The rigid motion that brings a mesh (V, 3) to the reference (V, 3) by its weighted vertices (V,), robustly."""
    use = weights > 1e-3 * weights.max()
    return fit_motion_robust(vertices_mm[use], reference_mm[use], weights[use], with_scale=False, noise_mm=noise_mm)


def still_noise(template: Template, units: FaceUnits, offsets_mm: Floats) -> Floats:
    """(E,) mm: how far skin that nothing moves lies from the neutral's in each example, the median.

    offsets_mm: (E, V, 3) from the neutral, head motion removed. What is off there is off elsewhere too.
    """
    weights = skull_weights(template, units)
    at = weights > _SURELY * weights.max()
    return np.asarray(np.median(np.linalg.norm(offsets_mm[:, at], axis=2), axis=1).reshape(len(offsets_mm)))
