"""Chamfer distance, normal error and completeness of two surfaces on one cylinder (FaceScape, equations 12 to 14)."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from common.array_types import Bools, Floats
from processing.evaluation.metrics.cylinder import HALF_HEIGHT_MM, SIDE, STEP, CylinderMap, points_of
from processing.evaluation.metrics.cylinder_distances import (
    Quads,
    corners_used,
    exact_faces,
    grid_distances,
    published_faces,
    radii_of,
)
from processing.evaluation.metrics.predictions import PredictionError
from processing.geometry.mesh import Mesh, Surface

#: Faces with longer edges span what was not seen.
LONGEST_EDGE_MM = 15.0
_MOST_ROWS = 24  # of pixels, up and down, that are looked at at first,
_FEW = 300  # and for so many pixels farther on; for more a tree is made


@dataclass(frozen=True, eq=False)
class CylinderMeasure:
    """What two maps say of each other."""

    cd_mm: float
    cd_sum_mm: float
    mne_rad: float
    completeness: float
    #: The public evaluator's MNE is NaN: rounding makes a cosine larger than 1, as where normals are the same.
    nan_as_published: bool
    #: (256, C) mm from the true surface to the prediction at each pixel; NaN where either is unknown.
    true_to_predicted_mm: Floats


def published_measure(true: CylinderMap, predicted: CylinderMap) -> CylinderMeasure:
    """As the public evaluator computes it: 256 columns, its faces, normals + 1. Raises PredictionError without overlap.

    Its faces are those of `published_faces`: a pixel's radius within 15 mm of its neighbours', whatever the edges are;
    near the axis (radius under 15 mm) they reach pixels without surface, which lie on the axis; after the last column
    comes the next row. Those beyond the last row, with which it stops in an IndexError, are left out.
    """
    return _measure(true, predicted, closed=False)


def exact_measure(true: CylinderMap, predicted: CylinderMap) -> CylinderMeasure:
    """Each angle once, edges of at most 15 mm, true angles. Raises PredictionError without overlap."""
    return _measure(true, predicted, closed=True)


@dataclass(frozen=True, eq=False)
class CylinderFaces:
    """A map as a surface."""

    radius: Floats  # (R, C) mm
    points: Floats  # (R, C, 3)
    faces: Bools  # (R, C, 2) kept, as `cylinder_distances` numbers them
    used: Bools  # (R, C) pixels that they name
    closed: bool  # around the axis

    @classmethod
    def of(cls, radius_mm: Floats, *, closed: bool) -> "CylinderFaces":
        points = points_of(radius_mm)
        if closed:
            faces = exact_faces(points, radius_mm, LONGEST_EDGE_MM)
        else:
            faces = published_faces(radius_mm, LONGEST_EDGE_MM)
        return cls(radius_mm, points, faces, corners_used(faces, closed), closed)

    def as_mesh(self) -> Mesh:
        """With one vertex a pixel, used or not."""
        rows, columns = self.used.shape
        pixel = np.arange(rows * columns).reshape(rows, columns)
        right = np.roll(pixel, -1, axis=1) if self.closed else pixel + 1
        first = np.stack([pixel, right, pixel + columns], axis=-1)[self.faces[..., 0]]
        second = np.stack([right + columns, pixel + columns, right], axis=-1)[self.faces[..., 1]]
        return Mesh(self.points.reshape(-1, 3), np.concatenate([first, second]).astype(np.int32))

    def distances_to(self, other: "CylinderFaces") -> Floats:
        """(R, C) mm from the used pixels to another surface; NaN where not used."""
        rows, columns = self.used.shape
        # Of a map that is not closed the last column is the first once more: a step less is sure.
        angle = (np.maximum(np.arange(columns) - (0 if self.closed else 1), 0) * STEP).clip(0, np.pi)
        angles = np.stack([np.where(angle < np.pi / 2, np.sin(angle), 1.0), np.cos(angle)], axis=1)
        row_mm = 2 * HALF_HEIGHT_MM / (rows - 1)
        bounds = radii_of(other.radius, other.faces, self.closed)
        quads = Quads(other.points.reshape(-1, 3), other.faces, bounds, angles, self.closed, row_mm)
        out = grid_distances(self.points, self.used, quads, _MOST_ROWS)
        far = out < 0
        if 0 < far.sum() <= _FEW:
            out[far] = grid_distances(self.points, far, quads, rows)[far]
        elif far.any():
            out[far] = Surface(other.as_mesh()).closest(self.points[far]).distance_mm
        return np.asarray(out)


def _measure(true: CylinderMap, predicted: CylinderMap, *, closed: bool) -> CylinderMeasure:
    columns = SIDE - 1 if closed else SIDE
    radius, guess = (np.ascontiguousarray(m.radius_mm[:, :columns]) for m in (true, predicted))
    both = (radius != 0) & (guess != 0)
    truth = CylinderFaces.of(np.where(both, radius, 0.0), closed=closed)
    found = CylinderFaces.of(np.where(both, guess, 0.0), closed=closed)
    if not truth.used.any() or not found.used.any():
        raise PredictionError("nothing of the mesh lies where the true face is")
    with ThreadPoolExecutor(2) as beside:  # the loops hold no lock
        back = beside.submit(found.distances_to, truth)
        errors = truth.distances_to(found)
        to_found, to_truth = errors[truth.used], back.result()[found.used]
    a, b = true.normals[:, :columns], predicted.normals[:, :columns]
    seen = (a != 0).any(axis=2) & (b != 0).any(axis=2)
    cosine = _cosines(a[seen], b[seen]) if closed else _cosines(a[seen] + 1, b[seen] + 1)
    return CylinderMeasure(
        cd_mm=float(np.concatenate([to_found, to_truth]).mean()),
        cd_sum_mm=float(to_found.mean() + to_truth.mean()),
        mne_rad=float(np.arccos(cosine.clip(-1, 1)).mean()),
        completeness=float(both.sum() / (radius != 0).sum()),
        nan_as_published=bool((cosine > 1).any()),
        true_to_predicted_mm=errors,
    )


def _cosines(a: Floats, b: Floats) -> Floats:
    """(N,) of the angles between (N, 3) vectors, in the evaluator's order, so that both round alike."""
    a = a / np.linalg.norm(a, axis=1, keepdims=True)
    b = b / np.linalg.norm(b, axis=1, keepdims=True)
    return np.asarray((a * b).sum(axis=1))
