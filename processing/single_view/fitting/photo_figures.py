"""How well a face fits its photograph, and a verdict."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from common.array_types import Floats
from processing.face_models.face_model import JAW, FaceModel
from processing.face_models.fitting.face_fit import knowledge
from processing.landmarks.multi_pie_68 import GROUPS, MEDIAPIPE_TO_68
from processing.scan_quality.verdict import Findings, Limits, QualityReview
from processing.single_view.fitting.pose import PhotoPose


@dataclass(frozen=True)
class PhotoFitLimits:
    """Limits of a fit's figures. Each pair: a person looks, and the fit is not to be used."""

    landmark_percent: Limits = (4.0, 12.0)
    identity_rms: Limits = (2.0, 4.0)


def photo_figures(
    model: FaceModel,
    vertices_mm: Floats,
    pose: PhotoPose,
    landmarks_px: Floats,
    scores: Floats,
    deviation: Floats,
    focal_share: float,
) -> tuple[dict[str, Any], QualityReview]:
    """Residuals of the 68 landmarks by region, in per cent of the distance between the outer corners of the eyes."""
    own = model.topology.landmark_points(vertices_mm)
    seen = pose.seen(own)
    # The eyes' distance in space, at the scale of the picture: a profile does not make it small.
    eyes_px = float(np.linalg.norm(own[36] - own[45]) * pose.px_per_mm)
    off = 100 * np.linalg.norm(seen - landmarks_px[MEDIAPIPE_TO_68], axis=1) / eyes_px
    yaw, pitch, roll = head_angles_deg(pose.R)
    figures: dict[str, Any] = {
        "landmark_percent": float(off[JAW:].mean()),
        "regions_percent": {name: float(off[list(rows)].mean()) for name, rows in GROUPS.items()},
        "eye_distance_px": eyes_px,
        "yaw_deg": yaw, "pitch_deg": pitch, "roll_deg": roll,
        "focal_px": pose.focal_px, "focal_share": focal_share,
        "distance_mm": float(pose.place_mm[2]), "px_per_mm": pose.px_per_mm,
        **knowledge(scores, deviation),
    }  # fmt: skip
    limits, found = PhotoFitLimits(), Findings()
    percent = figures["landmark_percent"]
    text = f"landmarks lie {percent:.1f} % of the eyes' distance from where the fit has them"
    found.at_most(percent, limits.landmark_percent, text)
    text = f"the model knows nobody like this: {figures['identity_rms']:.1f} deviations from its members' mean"
    found.at_most(figures["identity_rms"], limits.identity_rms, text)
    return figures, found.review(figures)


def head_angles_deg(R: Floats) -> tuple[float, float, float]:
    """Yaw (towards the subject's left), pitch (up) and roll of a head by the rotation (3, 3) into a camera's frame."""
    flip = np.diag([1.0, -1.0, -1.0])
    yaw, pitch, roll = Rotation.from_matrix(flip @ R).as_euler("YXZ", degrees=True)
    return float(yaw), float(-pitch), float(roll)
