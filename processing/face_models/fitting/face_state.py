"""The unknowns of a fit - identity, expression weights, pose - and how points of the model move with them."""

from dataclasses import dataclass

import numpy as np

from common.array_types import Floats, Ints32
from processing.face_models.bilinear_shapes import BilinearShapes
from processing.face_models.face_model import FaceModel
from processing.geometry.procrustes import Similarity

POSE = 7  # a turn (3), a shift (3) in the model's frame, the logarithm of the scale


@dataclass(frozen=True, eq=False)
class FaceState:
    """One identity in S scans."""

    scores: Floats  # (n,) identity parameters as deviations from the members' mean
    weights: Floats  # (S, U) in 0..1
    motions: tuple[Similarity, ...]  # S, from the model's frame to the scan's

    @property
    def scans(self) -> int:
        return len(self.motions)


def identity_of(model: FaceModel, scores: Floats) -> Floats:
    """(n,) the model's identity parameters."""
    return np.asarray(model.identity_mean + scores * model.identity_deviation)


@dataclass(frozen=True, eq=False)
class ModelPoints:
    """N points of the model that a fit looks at: vertices, or landmarks between some."""

    shapes: BilinearShapes
    #: (N, K) rows of `shapes` between which each point lies, and (N, K) how much of each; None: a row a point.
    rows: Ints32 | None = None
    shares: Floats | None = None

    def _blended(self, values: Floats) -> Floats:
        """(M, ...) of the rows -> (N, ...) of the points."""
        if self.rows is None or self.shares is None:
            return values
        return np.asarray(np.einsum("nk,nk...->n...", self.shares, values[self.rows]))

    def derivatives(self, model: FaceModel, scores: Floats, weights: Floats) -> tuple[Floats, Floats]:
        """(N, 3) positions in the model's frame, mm, and (N, 3, n + U) how they change with scores and weights."""
        identity = identity_of(model, scores)
        matrix = self.shapes.identity_matrix(weights)
        offsets = self.shapes.offsets(identity).transpose(1, 2, 0)
        points = (matrix @ identity.astype(np.float32)).astype(np.float64)
        change = np.concatenate([matrix * model.identity_deviation.astype(np.float32), offsets], axis=2)
        return self._blended(points), self._blended(change)


def vertex_points(model: FaceModel, vertices: Ints32) -> ModelPoints:
    """Some vertices of the model."""
    return ModelPoints(model.subset(vertices))


def landmark_points(model: FaceModel) -> ModelPoints:
    """The model's 68 landmarks."""
    corners = model.topology.mesh.triangles[model.topology.landmark_triangles]
    used, rows = np.unique(corners, return_inverse=True)
    return ModelPoints(
        model.subset(used), rows.reshape(corners.shape).astype(np.int32), model.topology.landmark_barycentric
    )


def point_rows(points_mm: Floats, change: Floats, scale: float) -> Floats:
    """(N, 3, P + 7): how points (N, 3) of the model, in its frame at the scan's scale, change with all unknowns.

    change: (N, 3, P) with scores and weights.
    """
    axes = np.broadcast_to(np.eye(3), (len(points_mm), 3, 3)).reshape(-1, 3)
    each = np.repeat(np.arange(len(points_mm)), 3)
    pose = _pose_rows(scale * points_mm[each], axes).reshape(-1, 3, POSE)
    return np.concatenate([scale * change, pose], axis=2)


def plane_rows(points_mm: Floats, change: Floats, scale: float, across: Floats) -> Floats:
    """(N, P + 7): the same along a direction (N, 3) of each point, in the model's frame."""
    moved = np.matmul(across[:, None].astype(change.dtype), change)[:, 0]
    return np.concatenate([scale * moved, _pose_rows(scale * points_mm, across)], axis=1)


def _pose_rows(points: Floats, across: Floats) -> Floats:
    """(N, 7): what a turn about each axis, a shift, and the scale's logarithm move points (N, 3) along directions."""
    along = np.einsum("nd,nd->n", points, across)
    return np.concatenate([np.cross(points, across), across, along[:, None]], axis=1)


def moved(motion: Similarity, step: Floats) -> Similarity:
    """The motion after a step (7,) of the pose."""
    from scipy.spatial.transform import Rotation  # here: the state is named by who does no fit yet

    R = motion.R @ Rotation.from_rotvec(step[:3]).as_matrix()
    return Similarity(motion.scale * float(np.exp(step[6])), R, motion.t + motion.R @ step[3:6])
