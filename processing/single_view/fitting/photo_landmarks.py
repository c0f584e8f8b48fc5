"""Landmarks of a photograph as equations: places of the model, and those of its outline, against what was detected."""

from dataclasses import dataclass

import numpy as np

from common.array_types import Floats, Floats32, Ints32
from processing.face_models.face_model import JAW, FaceModel
from processing.face_models.fitting.face_state import ModelPoints
from processing.face_models.fitting.robust import geman_mcclure
from processing.landmarks.multi_pie_68 import GROUPS, MEDIAPIPE_TO_68
from processing.single_view.fitting.corrected_points import CorrectedPoints
from processing.single_view.fitting.landmark_places import SKIN_POINTS, LandmarkPlaces, picture_axes
from processing.single_view.fitting.pose import PhotoPose, model_rows, pixel_rows

PIXEL_DEVIATION = 0.7  # px: what no detector tells apart, whatever the size of the face
NEAR_SINE = 0.2  # of the yaw, from which on a side's landmarks are seen where they are
#: Of what independent points would count: errors of neighbours are alike. Measured: a model of their covariance
#: (24 factors) fits renders no better, and photographs worse, whose mouths a detector sees more sharply.
DENSE_SHARE = 0.2
OTHERS_MM = 1.0  # by which the places themselves are off, of people unlike those whom they were measured on
ALONG_MM = 8.0  # by which a point of the outline may be off along it


@dataclass(frozen=True, eq=False)
class LandmarkTable:
    """Where on a model some of a detector's points lie, and how well."""

    numbers: Ints32  # (N,) among the detector's 478
    triangles: Ints32  # (N,)
    barycentric: Floats  # (N, 3)
    deviation_mm: Floats  # (N,) by which the detector is off, a coordinate, where `measured` does not say
    #: N: the vertices between which a point of the outline slides as the head turns; empty for one that does not.
    outline: tuple[Ints32, ...]
    measured: LandmarkPlaces | None = None  # bias and errors of the detector's first 468 points, which N then are
    share: float = 1.0  # of the equations' weight


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


