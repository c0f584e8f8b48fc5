"""The examples' weights: bounded least squares with a prior, each place counted by how sure its shapes are."""

import numpy as np
from scipy.linalg import solve_triangular
from scipy.optimize import lsq_linear

from common.array_types import Floats
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
    examples: Floats, units: Floats, share: Floats, before: Floats, prior: WeightPrior, settings: RigSettings
) -> Floats:
    """(E, U) the likeliest weights.

    examples: (E, n, 3) mm at sampled places.  units: (U, n, 3).  share: (n,) of the whole, each place's.
    before: (E, U) the weights of the round before: where these move much, the shapes are in doubt, and where they move
    nothing, what comes along is plain to see.
    """
    motion = np.linalg.norm(units, axis=2)
    out = np.empty_like(before)
    for number, example in enumerate(examples):
        doubt = settings.doubt_floor_mm**2 + np.square(settings.shape_doubt * (before[number] @ motion))
        root = np.sqrt(settings.samples * share / doubt)[:, None]
        rows = (units * root).reshape(len(units), -1)
        cost = prior.cost[number] * _HALF_COST / (_HALF_COST + before[number])
        linear = rows @ (example * root).ravel() + prior.linear[number] - cost
        out[number] = bounded_weights(rows @ rows.T + prior.precision[number], linear)
    return out
