"""Which face has its landmarks there: layers from the detector's points to the face of a model.

The second half of the learned fit's network alone, with what a landmark detector finds in place of maps of its own.
Such layers are taught by the model and a few thousand detections, in minutes; a trunk wants a GPU's day.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from common.array_types import Floats
from processing.landmarks.multi_pie_68 import MEDIAPIPE_TO_68
from processing.learning.regressor.face_crop import five_points
from processing.learning.regressor.face_network import POSE, FaceOutput, face_output
from processing.single_view.fitting.landmark_places import SKIN_POINTS

NAME = "landmarks"
_LARGEST = 65_536
_LEAST_SPREAD = 0.01  # crop sides that a point differs by, at least, from photograph to photograph
_USUAL_OFF_MM, _MOST_OFF_MM = 4.0, 40.0  # of a point from where the mean face has it
_SIZES = ("identities", "units", "hidden")


class LandmarkNetwork(nn.Module):  # type: ignore[misc]
    """(B, 468, 2) the detector's points on skin, in the crop's sides -> FaceOutput.

    Two rounds (cascaded regression, Xiong and De la Torre 2013): the first says about how the head is turned; the
    second sees by how many millimetres each point then is not where the mean face has it, which is what says who it is.
    """

    def __init__(self, identities: int, units: int, *, hidden: int = 1024) -> None:
        super().__init__()
        self.identities, self.units, self.hidden = identities, units, hidden
        count = 2 * SKIN_POINTS
        self.register_buffer("mean", torch.zeros(count))
        self.register_buffer("spread", torch.ones(count))
        self.register_buffer("places", torch.zeros(SKIN_POINTS, 3))  # mm, of the mean face about the pivot
        self.first = _layers(count, hidden, identities + units + POSE)
        self.second = _layers(count + 9, hidden, identities + units + POSE)

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def begin_with(self, located: Tensor, places_mm: Tensor) -> None:
        """Where points (B, 468, 2) lie, and how they differ: what the layers see is about nought, of about one.
        places_mm: (468, 3) on the mean face, about the pivot.
        """
        flat = located.flatten(1)
        self.mean.copy_(flat.mean(dim=0))
        self.spread.copy_(flat.std(dim=0) + _LEAST_SPREAD)
        self.places.copy_(places_mm)

    def forward(self, located: Tensor) -> FaceOutput:
        return self.rounds(located)[1]

    def rounds(self, located: Tensor) -> tuple[FaceOutput, FaceOutput]:
        """What each round says."""
        raw = self.first((located.flatten(1) - self.mean) / self.spread).float()
        face = face_output(raw, self.identities, self.units)
        mean = face.seen(self.places.expand(len(located), -1, -1), self.places.new_zeros(3))[0]
        off_mm = ((located - mean) / face.size[:, None, None]).clamp(-_MOST_OFF_MM, _MOST_OFF_MM)
        more = self.second(torch.cat([off_mm.flatten(1) / _USUAL_OFF_MM, face.R.flatten(1)], dim=1)).float()
        return face, face_output(raw + more, self.identities, self.units)

    def architecture(self) -> dict[str, Any]:
        """What `landmark_network_of` builds it anew from."""
        return {"network": NAME, **{key: getattr(self, key) for key in _SIZES}}


def _layers(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    half = max(1, hidden // 2)
    layers = nn.Sequential(
        nn.Linear(inputs, hidden), nn.ReLU(inplace=True), nn.Linear(hidden, half), nn.ReLU(inplace=True),
        nn.Linear(half, half), nn.ReLU(inplace=True), nn.Linear(half, outputs),
    )  # fmt: skip
    nn.init.normal_(layers[-1].weight, std=0.01)
    nn.init.zeros_(layers[-1].bias)
    return layers


def landmark_network_of(architecture: dict[str, Any]) -> LandmarkNetwork:
    """The network that an architecture says. Raises KeyError, TypeError, ValueError for none."""
    said = {key: int(architecture[key]) for key in _SIZES}
    if not all(0 < value <= _LARGEST for value in said.values()):
        raise ValueError(f"no network has the sizes {said}")
    return LandmarkNetwork(said["identities"], said["units"], hidden=said["hidden"])


def five_of_landmarks(landmarks_px: Floats) -> Floats:
    """(478, 2) of the detector -> (5, 2) eyes, tip of the nose, mouth's corners."""
    return five_points(np.asarray(landmarks_px, np.float64)[MEDIAPIPE_TO_68])
