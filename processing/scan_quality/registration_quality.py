"""A registered mesh against its scan and photographs: figures by region, and a verdict."""

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
from processing.scan_quality.apertures import apertures
from processing.scan_quality.verdict import QualityReview, Verdict
from processing.template.face_regions import face_regions
from processing.template.template import SKIN, Template
from processing.texture.flow_refinement import Refined

BEYOND_MM = 20.0  # skin farther from the scan than this has no scan


class RegistrationLimitsError(DataError):
    """The thresholds make no sense."""


@dataclass(frozen=True)
class RegistrationLimits:
    """Each pair: from the first on a person looks, from the second on the take is to be registered anew.

    surface_mm: mean distance of the face's skin to the scan.  region_mm: the same in the worst region.  missing: share
    of the face without a scan.  landmark_mm: median distance of the photographs' landmarks from the mesh's.
    lips_mm, lids_mm: by which an opening differs from the photographs'.  slip_mm: 95th percentile of how far skin lies
    from its vertex, after refinement.  unsure: share of the skin whose appearance could not be compared.
    bad_triangles: flipped or passing through others, in the face's skin.
    """

    surface_mm: tuple[float, float] = (0.5, 1.5)
    region_mm: tuple[float, float] = (1.0, 3.0)
    missing: tuple[float, float] = (0.1, 0.35)
    landmark_mm: tuple[float, float] = (4.0, 8.0)
    lips_mm: tuple[float, float] = (2.5, 8.0)
    lids_mm: tuple[float, float] = (2.0, 5.0)
    slip_mm: tuple[float, float] = (2.0, 6.0)
    unsure: tuple[float, float] = (0.5, 1.0)
    bad_triangles: tuple[float, float] = (0.0, 200.0)

    def __post_init__(self) -> None:
        for name, (review, redo) in vars(self).items():
            if not 0 <= review <= redo:
                raise RegistrationLimitsError(f"{name} rises from 0: (review, redo); it is ({review}, {redo})")


@dataclass(frozen=True, eq=False)
class RegistrationMeasures:
    """distance_mm: (V,) of each vertex to the scan.  figures: what is said of them.

    slip_mm: as Refined has it, of an expression that was compared with its neutral.
    """

    distance_mm: Floats
    figures: Mapping[str, Any]
    slip_mm: tuple[Floats, Floats] | None = None


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
    faults = find_mesh_defects(kept.with_vertices(vertices_mm[main]), kept)
    openings = apertures(landmarks.points_mm, registered)
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
        "triangles": faults.counts(skin[main][kept.triangles].all(axis=1)),
        "slip_mm": None if appearance is None else [appearance.slip_mm[0], appearance.slip_mm[-1]],
        "slip_p95_mm": None if appearance is None else [appearance.slip_p95_mm[0], appearance.slip_p95_mm[-1]],
        "compared": None if appearance is None else appearance.sure,
    }
    return RegistrationMeasures(found.distance_mm, figures, None if refined is None else refined.slip_mm)


def judge_registration(measured: RegistrationMeasures, limits: RegistrationLimits | None = None) -> QualityReview:
    """The verdict on a registered mesh, and why it is not better, the worst first."""
    limits = limits or RegistrationLimits()
    f = measured.figures
    found: list[tuple[Verdict, str]] = []

    def held(value: float | None, bounds: tuple[float, float], text: str) -> None:
        if value is None or np.isnan(value):
            return
        if value > bounds[0]:
            found.append(("redo" if value > bounds[1] else "review", text.format(value)))

    if f["surface_mm"] is None:
        found.append(("redo", "the mesh lies nowhere near the scan"))
    held(f["surface_mm"], limits.surface_mm, "the face lies {:.2f} mm from the scan on average")
    for name, region in f["regions"].items():
        held(region["mean_mm"], limits.region_mm, f"the {name} lies {{:.2f}} mm from the scan on average")
    missing = f"{100 * f['missing']:.0f} % of the face has no scan"
    held(f["missing"], limits.missing, missing)
    held(f["landmark_mm"], limits.landmark_mm, "half of the landmarks lie over {:.1f} mm from the mesh's")
    for name, one in f["apertures"].items():
        if one["off_mm"] is not None:
            bounds = limits.lips_mm if name == "lips" else limits.lids_mm
            text = f"{_NAMES[name]} {one['mesh_mm']:.1f} mm apart, in the photographs {one['photographs_mm']:.1f} mm"
            held(abs(one["off_mm"]), bounds, text)
    bad = f["triangles"]["flipped"] + f["triangles"]["crossing"]
    held(float(bad), limits.bad_triangles, "{:.0f} triangles of the skin are turned over or pass through others")
    if f["slip_p95_mm"] is not None:
        held(f["slip_p95_mm"][-1], limits.slip_mm, "skin lies up to {:.1f} mm from its vertex (95 %)")
        unsure = f"the appearance of {100 * (1 - f['compared']):.0f} % of the skin could not be compared"
        held(1 - f["compared"], limits.unsure, unsure)
    return QualityReview.of(found, f)


_NAMES = {"lips": "the lips are", "right_lids": "the right eye's lids are", "left_lids": "the left eye's lids are"}


def _mean(values: Floats) -> float | None:
    return float(values.mean()) if len(values) else None


def _percentile(values: Floats) -> float | None:
    return float(np.percentile(values, 95)) if len(values) else None
