"""How well a fitted face lies on a scan, by region and both ways, and a verdict."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from common.array_types import Bools, Floats
from processing.errors import DataError
from processing.face_models.face_model import FaceModel
from processing.geometry.mesh import Surface
from processing.registration.correspondence import TargetSurface
from processing.scan_quality.verdict import Findings, Limits, QualityReview, check_rising
from processing.template.face_regions import face_regions
from processing.template.template import SKIN, from_mesh

BEYOND_MM = 20.0  # skin farther from the scan than this has no scan
_SAMPLED = 20_000  # vertices of the scan that are measured


class FitLimitsError(DataError):
    """The thresholds make no sense."""


@dataclass(frozen=True)
class FitLimits:
    """Limits of a fit's figures. Each pair: a person looks, and the fit is not to be used."""

    face_mm: Limits = (1.5, 3.0)  # mean distance of the face's skin to the scan
    missing: Limits = (0.15, 0.7)  # share of the face without a scan
    landmark_mm: Limits = (8.0, 16.0)  # median distance of the scan's landmarks from the model's
    identity_rms: Limits = (2.5, 6.0)  # deviations from the members' mean, root mean square
    unknown: Limits = (0.8, 0.97)  # share of the members' variance that is left

    def __post_init__(self) -> None:
        check_rising(vars(self), FitLimitsError)


def fit_figures(model: FaceModel, vertices_mm: Floats, scan: TargetSurface, landmarks_mm: Floats) -> dict[str, Any]:
    """Distances of the skin (V, 3) to the scan by region, of the scan to the face, of landmarks; mm."""
    topology = model.topology
    found = scan.surface.closest(vertices_mm)
    there: Bools = ~scan.at_edge[found.triangle] & (found.distance_mm < BEYOND_MM)
    skin: Bools = topology.parts == SKIN
    template = from_mesh(
        topology.name, topology.mesh, topology.landmark_triangles, topology.landmark_barycentric,
        parts=topology.parts, version=topology.version,
    )  # fmt: skip
    regions = {name: mask & skin for name, mask in face_regions(template).items()}
    known = np.isfinite(landmarks_mm).all(axis=1)
    off = np.linalg.norm(topology.landmark_points(vertices_mm) - landmarks_mm, axis=1)[known]
    return {
        "face": distances(found.distance_mm, topology.face & skin, there),
        "head": distances(found.distance_mm, skin, there),
        "scan_to_face": _from_scan(model, vertices_mm, scan),
        "regions": {name: distances(found.distance_mm, mask, there) for name, mask in regions.items()},
        "landmark_mm": float(np.median(off)) if len(off) else None,
    }


def _from_scan(model: FaceModel, vertices_mm: Floats, scan: TargetSurface) -> dict[str, float | None]:
    """Distances of the scan's vertices to the model's surface, where that is the face."""
    surface = Surface(model.topology.mesh.with_vertices(vertices_mm))
    step = max(1, len(scan.mesh.vertices_mm) // _SAMPLED)
    found = surface.closest(scan.mesh.vertices_mm[::step])
    among = model.topology.face[surface.mesh.triangles[found.triangle]].all(axis=1) & (found.distance_mm < BEYOND_MM)
    return distances(found.distance_mm, among, among)


def distances(distance_mm: Floats, among: Bools, there: Bools) -> dict[str, float | None]:
    """Mean, median and 95th percentile of distances (N,) of what is covered, and the share that is."""
    used = distance_mm[among & there]
    if not len(used):
        return {"mean_mm": None, "median_mm": None, "p95_mm": None, "covered": 0.0 if among.any() else None}
    return {
        "mean_mm": float(used.mean()), "median_mm": float(np.median(used)), "p95_mm": float(np.percentile(used, 95)),
        "covered": float(there[among].mean()),
    }  # fmt: skip


def judge_fit(figures: Mapping[str, Any], limits: FitLimits | None = None) -> QualityReview:
    """The verdict on a fit, and why it is not better."""
    limits, found, face = limits or FitLimits(), Findings(), figures["face"]
    found.at_most(face["mean_mm"], limits.face_mm, f"the face lies {face['mean_mm']:.2f} mm from the scan on average")
    missing = 1 - face["covered"]
    found.at_most(missing, limits.missing, f"{100 * missing:.0f} % of the face has no scan")
    if figures["landmark_mm"] is not None:
        text = f"half of the landmarks lie over {figures['landmark_mm']:.1f} mm from the model's"
        found.at_most(figures["landmark_mm"], limits.landmark_mm, text)
    text = f"the model knows nobody like this: {figures['identity_rms']:.1f} deviations from its members' mean"
    found.at_most(figures["identity_rms"], limits.identity_rms, text)
    unknown = 1 - figures["identity_known"]
    found.at_most(unknown, limits.unknown, f"the scan leaves {100 * unknown:.0f} % of the identity open")
    return found.review(figures)
