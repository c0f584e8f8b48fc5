"""How well a face fits its photograph, and a verdict."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from common.array_types import Floats
from processing.face_models.face_model import JAW, FaceModel
from processing.face_models.fitting.face_fit import knowledge
from processing.landmarks.multi_pie_68 import GROUPS, MEDIAPIPE_TO_68
from processing.scan_quality.verdict import Findings, Limits, QualityReview
from processing.single_view.fitting.landmark_places import picture_axes
from processing.single_view.fitting.photo_landmarks import towards_camera
from processing.single_view.fitting.pose import PhotoPose
from processing.single_view.photograph import PhotoFitError


@dataclass(frozen=True)
class PhotoFitLimits:
    """Limits of a fit's figures. Each pair: a person looks, and the fit is refused."""

    landmark_percent: Limits = (4.0, 15.0)
    identity_rms: Limits = (2.0, 4.0)
    covered: Limits = (0.4, 0.85)  # share of the visible face that is no skin


@dataclass(frozen=True, eq=False)
class FittedPhotograph:
    """What figures are told of."""

    name: str
    pose: PhotoPose
    vertices_mm: Floats  # (V, 3)
    landmarks_px: Floats  # (478, 2) as detected
    expected_off_px: Floats  # (68, 2) from where the detector is expected to see each of Multi-PIE's to the fit's
    scores: Floats
    score_deviation: Floats
    focal_share: float  # deviation of the focal length's logarithm; 0 where it is known
    skin_share: float | None  # of the visible face; None without colours


def photo_figures(model: FaceModel, fit: FittedPhotograph) -> dict[str, Any]:
    """Residuals of the 68 landmarks by region, in per cent of the distance between the outer corners of the eyes.

    `landmark_percent`: of the 51 inside the jaw, with what the detector is known to be off by (LandmarkPlaces.bias)
    taken out; `detected_percent`: to where they were detected.
    """
    own, pose = model.topology.landmark_points(fit.vertices_mm), fit.pose
    # The eyes' distance in space, at the scale of the picture: a profile does not make it small.
    eyes_px = float(np.linalg.norm(own[36] - own[45]) * pose.px_per_mm)
    off = 100 * np.linalg.norm(fit.expected_off_px, axis=1) / eyes_px
    plain = 100 * np.linalg.norm(pose.seen(own) - fit.landmarks_px[MEDIAPIPE_TO_68], axis=1) / eyes_px
    yaw, pitch, roll = view_angles_deg(pose)
    return {
        "landmark_percent": float(off[JAW:].mean()),
        "detected_percent": float(plain[JAW:].mean()),
        "regions_percent": {name: float(off[list(rows)].mean()) for name, rows in GROUPS.items()},
        "eye_distance_px": eyes_px,
        "yaw_deg": yaw, "pitch_deg": pitch, "roll_deg": roll,
        "focal_px": pose.focal_px, "focal_share": fit.focal_share,
        "distance_mm": float(pose.place_mm[2]), "px_per_mm": pose.px_per_mm,
        "skin_share": fit.skin_share,
        **knowledge(fit.scores, fit.score_deviation),
    }  # fmt: skip


def judge_photo_fit(name: str, figures: Mapping[str, Any], limits: PhotoFitLimits | None = None) -> QualityReview:
    """Raises PhotoFitError for a fit that cannot be trusted."""
    limits, found = limits or PhotoFitLimits(), Findings()
    percent, rms = figures["landmark_percent"], figures["identity_rms"]
    text = f"landmarks lie {percent:.1f} % of the eyes' distance from where the fit has them"
    found.at_most(percent, limits.landmark_percent, text)
    text = f"the model knows nobody like this: {rms:.1f} deviations from its members' mean"
    found.at_most(rms, limits.identity_rms, text)
    if figures["skin_share"] is not None:
        covered = 1 - figures["skin_share"]
        text = f"{100 * covered:.0f} % of the visible face is covered, or is not lit as skin is"
        found.at_most(covered, limits.covered, text)
    review = found.review(figures)
    if review.verdict == "redo":
        raise PhotoFitError(
            f"{name}: the fit cannot be trusted: {'; '.join(review.reasons)}. Give a photograph in which the face is "
            "larger, sharper or less covered, or several of this person"
        )
    return review


def view_angles_deg(pose: PhotoPose) -> tuple[float, float, float]:
    """Where a camera stands, seen from the head: azimuth (towards the subject's left), elevation; and the head's roll
    in the picture, clockwise.
    """
    x, y, z = towards_camera(pose)
    right = picture_axes(pose.R)[0]
    return (
        float(np.degrees(np.arctan2(x, z))),
        float(np.degrees(np.arcsin(y))),
        float(np.degrees(np.arctan2(*right[::-1]))),
    )
