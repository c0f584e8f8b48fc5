"""Points of a model that may leave it along smooth fields: their derivatives, the fields' scores beside the model's."""

from dataclasses import dataclass

import numpy as np

from common.array_types import Floats, Floats32
from processing.face_models.face_model import FaceModel
from processing.face_models.fitting.face_state import ModelPoints


@dataclass(frozen=True, eq=False)
class CorrectedPoints:
    """N points, and the smooth fields at them. Scores are the model's n, then three of each field: along x, y and z."""

    points: ModelPoints
    modes_mm: Floats32 | None  # (N, K) what a deviation of each field moves a point; None: there is none

    def derivatives(self, model: FaceModel, scores: Floats, weights: Floats) -> tuple[Floats, Floats]:
        """(N, 3) positions in the model's frame, mm, and (N, 3, n + 3 K + U) how scores and weights change them."""
        count = model.identity_count
        places, change = self.points.derivatives(model, scores[:count], weights)
        if self.modes_mm is None:
            return places, change
        own = np.zeros((*places.shape, self.modes_mm.shape[1], 3), dtype=change.dtype)
        for axis in range(3):
            own[:, axis, :, axis] = self.modes_mm
        moved = field_mm(self.modes_mm, scores[count:])
        by_fields = own.reshape(*places.shape, -1)
        return places + moved, np.concatenate([change[..., :count], by_fields, change[..., count:]], axis=2)


def field_mm(modes_mm: Floats32, scores: Floats) -> Floats:
    """(N, 3) mm: where fields (N, K) of these scores (3 K,) move points."""
    return np.asarray(modes_mm.astype(np.float64) @ scores.reshape(-1, 3))
