"""Chamfer distance, normal error and completeness of two surfaces on one cylinder (FaceScape, equations 12 to 14)."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from common.array_types import Floats
from processing.evaluation.metrics.cylinder import (
    SIDE,
    CylinderMap,
    CylinderSurface,
    exact_surface,
    published_surface,
)
from processing.evaluation.metrics.predictions import PredictionError
from processing.geometry.mesh import Surface

NO_OVERLAP = "nothing of the mesh lies where the true face is"


@dataclass(frozen=True, eq=False)
class CylinderMeasure:
    """What two maps say of each other."""

    cd_mm: float
    cd_sum_mm: float
    mne_rad: float
    completeness: float
    #: The public evaluator's MNE is NaN: rounding makes a cosine larger than 1, as where normals are the same.
    nan_as_published: bool
    #: (256, 256) mm from the true surface to the prediction at each pixel; NaN where either is unknown.
    true_to_predicted_mm: Floats


def published_measure(true: CylinderMap, predicted: CylinderMap) -> CylinderMeasure:
    """As the public evaluator computes it: CD over 256 columns, normals + 1. Raises PredictionError without overlap."""
    return _measure(true, predicted, SIDE, published_surface, lambda normals: normals + 1)


def exact_measure(true: CylinderMap, predicted: CylinderMap) -> CylinderMeasure:
    """Each angle once, edges of at most 15 mm, true angles. Raises PredictionError without overlap."""
    return _measure(true, predicted, SIDE - 1, exact_surface, lambda normals: normals)


def _measure(
    true: CylinderMap,
    predicted: CylinderMap,
    columns: int,
    join: Callable[[Floats], CylinderSurface | None],
    shown: Callable[[Floats], Floats],
) -> CylinderMeasure:
    radius, guess = true.radius_mm[:, :columns], predicted.radius_mm[:, :columns]
    both = (radius != 0) & (guess != 0)
    truth, found = join(radius * both), join(guess * both)
    if truth is None or found is None:
        raise PredictionError(NO_OVERLAP)
    to_truth = Surface(truth.mesh).closest(found.mesh.vertices_mm).distance_mm
    to_found = Surface(found.mesh).closest(truth.mesh.vertices_mm).distance_mm
    a, b = true.normals[:, :columns], predicted.normals[:, :columns]
    seen = (a != 0).any(axis=2) & (b != 0).any(axis=2)
    a, b = shown(a[seen]), shown(b[seen])
    # One after the other as the evaluator does, so that rounding beyond 1 is found where its is.
    a, b = a / np.linalg.norm(a, axis=1, keepdims=True), b / np.linalg.norm(b, axis=1, keepdims=True)
    cosine = (a * b).sum(axis=1)
    errors = np.full((SIDE, columns), np.nan)
    errors.ravel()[truth.pixel] = to_found
    return CylinderMeasure(
        cd_mm=float(np.concatenate([to_found, to_truth]).mean()),
        cd_sum_mm=float(to_found.mean() + to_truth.mean()),
        mne_rad=float(np.arccos(cosine.clip(-1, 1)).mean()),
        completeness=float(both.sum() / (radius != 0).sum()),
        nan_as_published=bool((cosine > 1).any()),
        true_to_predicted_mm=np.concatenate([errors, errors[:, : SIDE - columns]], axis=1),
    )
