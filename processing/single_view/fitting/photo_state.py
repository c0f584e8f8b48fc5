"""The unknowns of a fit to photographs: one identity, the weights and the camera of each."""

from dataclasses import dataclass

import numpy as np

from common.array_types import Floats
from processing.face_models.fitting.normal_equations import Increments
from processing.single_view.fitting.pose import PhotoPose


@dataclass(frozen=True, eq=False)
class PhotoState:
    """One identity in S photographs."""

    scores: Floats  # (n,) identity parameters as deviations from the members' mean
    weights: Floats  # (S, U) in 0..1
    poses: tuple[PhotoPose, ...]  # S

    @property
    def scans(self) -> int:
        """How many photographs; called as NormalEquations calls what it fits."""
        return len(self.poses)

    def moved(self, more: Increments) -> "PhotoState":
        """The state after a step."""
        poses = tuple(pose.moved(step) for pose, step in zip(self.poses, more.poses, strict=True))
        return PhotoState(self.scores + more.scores, (self.weights + more.weights).clip(0, 1), poses)


def mean_state(identities: int, units: int, poses: tuple[PhotoPose, ...]) -> PhotoState:
    """The members' mean without expression."""
    return PhotoState(np.zeros(identities), np.zeros((len(poses), units)), poses)
