"""Which face has its landmarks there: layers from the detector's points to the face of a model.

The second half of the learned fit's network alone, with what a landmark detector finds in place of maps of its own.
Such layers are taught by the model and a few thousand detections, in minutes; a trunk wants a GPU's day.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from common.array_types import Floats
from processing.landmarks.mirror_478 import MIRROR_478
from processing.landmarks.multi_pie_68 import MEDIAPIPE_TO_68
from processing.learning.regressor.face_crop import five_points
from processing.learning.regressor.face_network import POSE, FaceOutput, face_output
from processing.single_view.fitting.landmark_places import SKIN_POINTS

NAME = "landmarks"
_LARGEST = 65_536
_LEAST_SPREAD = 0.01  # crop sides that a point differs by, at least, from photograph to photograph
_SIZES = ("identities", "units", "hidden")


class LandmarkNetwork(nn.Module):  # type: ignore[misc]
    """(B, 468, 2) the detector's points on skin, in the crop's sides -> FaceOutput."""

    def __init__(self, identities: int, units: int, *, hidden: int = 1024) -> None:
        super().__init__()
        self.identities, self.units, self.hidden = identities, units, hidden
        count, half = 2 * SKIN_POINTS, max(1, hidden // 2)
        self.register_buffer("mean", torch.zeros(count))
        self.register_buffer("spread", torch.ones(count))
        self.layers = nn.Sequential(
            nn.Linear(count, hidden), nn.ReLU(inplace=True), nn.Linear(hidden, half), nn.ReLU(inplace=True),
            nn.Linear(half, half), nn.ReLU(inplace=True), nn.Linear(half, identities + units + POSE),
        )  # fmt: skip
        nn.init.normal_(self.layers[-1].weight, std=0.01)
        nn.init.zeros_(self.layers[-1].bias)

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def begin_with(self, located: Tensor) -> None:
        """Where points (B, 468, 2) lie, and how they differ: what the layers see is about nought, of about one."""
        flat = located.flatten(1)
        self.mean.copy_(flat.mean(dim=0))
        self.spread.copy_(flat.std(dim=0) + _LEAST_SPREAD)

    def forward(self, located: Tensor) -> FaceOutput:
        raw = self.layers((located.flatten(1) - self.mean) / self.spread).float()
        return face_output(raw, self.identities, self.units)

    def architecture(self) -> dict[str, Any]:
        """What `landmark_network_of` builds it anew from."""
        return {"network": NAME, **{key: getattr(self, key) for key in _SIZES}}


def landmark_network_of(architecture: dict[str, Any]) -> LandmarkNetwork:
    """The network that an architecture says. Raises KeyError, TypeError, ValueError for none."""
    said = {key: int(architecture[key]) for key in _SIZES}
    if not all(0 < value <= _LARGEST for value in said.values()):
        raise ValueError(f"no network has the sizes {said}")
    return LandmarkNetwork(said["identities"], said["units"], hidden=said["hidden"])


def five_of_landmarks(landmarks_px: Floats) -> Floats:
    """(478, 2) of the detector -> (5, 2) eyes, tip of the nose, mouth's corners."""
    return five_points(np.asarray(landmarks_px, np.float64)[MEDIAPIPE_TO_68])


def mirrored_landmarks(located: Floats) -> Floats:
    """(478, 2) in a crop's sides, as the mirrored crop has them."""
    return np.asarray(located[MIRROR_478] * [-1, 1] + [1, 0])
