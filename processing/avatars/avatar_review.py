"""A verdict on an avatar: what of its photograph was not as it should be, in words a person can act on."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from common.array_types import Floats
from processing.landmarks.multi_pie_68 import MEDIAPIPE_TO_68
from processing.scan_quality.verdict import Findings, QualityReview
from processing.single_view.appearance.lighting import Appearance

_NO_LIMIT = 1e9
_COMPLETED = (0.65, 0.92)  # share of the face's area that the photograph does not show
_COVERED = 0.15  # share of the visible face that light and albedo do not explain as skin
_YAW_DEG = 40.0
_PITCH_DEG = 30.0
_EYES_PX = 50.0  # between the outer corners: less is a blurred face
_OPEN_MOUTH = 0.12  # gap of the lips by their width
_HARD = 3.0  # light on one side of the face by that on the other
_CORRECTED_MM = 3.0


def judge_avatar(fit: QualityReview, figures: Mapping[str, Any], landmarks_px: Floats) -> QualityReview:
    """accept, review, or redo, with reasons; what the fit's own review found comes first.

    figures: of the fit and the texture: `face_completed`, `skin_share`, `yaw_deg`, `pitch_deg`, `eye_distance_px`,
    `eyes`, `light_ratio`, `correction_mm`.
    """
    found = Findings()
    for reason in fit.reasons:
        found.add("review", reason)
    completed = figures["face_completed"]
    text = f"the photograph does not show {100 * completed:.0f} % of the face: that is a guess"
    found.at_most(completed, _COMPLETED, text)
    yaw, pitch, eyes = abs(figures["yaw_deg"]), abs(figures["pitch_deg"]), figures["eye_distance_px"]
    share = figures["skin_share"]
    if share is not None:
        text = f"{100 * (1 - share):.0f} % of the face is covered (hair, glasses, a hand) or not lit as skin is"
        found.at_most(1 - share, (_COVERED, _NO_LIMIT), text)
    found.at_most(yaw, (_YAW_DEG, _NO_LIMIT), f"the head is turned by {yaw:.0f} degrees: the far side is completed")
    found.at_most(pitch, (_PITCH_DEG, _NO_LIMIT), f"the head is bowed or raised by {pitch:.0f} degrees")
    found.at_most(-eyes, (-_EYES_PX, _NO_LIMIT), f"the eyes are {eyes:.0f} pixels apart: the texture is blurred")
    ratio = figures["light_ratio"]
    if ratio is not None:
        found.at_most(ratio, (_HARD, _NO_LIMIT), f"one side of the face has {ratio:.1f} times the light of the other")
    gap = mouth_gap(landmarks_px)
    found.at_most(gap, (_OPEN_MOUTH, _NO_LIMIT), "the mouth is open: the lips' inner edge is completed")
    if figures["eyes"] == "subject":
        found.add("review", "the eyes are another person's: these are not both open, or not both seen")
    moved = figures["correction_mm"]
    text = f"the head had to leave what is known of heads by {moved:.1f} mm: a child, or no plain view of a face"
    found.at_most(moved, (_CORRECTED_MM, _NO_LIMIT), text)
    return found.review(figures)


def mouth_gap(landmarks_px: Floats) -> float:
    """Between the lips, by the mouth's inner width."""
    points = landmarks_px[MEDIAPIPE_TO_68]
    gap = np.linalg.norm(points[[61, 62, 63]] - points[[67, 66, 65]], axis=1).mean()
    return float(gap / max(float(np.linalg.norm(points[60] - points[64])), 1e-6))


def light_ratio(appearance: Appearance | None, normals: Floats, R: Floats) -> float | None:
    """Light on the brighter side of a face by that on the darker one. normals: (N, 3) of its skin, model's frame."""
    if appearance is None:
        return None
    shading = appearance.lighting.shading(normals @ R.T).mean(axis=1)
    sides = [shading[normals[:, 0] * sign > 0.4] for sign in (1, -1)]
    if min(len(side) for side in sides) == 0:
        return None
    first, second = (float(np.median(side)) for side in sides)
    return max(first, second) / max(min(first, second), 1e-3)
