"""How well a fitted face lies on a scan, by region, and what is known by it."""

from typing import Any

import numpy as np

from common.array_types import Bools, Floats
from processing.face_models.face_model import FaceModel
from processing.registration.correspondence import TargetSurface
from processing.template.face_regions import face_regions
from processing.template.template import SKIN, Template, from_mesh

BEYOND_MM = 20.0  # skin farther from the scan than this has no scan


def template_of(model: FaceModel) -> Template:
    """The model's mean face as a template."""
    topology = model.topology
    return from_mesh(
        topology.name, topology.mesh, topology.landmark_triangles, topology.landmark_barycentric,
        parts=topology.parts, version=topology.version,
    )  # fmt: skip


def fit_figures(model: FaceModel, vertices_mm: Floats, scan: TargetSurface, landmarks_mm: Floats) -> dict[str, Any]:
    """Distances of the face's skin (V, 3) to the scan, the share that has a scan, landmarks."""
    found = scan.surface.closest(vertices_mm)
    there: Bools = ~scan.at_edge[found.triangle] & (found.distance_mm < BEYOND_MM)
    skin: Bools = model.topology.parts == SKIN
    regions = {name: mask & skin for name, mask in face_regions(template_of(model)).items()}
    known = np.isfinite(landmarks_mm).all(axis=1)
    off = np.linalg.norm(model.topology.landmark_points(vertices_mm) - landmarks_mm, axis=1)[known]
    return {
        "face": spread_of(found.distance_mm, model.topology.face & skin, there),
        "head": spread_of(found.distance_mm, skin, there),
        "regions": {name: spread_of(found.distance_mm, mask, there) for name, mask in regions.items()},
        "landmark_mm": float(np.median(off)) if len(off) else None,
    }


def spread_of(distance_mm: Floats, among: Bools, there: Bools) -> dict[str, float | None]:
    """Mean, median and 95th percentile of distances (V,) of what is covered, and the share that is."""
    used = distance_mm[among & there]
    if not len(used):
        return {"mean_mm": None, "median_mm": None, "p95_mm": None, "covered": 0.0 if among.any() else None}
    return {
        "mean_mm": float(used.mean()), "median_mm": float(np.median(used)), "p95_mm": float(np.percentile(used, 95)),
        "covered": float(there[among].mean()),
    }  # fmt: skip
