"""Whether a neutral is one: lips closed, eyes open. A model of neutrals whose lips are apart cannot close its mouth."""

import numpy as np

from common.array_types import Floats
from processing.geometry.procrustes import fit_motion
from processing.scan_quality.apertures import measure_apertures
from processing.scan_quality.verdict import Findings, Limits, QualityReview
from processing.template.template import Template

LIPS_MM: Limits = (1.5, 4.0)  # most by which the lips stand further apart than the template's, which are closed
LIDS: Limits = (0.45, 0.25)  # least opening of the lids, as a share of the template's


def check_neutral(template: Template, neutral_mm: Floats) -> QualityReview:
    """The verdict on a registered neutral (V, 3) in the template's topology, by its landmarks."""
    own = template.landmark_points(template.mesh.vertices_mm)
    seen = template.landmark_points(neutral_mm)
    scale = fit_motion(own, seen).scale
    usual = measure_apertures(np.full_like(own, np.nan), scale * own)
    found = measure_apertures(np.full_like(seen, np.nan), seen)
    apart = found["lips"].mesh_mm - usual["lips"].mesh_mm
    findings = Findings()
    findings.at_most(apart, LIPS_MM, f"the neutral's lips are {apart:.1f} mm apart")
    shares = {}
    for side in ("left", "right"):
        name = f"{side}_lids"
        shares[side] = found[name].mesh_mm / max(usual[name].mesh_mm, 1e-6)
        reason = (
            f"the neutral's {side} eye is open by {found[name].mesh_mm:.1f} mm, {100 * shares[side]:.0f} % of usual"
        )
        findings.at_least(shares[side], LIDS, reason)
    return findings.review(
        {
            "lips_apart_mm": round(float(apart), 3),
            "left_lids_mm": round(found["left_lids"].mesh_mm, 3),
            "right_lids_mm": round(found["right_lids"].mesh_mm, 3),
            "left_lids_share": round(float(shares["left"]), 3),
            "right_lids_share": round(float(shares["right"]), 3),
        }
    )
