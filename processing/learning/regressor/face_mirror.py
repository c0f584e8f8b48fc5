"""A face of a model as a mirror shows it: its points, its identity, its expression."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.array_types import Floats, Floats32, Ints64
from processing.errors import ShapeError
from processing.face_models.face_model import FaceModel


@dataclass(frozen=True, eq=False)
class FaceMirror:
    """What mirrors compared points, scores and weights. Scores are mirrored as well as the model can (least squares):
    what it cannot say of the mirrored face is left out.
    """

    rows: Ints64  # (M,)
    matrix: Floats32  # (n, n)
    shift: Floats32  # (n,)
    units: Ints64  # (U,) for each unit the one of the other side

    @staticmethod
    def of(model: FaceModel, vertices: Ints64) -> "FaceMirror":
        """vertices: (M,) ascending, each one's other side among them."""
        rows = np.searchsorted(vertices, model.topology.symmetry[vertices].astype(np.int64)).astype(np.int64)
        core = model.subset(vertices).neutral_core_mm.astype(np.float64)  # (M, 3, n)
        mean = core @ model.identity_mean
        change = core * model.identity_deviation
        flip = np.array([-1.0, 1.0, 1.0])
        flat = change.reshape(-1, change.shape[2])
        ridge = 1e-6 * np.square(flat).sum() / flat.shape[1]
        gram = flat.T @ flat + ridge * np.eye(flat.shape[1])
        other = (change[rows] * flip[:, None]).reshape(flat.shape)
        matrix = np.linalg.solve(gram, flat.T @ other)
        shift = np.linalg.solve(gram, flat.T @ (mean[rows] * flip - mean).ravel())
        return FaceMirror(rows, matrix.astype(np.float32), shift.astype(np.float32), mirrored_units(model.units))

    @staticmethod
    def of_tensors(tensors: Mapping[str, NDArray[Any]]) -> "FaceMirror":
        """What `tensors` gave; without points. Raises KeyError, ShapeError."""
        matrix, shift, units = (tensors[f"mirror_{key}"] for key in ("matrix", "shift", "units"))
        if matrix.ndim != 2 or matrix.shape != (len(shift), len(shift)):
            raise ShapeError("mirror_matrix", matrix.shape, f"({len(shift)}, {len(shift)})")
        units = units.astype(np.int64)
        if units.ndim != 1 or (np.sort(units) != np.arange(len(units))).any():
            raise ShapeError("mirror_units", units.shape, "(U,) each unit once")
        return FaceMirror(np.zeros(0, np.int64), matrix.astype(np.float32), shift.astype(np.float32), units)

    def fits(self, identities: int, units: int) -> bool:
        """Whether it is of a model of so many identity parameters and units."""
        return len(self.shift) == identities and len(self.units) == units

    def tensors(self) -> dict[str, NDArray[Any]]:
        """What a weights file keeps of it."""
        return {"mirror_matrix": self.matrix, "mirror_shift": self.shift, "mirror_units": self.units}

    def points(self, points_mm: Floats32) -> Floats32:
        """(..., M, 3) mm."""
        return np.asarray(points_mm[..., self.rows, :] * np.array([-1, 1, 1], np.float32), np.float32)

    def scores(self, scores: Floats32) -> Floats32:
        """(..., n)."""
        return np.asarray(scores @ self.matrix.T + self.shift, np.float32)

    def weights(self, weights: Floats32) -> Floats32:
        """(..., U)."""
        return np.asarray(weights[..., self.units], np.float32)


def mirrored_units(units: tuple[str, ...]) -> Ints64:
    """(U,) where the unit of the other side is: 'mouthLeft' and 'mouthRight', 'eyeBlinkLeft', ...; itself without."""
    place = {name: number for number, name in enumerate(units)}
    out = []
    for number, name in enumerate(units):
        other = name.replace("Left", "\0").replace("Right", "Left").replace("\0", "Right")
        out.append(place.get(other, number))
    return np.array(out, np.int64)


def mirrored_rotation(R: Floats) -> Floats:
    """(..., 3, 3) of the mirrored picture."""
    flip = np.array([-1.0, 1.0, 1.0])
    return np.asarray(R * flip * flip[:, None])
