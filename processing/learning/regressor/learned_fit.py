"""A regressed face as a fit to a photograph: the same figures, camera and files as the optimised fit's."""

from typing import Any

import numpy as np

from common.array_types import Floats
from processing.face_models.face_model import FaceModel
from processing.face_models.fitting.face_fit import knowledge
from processing.face_models.fitting.face_state import identity_of
from processing.learning.regressor.face_regressor import RegressedFace, RegressionError
from processing.learning.regressor.line_of_sight import line_of_sight
from processing.scan_quality.verdict import Findings, Limits
from processing.single_view.fitting.photo_figures import view_angles_deg
from processing.single_view.fitting.pose import PhotoPose
from processing.single_view.photo_camera import PhotoCamera
from processing.single_view.photo_fit import landmark_table
from processing.single_view.photograph import PhotoFit, Photograph

DETECTED = 478  # points of the detector whose places PhotoFit has
#: Per cent of the eyes' distance between the detector's five points and the face's: a person looks; refused. The
#: detector puts the hidden eye of a profile where it is not, so that 15 is nothing unusual there.
OFF_PERCENT: Limits = (25.0, 60.0)
IDENTITY_RMS: Limits = (2.0, 4.0)


def pose_of(face: RegressedFace, photograph: Photograph) -> PhotoPose:
    """The camera: its optical axis through the picture's middle; its focal length the photograph's, or by the distance
    that the network saw.
    """
    height, width = photograph.image.shape[:2]
    middle = (np.array([width, height]) - 1) / 2
    focal = photograph.focal_px
    if focal is None:
        longer = max(width, height)
        focal = float(np.clip(face.scale * face.distance_mm, 0.3 * longer, 50 * longer))
    direction = np.r_[(face.shift - middle) / focal, 1.0]
    R = line_of_sight(direction).T @ face.R
    return PhotoPose(R, direction * focal / face.scale, focal, face.pivot_mm, middle, (width, height))


def as_photo_fit(
    face: RegressedFace, model: FaceModel, photograph: Photograph, *, scores: Floats | None = None
) -> PhotoFit:
    """scores: (n,) of the person by several photographs; None: those of this one.

    The detector's landmarks were not looked for: `landmarks_px` are where the face has them. Raises RegressionError
    where the face is not where it was found.
    """
    scores = face.scores if scores is None else scores
    identity = identity_of(model, scores)
    vertices = model.face(identity, face.weights)
    pose = pose_of(face, photograph)
    yaw, pitch, roll = view_angles_deg(pose)
    own = model.topology.landmark_points(vertices)
    unknown = np.ones(len(scores))  # one photograph by one look does not say how sure it is
    figures: dict[str, Any] = {
        "learned": True,
        "landmark_percent": face.off_percent if np.isfinite(face.off_percent) else 0.0,
        "eye_distance_px": float(np.linalg.norm(own[36] - own[45]) * pose.px_per_mm),
        "yaw_deg": yaw, "pitch_deg": pitch, "roll_deg": roll,
        "focal_px": pose.focal_px, "focal_share": 0.0 if photograph.focal_px is not None else 1.0,
        "distance_mm": float(pose.place_mm[2]), "px_per_mm": pose.px_per_mm,
        "skin_share": None,
        **knowledge(scores, unknown),
    }  # fmt: skip
    found = Findings()
    text = f"the face lies {figures['landmark_percent']:.0f} % of the eyes' distance from where it was found"
    found.at_most(figures["landmark_percent"], OFF_PERCENT, text)
    text = f"the model knows nobody like this: {figures['identity_rms']:.1f} deviations from its members' mean"
    found.at_most(figures["identity_rms"], IDENTITY_RMS, text)
    review = found.review(figures)
    if review.verdict == "redo":
        raise RegressionError(
            f"{photograph.name}: the learned fit cannot be trusted: {'; '.join(review.reasons)}. Give a photograph in "
            "which the face is larger, sharper or less covered, or fit without --learned"
        )
    camera = PhotoCamera(pose.camera(photograph.name), "perspective", photograph.focal_px is not None)
    return PhotoFit(
        identity, scores, unknown, face.weights, camera, vertices, np.zeros_like(vertices),
        detector_points(model, pose, vertices), None, figures, review,
    )  # fmt: skip


def detector_points(model: FaceModel, pose: PhotoPose, vertices_mm: Floats) -> Floats:
    """(478, 2) px where the face has the detector's points; those that nobody placed on this template in its middle."""
    table = landmark_table(model, "dense")
    corners = model.topology.mesh.triangles[table.triangles]
    seen = pose.seen(np.einsum("nk,nkd->nd", table.barycentric, vertices_mm[corners]))
    points = np.broadcast_to(seen.mean(axis=0), (DETECTED, 2)).copy()
    points[table.numbers] = seen
    return points
