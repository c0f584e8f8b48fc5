"""The least of a quadratic function within a box: projected Newton steps (Bertsekas 1982)."""

import numpy as np

from common.array_types import Bools, Floats

_STEPS = 60
_SHORTEST = 1e-6  # of a step's length that is still tried


def least_in_box(matrix: Floats, right: Floats, low: Floats, high: Floats, start: Floats) -> Floats:
    """(N,) the x within low..high for which x.matrix.x / 2 - right.x is least.

    matrix: (N, N) symmetric, positive definite.  low, high: (N,), infinite where free.  start: (N,) within them.
    """
    from scipy.linalg import cho_factor, cho_solve  # here: settings of fits are named by who does none yet

    x = start.clip(low, high)
    gradient = matrix @ x - right
    for _ in range(_STEPS):
        held: Bools = ((x <= low) & (gradient > 0)) | ((x >= high) & (gradient < 0))
        free = np.flatnonzero(~held)
        if not len(free) or np.abs(gradient[free]).max() <= 1e-10 * max(np.abs(right).max(), 1e-300):
            break
        step = np.zeros_like(x)
        step[free] = -cho_solve(cho_factor(matrix[np.ix_(free, free)]), gradient[free])
        x, moved = _along(matrix, right, (low, high), x, gradient, step)
        gradient = matrix @ x - right
        if not moved:
            break
    return x


def _along(
    matrix: Floats, right: Floats, box: tuple[Floats, Floats], x: Floats, gradient: Floats, step: Floats
) -> tuple[Floats, bool]:
    """The projected step, halved until the function falls enough (Armijo); and whether it went anywhere."""
    here = 0.5 * x @ matrix @ x - right @ x
    length = 1.0
    while length > _SHORTEST:
        there = (x + length * step).clip(*box)
        fallen = here - (0.5 * there @ matrix @ there - right @ there)
        if fallen >= 1e-4 * gradient @ (x - there) and fallen > 0:
            return there, bool(np.abs(there - x).max() > 1e-12)
        length *= 0.5
    return x, False