def table_dense(places: LandmarkPlaces) -> LandmarkTable:
    """The detector's points on skin, where they were measured to lie (carried to the model's topology)."""
    nothing = np.zeros(0, np.int32)
    return LandmarkTable(
        np.arange(SKIN_POINTS, dtype=np.int32), places.triangles, places.barycentric,
        np.sqrt(np.square(places.deviation[len(places.deviation) // 2]).mean(axis=1)),
        tuple(nothing for _ in range(SKIN_POINTS)), places, DENSE_SHARE,
    )  # fmt: skip


@dataclass(frozen=True, eq=False)
class _Seen:
    """The landmarks of a state, and how they move."""

    places_mm: Floats  # (N, 3) camera's frame
    jacobian: Floats  # (N, 2, n + U + 7) px
    pixels: Floats  # (N, 2)
    sliding: Ints32  # numbers of those that are on the outline now


class LandmarkTerm:
    """A table of landmarks made ready for a model."""

    def __init__(self, model: FaceModel, table: LandmarkTable, modes_mm: Floats32 | None = None) -> None:
        """modes_mm: (V, K) of a corrective field, whose scores then follow the model's."""
        self.table = table
        self._model = model
        corners = model.topology.mesh.triangles[table.triangles]
        used = np.unique(np.concatenate([corners.ravel(), *table.outline])).astype(np.int32)
        points = ModelPoints(model.subset(used))
        self._points = CorrectedPoints(points, None if modes_mm is None else modes_mm[used])
        self._rows = np.searchsorted(used, corners).astype(np.int32)
        self._outline = [np.searchsorted(used, line).astype(np.int32) for line in table.outline]
        self._sliding = np.flatnonzero([len(line) > 0 for line in table.outline]).astype(np.int32)

    def equations(
        self, pose: PhotoPose, scores: Floats, weights: Floats, detected_px: Floats
    ) -> tuple[Floats, Floats, Floats]:
        """Rows (2 N, n + U + 7), residuals (2 N,) and weights (2 N,) of one photograph, in deviations.

        detected_px: (478, 2).
        """
        seen = self._seen(pose, scores, weights)
        axes, spread, target = self._frame(pose, seen, detected_px)
        off = np.einsum("nij,nj->ni", axes, seen.pixels - target) / spread
        rows = np.matmul((axes / spread[:, :, None]).astype(seen.jacobian.dtype), seen.jacobian)
        root = np.sqrt(self.table.share * geman_mcclure(np.sqrt(np.square(off).mean(axis=1)), 1.0))
        off, rows = (off * root[:, None]).ravel(), (rows * root[:, None, None]).reshape(-1, rows.shape[2])
        return rows, off, np.ones(len(off))

    def off_px(self, pose: PhotoPose, scores: Floats, weights: Floats, detected_px: Floats) -> Floats:
        """(N, 2) px from where the detector is expected to see each landmark to where the fit has it."""
        seen = self._seen(pose, scores, weights)
        return np.asarray(seen.pixels - self._frame(pose, seen, detected_px)[2])

    def _seen(self, pose: PhotoPose, scores: Floats, weights: Floats) -> _Seen:
        vertices, change = self._points.derivatives(self._model, scores, weights)
        rows, shares = self._on_outline(pose, vertices)
        points = np.einsum("nk,nkd->nd", shares, vertices[rows])
        moved = np.einsum("nk,nk...->n...", shares.astype(change.dtype), change[rows])
        places = pose.to_camera(points)
        jacobian = pixel_rows(pose, places, model_rows(pose, points, moved))
        return _Seen(places, jacobian, pose.pixels(places), self._sliding)

    def _on_outline(self, pose: PhotoPose, vertices_mm: Floats) -> tuple[Ints32, Floats]:
        """Rows and shares (N, 3) of the landmarks, those of the outline where it is now."""
        if not len(self._sliding):
            return self._rows, self.table.barycentric
        rows, shares = self._rows.copy(), self.table.barycentric.copy()
        seen, towards = pose.seen(vertices_mm), towards_camera(pose)
        right, up = picture_axes(pose.R)
        for number in self._sliding.tolist():
            side = np.sign(number - JAW // 2)  # 1: the subject's left, which an upright picture has at its right
            if side * towards[0] > NEAR_SINE:
                continue  # the near side is seen whole: no outline
            line = self._outline[number]
            away = seen[line] @ (side * right if side else -up)
            rows[number], shares[number] = line[away.argmax()], [1.0, 0, 0]
        return rows, shares

    def _frame(self, pose: PhotoPose, seen: _Seen, detected_px: Floats) -> tuple[Floats, Floats, Floats]:
        """The axes (N, 2, 2) along which each landmark is known, its deviations (N, 2) px, and where it should be."""
        table, scale = self.table, pose.px_per_mm
        target = detected_px[table.numbers]
        if table.measured is not None:
            towards = towards_camera(pose)
            turned = picture_axes(pose.R)
            target = target - scale * (table.measured.bias_mm(towards) @ turned)
            spread = np.hypot(table.measured.deviation_mm(towards), OTHERS_MM)
            axes = np.broadcast_to(turned, (len(target), 2, 2))
        else:
            spread = np.stack([table.deviation_mm, table.deviation_mm], axis=1)
            axes = np.broadcast_to(np.eye(2), (len(target), 2, 2)).copy()
        if len(seen.sliding):  # the outline's points are known across it
            out = seen.places_mm[seen.sliding, :2] - seen.places_mm[:, :2].mean(axis=0)
            out /= np.linalg.norm(out, axis=1, keepdims=True).clip(1e-9)
            axes, spread = axes.copy(), spread.copy()
            axes[seen.sliding] = np.stack([out, np.stack([-out[:, 1], out[:, 0]], axis=1)], axis=1)
            spread[seen.sliding, 1] = ALONG_MM
        return axes, np.hypot(spread * scale, PIXEL_DEVIATION), target


def towards_camera(pose: PhotoPose) -> Floats:
    """(3,) unit vector of the model's frame, from the face to the camera."""
    away = -pose.R.T @ pose.place_mm
    return np.asarray(away / np.linalg.norm(away))
