"""Straight lines in space (optical axes, rays of pixels) and the points where they meet nearest.

A line is a point on it, `centre`, and a unit direction, `ray`. The projector I - r r^T takes from a vector what runs
along the line, so that its length is the distance to it; the point nearest to many lines in the sense of least squares
solves their normal equations (Slabaugh, Schafer and Livingston 2001).
"""

import numpy as np

from common.array_types import Floats


def normal_matrices(rays: Floats, weights: Floats | None = None) -> Floats:
    """(..., N, 3) unit directions of N lines -> (..., 3, 3) sum of their projectors, the matrix of `meet_lines`.

    weights: (..., N), default 1. Its least eigenvalue tells how well the lines fix a point: 0 where they are parallel.
    """
    return np.asarray(_weighted(_projectors(rays), weights).sum(axis=-3))


def meet_lines(
    centres: Floats,
    rays: Floats,
    weights: Floats | None = None,
    *,
    ridge: float = 0.0,
    toward: Floats | None = None,
) -> Floats:
    """The point (..., 3) of least weighted squared distances to N lines.

    centres: (..., N, 3) mm.  rays: (..., N, 3) unit.  weights: (..., N), default 1.  ridge: weight of the pull `toward`
    a point (3,) (the origin by default), which keeps parallel lines solvable; 0 raises LinAlgError for them.
    """
    projectors = _weighted(_projectors(rays), weights)
    matrix = projectors.sum(axis=-3)
    right = (projectors @ centres[..., None])[..., 0].sum(axis=-2)
    if ridge:
        matrix = matrix + ridge * np.eye(3)
        right = right if toward is None else right + ridge * toward
    return np.asarray(np.linalg.solve(matrix, right[..., None])[..., 0])


def distances_to_lines(point: Floats, centres: Floats, rays: Floats) -> Floats:
    """(N,) distances of a point (3,) from the lines through centres (N, 3) along unit rays (N, 3)."""
    return np.asarray(np.linalg.norm((_projectors(rays) @ (point - centres)[:, :, None])[:, :, 0], axis=1))


def _projectors(rays: Floats) -> Floats:
    """(..., 3) unit -> (..., 3, 3) I - r r^T."""
    return np.asarray(np.eye(3) - rays[..., :, None] * rays[..., None, :])


def _weighted(projectors: Floats, weights: Floats | None) -> Floats:
    return projectors if weights is None else weights[..., None, None] * projectors
