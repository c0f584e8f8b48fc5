"""The examples' weights: bounded least squares with a prior, in which the doubt about the shapes takes part."""

import numpy as np
from scipy.linalg import cho_solve, solve_triangular
from scipy.optimize import lsq_linear

from common.array_types import Floats
from processing.face_models.blendshapes.deviations import SmoothDeviations
from processing.face_models.blendshapes.settings import RigSettings
from processing.face_models.blendshapes.weight_prior import WeightPrior

_HALF_COST = 0.1  # weight at which what comes along costs half as much: the sparse are not pulled towards zero


def bounded_weights(matrix: Floats, linear: Floats) -> Floats:
    """(U,) the a in 0..1 of least 1/2 a^T M a - q^T a. matrix: (U, U) positive definite; linear: (U,)."""
    root = np.linalg.cholesky(matrix)
    right = solve_triangular(root, linear, lower=True)
    found = lsq_linear(root.T, right, bounds=(0, 1), method="bvls", max_iter=4 * len(linear))
    return np.asarray(found.x.clip(0, 1))


def example_weights(
    deviations: SmoothDeviations,
    examples: Floats,
    before: Floats,
    residual_mm: Floats,
    prior: WeightPrior,
    settings: RigSettings,
) -> Floats:
    """(E, U) the likeliest weights of `sampled` examples (E, 3n), where `before` (E, U) were found the round before.

    residual_mm: (E,) what each example may be off.

    An example is held against the units as the other examples alone make them, and their doubt is part of its noise:
    shapes that it shaped itself would explain whatever came along. What no smooth deviation explains counts less where
    a place moves more, so that a blink beside a wide smile is seen.
    """
    whole, whole_right = deviations.system(examples, before, residual_mm)
    motion = np.linalg.norm(deviations.plain_mm, axis=2)
    out = np.empty_like(before)
    for number, example in enumerate(examples):
        own, own_right = deviations.system(examples[[number]], before[[number]], residual_mm[[number]])
        others = whole - own
        units = deviations.sampled_units(deviations.solved(others, whole_right - own_right))
        doubt = settings.doubt_floor_mm**2 + np.square(settings.shape_doubt * (before[number] @ motion))
        certain = np.repeat(np.sqrt(settings.samples / doubt), 3)
        rows = np.concatenate([units, example[None]]) * certain
        information = rows @ rows.T
        which, deviating = deviations.deviating(before[number])
        if len(which):
            deviating = deviating * certain
            others[np.ix_(which, which)] += deviating @ deviating.T
            across = np.zeros((len(others), len(rows)))
            across[which] = deviating @ rows.T
            information -= across.T @ cho_solve(deviations.factored(others), across)
        cost = prior.cost[number] * _HALF_COST / (_HALF_COST + before[number])
        linear = information[:-1, -1] + prior.linear[number] - cost
        matrix = information[:-1, :-1]
        out[number] = bounded_weights(0.5 * (matrix + matrix.T) + prior.precision[number], linear)
    return out
