"""What a face can be that its model cannot: a smooth field over the head, small, beside the model.

Hu et al.'s avatars from selfies (equations 1 to 4) add a correction to every vertex, held by its Laplacian and by its
size: the sum of |L d|^2 and of lambda |d|^2. That is a Gaussian prior whose covariance is the Green's function of the
regulariser (a Whittle-Matern field; Lindgren, Rue and Lindstrom 2011): the covariance between two vertices falls with
their distance by Matern's function. The strongest modes of that covariance span all corrections that the regulariser
does not forbid, so the fit solves for their scores with identity, expression and camera in the same Gauss-Newton steps,
by the same landmarks, outlines and pixels, and the unseen side follows by smoothness.
"""

from dataclasses import dataclass

import numpy as np

from common.array_types import Bools, Floats, Floats32
from processing.face_models.face_model import FaceModel
from processing.face_models.fitting.vertex_sampling import spread_vertices
from processing.single_view.fitting.corrected_points import field_mm

_CELL_MM = 14.0  # between the vertices at which modes are told
_ROWS = 4000  # vertices at a time


@dataclass(frozen=True)
class CorrectionSettings:
    """How far a face may leave its model."""

    size_mm: float = 0.7  # standard deviation a coordinate, anywhere on the face
    reach_mm: float = 35.0  # by which neighbours go together
    modes: int = 30


@dataclass(frozen=True, eq=False)
class CorrectiveField:
    """Smooth modes over a model's vertices; scores of them are standard normal."""

    modes_mm: Floats32  # (V, K) of a deviation, along each axis alike

    @property
    def count(self) -> int:
        """How many scores it has: 3 K."""
        return 3 * int(self.modes_mm.shape[1])

    def offsets(self, scores: Floats) -> Floats:
        """(V, 3) mm of scores (3 K,)."""
        return field_mm(self.modes_mm, scores)


def corrective_field(model: FaceModel, settings: CorrectionSettings | None = None) -> CorrectiveField:
    """The modes of a model: Nystrom's extension of the prior's covariance between some vertices of the head's front."""
    settings = settings or CorrectionSettings()
    topology = model.topology
    vertices = topology.mesh.vertices_mm
    front: Bools = topology.frontal | topology.face
    some = vertices[spread_vertices(vertices, front, _CELL_MM)]
    values, vectors = np.linalg.eigh(_matern(some, some, settings.reach_mm))
    strongest = np.argsort(values)[::-1][: settings.modes]
    turned = vectors[:, strongest] / np.sqrt(values[strongest].clip(1e-9))
    modes = np.empty((len(vertices), len(strongest)), np.float32)
    for start in range(0, len(vertices), _ROWS):
        rows = slice(start, start + _ROWS)
        modes[rows] = _matern(vertices[rows], some, settings.reach_mm) @ turned
    return CorrectiveField(np.float32(settings.size_mm) * modes)


def _matern(first: Floats, second: Floats, reach_mm: float) -> Floats:
    """(N, M) Matern's covariance of smoothness 5/2 between points, 1 where they meet."""
    square = np.square(first).sum(axis=1)[:, None] + np.square(second).sum(axis=1) - 2 * first @ second.T
    r = np.sqrt(5 * square.clip(0)) / reach_mm
    return np.asarray((1 + r + r * r / 3) * np.exp(-r))
