"""A fit that somebody has begun: its first state, and equations by which it does not lightly leave it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from common.array_types import Floats
from processing.single_view.fitting.photo_state import PhotoState
from processing.single_view.fitting.pose import POSE, TURN, PhotoPose


@dataclass(frozen=True, eq=False)
class PhotoStart:
    """Where a fit begins that somebody has begun (a learned fit), and how sure that is: what is known of the face
    besides the landmarks and colours. Deviations are those of faces that it had never seen.
    """

    scores: Floats  # (n,)
    weights: Floats  # (U,)
    pose: PhotoPose
    score_deviation: float = 0.8
    weight_deviation: float = 0.15
    turn_deviation_deg: float = 4.0


def started_state(starts: Sequence[PhotoStart], corrections: int) -> PhotoState:
    """The mean of the identities, and each photograph's own weights and pose; no correction yet."""
    scores = np.mean([start.scores for start in starts], axis=0)
    weights = np.stack([start.weights for start in starts]).clip(0, 1)
    return PhotoState(np.r_[scores, np.zeros(corrections)], weights, tuple(start.pose for start in starts))


def start_rows(start: PhotoStart, state: PhotoState, number: int) -> tuple[Floats, Floats, Floats]:
    """Rows (M, n + U + 7), residuals (M,) and weights (M,) of one photograph: identity, weights and turn are believed
    to be the start's, each within its deviation; place, size and focal length are left to the landmarks.
    """
    own, units, n = len(start.scores), len(start.weights), len(state.scores)
    turn = Rotation.from_matrix(state.poses[number].R @ start.pose.R.T).as_rotvec()
    rows = np.zeros((own + units + 3, n + units + POSE))
    rows[np.arange(own), np.arange(own)] = 1.0
    rows[own + np.arange(units), n + np.arange(units)] = 1.0
    rows[own + units + np.arange(3), n + units + np.arange(POSE)[TURN]] = 1.0
    off = np.r_[state.scores[:own] - start.scores, state.weights[number] - start.weights, turn]
    spread = np.r_[
        np.full(own, start.score_deviation), np.full(units, start.weight_deviation),
        np.full(3, np.radians(start.turn_deviation_deg)),
    ]  # fmt: skip
    return rows, off, spread**-2.0
