"""Quality of a registration: figures by region against scan and photographs, and a verdict."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from common.array_types import Bools, Floats
from processing.errors import DataError
from processing.landmarks.multi_pie_68 import Landmarks3d
from processing.mesh_repair.mesh_defects import find_mesh_defects
from processing.registration.correspondence import TargetSurface
from processing.registration.loose_parts import largest_part
from processing.scan_quality.apertures import measure_apertures
from processing.scan_quality.verdict import Findings, Limits, QualityReview, check_rising
from processing.template.face_regions import face_regions
from processing.template.template import SKIN, Template
from processing.texture.flow_refinement import Refined

BEYOND_MM = 20.0  # skin farther from the scan than this has no scan


class RegistrationLimitsError(DataError):
    """The thresholds make no sense."""


@dataclass(frozen=True)
class RegistrationLimits:
    """Limits of a registration's figures. Each pair: a person looks, and the take is to be registered anew."""

    surface_mm: Limits = (0.5, 1.5)  # mean distance of the face's skin to the scan
    region_mm: Limits = (1.0, 3.0)  # the same in the worst region
    missing: Limits = (0.1, 0.35)  # share of the face without a scan
    landmark_mm: Limits = (4.0, 8.0)  # median distance of the photographs' landmarks from the mesh's
    lips_mm: Limits = (2.5, 8.0)  # by which the mouth's opening differs from the photographs'
    lids_mm: Limits = (2.0, 5.0)  # by which an eye's opening does
    slip_mm: Limits = (2.0, 6.0)  # tangential drift of the skin from its vertices after refinement, 95th percentile
    unsure: Limits = (0.5, 1.0)  # share of the skin whose appearance could not be compared
    bad_triangles: Limits = (0.0, 200.0)  # flipped or passing through others, in the face's skin

    def __post_init__(self) -> None:
        check_rising(vars(self), RegistrationLimitsError)


@dataclass(frozen=True, eq=False)
class RegistrationMeasures:
    """Figures of one registration, and what a picture of it needs."""

    distance_mm: Floats  # (V,) of each vertex to the scan
    figures: Mapping[str, Any]  # as a report has them
    #: (V,) before and after the refinement, of an expression that was compared with its neutral.
    drift_mm: tuple[Floats, Floats] | None = None


def measure_registration(
    template: Template,
    vertices_mm: Floats,
    scan: TargetSurface,
    landmarks: Landmarks3d,
    refined: Refined | None = None,
) -> RegistrationMeasures:
    """Figures of one registration. refined: of an expression that was compared with its neutral."""
    appearance = None if refined is None else refined.report
    found = scan.surface.closest(vertices_mm)
    regions = face_regions(template)
    face: Bools = np.any(list(regions.values()), axis=0)
    covered: Bools = ~scan.at_edge[found.triangle] & (found.distance_mm < BEYOND_MM)
    skin = (template.parts == SKIN) & (template.weights > 0.5)
    registered = template.landmark_points(vertices_mm)
    known = landmarks.known
    off = np.linalg.norm(registered[known] - landmarks.points_mm[known], axis=1)
    # Loose pieces (eyeballs, teeth) may touch the skin.
    kept, main = largest_part(template.mesh)
    defects = find_mesh_defects(kept.with_vertices(vertices_mm[main]), kept)
    openings = measure_apertures(landmarks.points_mm, registered)
    figures: dict[str, Any] = {
        "surface_mm": _mean(found.distance_mm[face & covered]),
        "surface_p95_mm": _percentile(found.distance_mm[face & covered]),
        "missing": float(1 - covered[face].mean()) if face.any() else 1.0,
        "landmark_mm": float(np.median(off)) if len(off) else None,
        "regions": {
            name: {
                "mean_mm": _mean(found.distance_mm[mask & covered]),
                "p95_mm": _percentile(found.distance_mm[mask & covered]),
                "covered": float(covered[mask].mean()) if mask.any() else None,
            }
            for name, mask in regions.items()
        },
        "apertures": {
            name: {"photographs_mm": one.photographs_mm, "mesh_mm": one.mesh_mm, "off_mm": one.off_mm}
            for name, one in openings.items()
        },
        "triangles": defects.counts(skin[main][kept.triangles].all(axis=1)),
        "slip_mm": None if appearance is None else [appearance.slip_mm[0], appearance.slip_mm[-1]],
        "slip_p95_mm": None if appearance is None else [appearance.slip_p95_mm[0], appearance.slip_p95_mm[-1]],
        "compared": None if appearance is None else appearance.sure,
    }
    return RegistrationMeasures(found.distance_mm, figures, None if refined is None else refined.drift_mm)


def judge_registration(measured: RegistrationMeasures, limits: RegistrationLimits | None = None) -> QualityReview:
    """The verdict on a registered mesh, and why it is not better, the worst first."""
    limits = limits or RegistrationLimits()
    f = measured.figures
    found = Findings()
    if f["surface_mm"] is None:
        found.add("redo", "the mesh lies nowhere near the scan")
    else:
        text = f"the face lies {f['surface_mm']:.2f} mm from the scan on average"
        found.at_most(f["surface_mm"], limits.surface_mm, text)
    for name, region in f["regions"].items():
        if region["mean_mm"] is not None:
            text = f"the {name} lies {region['mean_mm']:.2f} mm from the scan on average"
            found.at_most(region["mean_mm"], limits.region_mm, text)
    found.at_most(f["missing"], limits.missing, f"{100 * f['missing']:.0f} % of the face has no scan")
    if f["landmark_mm"] is not None:
        text = f"half of the landmarks lie over {f['landmark_mm']:.1f} mm from the mesh's"
        found.at_most(f["landmark_mm"], limits.landmark_mm, text)
    for name, one in f["apertures"].items():
        if one["off_mm"] is not None:
            bounds = limits.lips_mm if name == "lips" else limits.lids_mm
            text = f"{_NAMES[name]} {one['mesh_mm']:.1f} mm apart, in the photographs {one['photographs_mm']:.1f} mm"
            found.at_most(abs(one["off_mm"]), bounds, text)
    bad = f["triangles"]["flipped"] + f["triangles"]["crossing"]
    found.at_most(bad, limits.bad_triangles, f"{bad} triangles of the skin are turned over or pass through others")
    if f["slip_p95_mm"] is not None:
        drift_mm = f["slip_p95_mm"][-1]
        found.at_most(drift_mm, limits.slip_mm, f"skin lies up to {drift_mm:.1f} mm from its vertex (95 %)")
        unsure = 1 - f["compared"]
        text = f"the appearance of {100 * unsure:.0f} % of the skin could not be compared"
        found.at_most(unsure, limits.unsure, text)
    return found.review(f)


_NAMES = {"lips": "the lips are", "right_lids": "the right eye's lids are", "left_lids": "the left eye's lids are"}


def _mean(values: Floats) -> float | None:
    return float(values.mean()) if len(values) else None


def _percentile(values: Floats) -> float | None:
    return float(np.percentile(values, 95)) if len(values) else None
