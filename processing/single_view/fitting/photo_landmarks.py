"""Landmarks of a photograph as equations: places of the model, and those of its outline, against what was detected."""

from dataclasses import dataclass

import numpy as np

from common.array_types import Bools, Floats, Ints32
from processing.face_models.face_model import JAW, FaceModel
from processing.face_models.fitting.face_state import ModelPoints
from processing.face_models.fitting.robust import geman_mcclure
from processing.landmarks.multi_pie_68 import GROUPS, MEDIAPIPE_TO_68
from processing.single_view.fitting.pose import PhotoPose, model_rows, pixel_rows

PIXEL_DEVIATION = 0.7  # px: what no detector tells apart, whatever the size of the face
ALONG_MM = 8.0  # by which a point of the outline may be off along it


@dataclass(frozen=True, eq=False)
class LandmarkTable:
    """Where on a model some of a detector's points lie, and how well."""

    numbers: Ints32  # (N,) among the detector's 478
    triangles: Ints32  # (N,)
    barycentric: Floats  # (N, 3)
    deviation_mm: Floats  # (N,) by which the detector is off, a coordinate
    #: N: the vertices between which a point of the outline slides as the head turns; empty for one that does not.
    outline: tuple[Ints32, ...]
    share: float = 1.0  # of the equations' weight: neighbouring points err alike


#: (68,) mm, a coordinate, of the detector's Multi-PIE points.
DEVIATION_68_MM = np.full(68, 2.0)
DEVIATION_68_MM[list(GROUPS["jaw"])] = 3.0
DEVIATION_68_MM[[*GROUPS["right_brow"], *GROUPS["left_brow"]]] = 3.5


def table_68(model: FaceModel) -> LandmarkTable:
    """The model's own 68 landmarks, those of the jaw on its contours."""
    topology = model.topology
    nothing = np.zeros(0, np.int32)
    outline = (*topology.contours, *(nothing for _ in range(68 - JAW)))
    return LandmarkTable(
        MEDIAPIPE_TO_68, topology.landmark_triangles, topology.landmark_barycentric, DEVIATION_68_MM, outline
    )


class LandmarkTerm:
    """A table of landmarks made ready for a model."""

    def __init__(self, model: FaceModel, table: LandmarkTable) -> None:
        self.table = table
        self._model = model
        corners = model.topology.mesh.triangles[table.triangles]
        used = np.unique(np.concatenate([corners.ravel(), *table.outline])).astype(np.int32)
        self._vertices = used
        self._shapes = model.subset(used)
        self._rows = np.searchsorted(used, corners).astype(np.int32)
        self._outline = [np.searchsorted(used, line).astype(np.int32) for line in table.outline]
        self._sliding = np.flatnonzero([len(line) > 0 for line in table.outline])

    def places(self, scores: Floats, weights: Floats) -> tuple[Floats, Floats]:
        """(M, 3) mm and (M, 3, n + U) of the vertices that are needed."""
        return ModelPoints(self._shapes).derivatives(self._model, scores, weights)

    def on_outline(self, pose: PhotoPose, vertices_mm: Floats) -> tuple[Ints32, Floats]:
        """Rows and shares (N, 3) of the landmarks, those of the outline where it is now."""
        rows, shares = self._rows.copy(), self.table.barycentric.copy()
        if len(self._sliding):
            seen = pose.seen(vertices_mm)
            middle = seen[self._rows].mean(axis=(0, 1))
            for number in self._sliding.tolist():
                line = self._outline[number]
                own = seen[self._rows[number]].mean(axis=0) - middle
                away = (seen[line] - middle) @ own
                rows[number], shares[number] = line[away.argmax()], [1.0, 0, 0]
        return rows, shares

    def equations(
        self, pose: PhotoPose, scores: Floats, weights: Floats, detected_px: Floats, *, robust: bool = True
    ) -> tuple[Floats, Floats, Floats]:
        """Rows (2 N, n + U + 7), residuals (2 N,) px and weights (2 N,) of one photograph.

        detected_px: (478, 2).
        """
        vertices, change = self.places(scores, weights)
        rows, shares = self.on_outline(pose, vertices)
        points = np.einsum("nk,nkd->nd", shares, vertices[rows])
        moved = np.einsum("nk,nk...->n...", shares.astype(change.dtype), change[rows])
        places = pose.to_camera(points)
        jacobian = pixel_rows(pose, places, model_rows(pose, points, moved))
        off = pose.pixels(places) - detected_px[self.table.numbers]
        deviation = np.hypot(self.table.deviation_mm * pose.px_per_mm, PIXEL_DEVIATION)
        first, second = off.copy(), np.zeros(0)
        axes = np.broadcast_to(np.eye(2), (len(off), 2, 2)).copy()
        spread = np.stack([deviation, deviation], axis=1)
        if len(self._sliding):  # the outline's points are known across it
            middle = places[:, :2].mean(axis=0)
            out = places[self._sliding, :2] - middle
            out /= np.linalg.norm(out, axis=1, keepdims=True).clip(1e-9)
            axes[self._sliding] = np.stack([out, np.stack([-out[:, 1], out[:, 0]], axis=1)], axis=1)
            spread[self._sliding, 1] = ALONG_MM * pose.px_per_mm
        first = np.einsum("nij,nj->ni", axes, off)
        jacobian = np.matmul(axes.astype(jacobian.dtype), jacobian)
        weight = self.table.share / np.square(spread)
        if robust:
            far = np.sqrt(np.square(first / spread).sum(axis=1) / 2)
            weight = weight * geman_mcclure(far, 1.0)[:, None]
        del second
        return jacobian.reshape(-1, jacobian.shape[2]), first.ravel(), weight.ravel()

    def off_px(self, pose: PhotoPose, scores: Floats, weights: Floats, detected_px: Floats) -> Floats:
        """(N, 2) px from where the detector has each landmark to where the fit does."""
        vertices, _ = self.places(scores, weights)
        rows, shares = self.on_outline(pose, vertices)
        points = np.einsum("nk,nkd->nd", shares, vertices[rows])
        return np.asarray(pose.seen(points) - detected_px[self.table.numbers])


INNER: Bools = np.arange(68) >= JAW  # the 51 that are no jaw's
