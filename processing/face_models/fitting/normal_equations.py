"""One Gauss-Newton step of a fit: identity shared by all scans, expression weights and pose of each."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from common.array_types import Bools, Floats
from processing.face_models.fitting.bounded_quadratic import least_in_box
from processing.face_models.fitting.face_state import POSE, FaceState, moved

INDEPENDENT_MM = 8.0  # residuals nearer to each other than this say the same
_ASKED_FOR = 0.2  # an expression weight of this size costs half of what its first step did
_HOLD = 1e-9  # of the diagonal: what holds an unknown that nothing says anything of


@dataclass(frozen=True)
class FitPrior:
    """What is believed before a scan is looked at, in units of the negative logarithm of a probability.

    Identity parameters are those of the study's members, normally distributed. Expression weights are mostly none:
    exponentially distributed, so that a weight stays at zero unless the scan asks for it, and reweighted, so that one
    that is asked for is not drawn back (Candes, Wakin and Boyd 2008).
    """

    identity: float = 1.0  # weight of the squared deviations from the members' mean
    rest: float = 12.0  # weight of the sum of the expression weights
    spread: float = 2.0  # weight of their squares
    symmetry: float = 0.0  # weight of the squared difference between a unit's left and right
    scale: bool = False  # whether the scan's unit is unknown, and its scale part of the fit
    expression: bool = True  # whether expression weights are part of it


MEMBERS = FitPrior()


class FittedState(Protocol):
    """One identity in S scans or photographs, wherever the head is in them."""

    @property
    def scores(self) -> Floats:
        """(n,) deviations from the members' mean."""

    @property
    def weights(self) -> Floats:
        """(S, U) in 0..1."""

    @property
    def scans(self) -> int:
        """S."""


@dataclass(frozen=True, eq=False)
class Increments:
    """What to add to a state."""

    scores: Floats  # (n,)
    weights: Floats  # (S, U)
    poses: Floats  # (S, 7)


class StepEquations:
    """The quadratic model of a fit's energy around one state: scores, then weights and seven of the pose for each scan.

    settled: which weights are asked for is known; they are no longer drawn back.
    """

    def __init__(self, state: FittedState, prior: FitPrior, units: tuple[str, ...], *, settled: bool = False) -> None:
        self._state, self._prior = state, prior
        self._n = len(state.scores)
        self._each = len(units) + POSE
        held = prior.spread * np.eye(len(units)) + prior.symmetry * _sides(units)
        size = self._n + state.scans * self._each
        self.matrix, self.pull = np.zeros((size, size)), np.zeros(size)
        self.matrix[np.arange(self._n), np.arange(self._n)] = prior.identity
        self.pull[: self._n] = -prior.identity * state.scores
        for scan in range(state.scans):
            at = self._weights(scan)
            self.matrix[at, at] += held
            cost = prior.rest / (1 + state.weights[scan] / _ASKED_FOR) if settled else prior.rest
            self.pull[at] -= cost + held @ state.weights[scan]

    def _weights(self, scan: int) -> slice:
        start = self._n + scan * self._each
        return slice(start, start + self._each - POSE)

    def add(self, scan: int, change: Floats, residual: Floats, weight: Floats) -> None:
        """Equations of a scan: the sum of weight (M,) x (residual (M,) + change (M, n + U + 7) . step)^2 / 2."""
        weighted = change * weight[:, None]
        square, right = weighted.T @ change, -weighted.T @ residual
        n, start = self._n, self._n + scan * self._each
        own = slice(start, start + self._each)
        self.matrix[:n, :n] += square[:n, :n]
        self.matrix[own, own] += square[n:, n:]
        self.matrix[:n, own] += square[:n, n:]
        self.matrix[own, :n] += square[n:, :n]
        self.pull[:n] += right[:n]
        self.pull[own] += right[n:]

    def increments(self, damping: float = 0.0, free: Sequence[bool] | None = None) -> Increments:
        """The step to what the quadratic model likes best, weights within 0..1.

        damping: share of the diagonal that is added to it (Marquardt 1963).  free: whether each scan's last unknown of
        the pose is one; without, by the prior's `scale`.
        """
        state, n = self._state, self._n
        low, high = np.full(len(self.pull), -np.inf), np.full(len(self.pull), np.inf)
        for scan in range(state.scans):
            at = self._weights(scan)
            low[at], high[at] = -state.weights[scan], 1 - state.weights[scan]
        kept = np.flatnonzero(self._used(free))
        matrix = self.matrix[np.ix_(kept, kept)]
        matrix[np.diag_indices(len(kept))] *= 1 + _HOLD + damping
        matrix[np.diag_indices(len(kept))] += _HOLD
        step = np.zeros(len(self.pull))
        step[kept] = least_in_box(matrix, self.pull[kept], low[kept], high[kept], np.zeros(len(kept)))
        each = step[n:].reshape(state.scans, self._each)
        return Increments(step[:n], each[:, :-POSE], each[:, -POSE:])

    def _used(self, free: Sequence[bool] | None) -> Bools:
        """Which unknowns are part of the fit."""
        used = np.ones(len(self.pull), dtype=np.bool_)
        for scan in range(self._state.scans):
            at = self._weights(scan)
            used[at] = self._prior.expression
            used[at.stop + POSE - 1] = self._prior.scale if free is None else free[scan]
        return used

    def score_covariance(self, free: Sequence[bool] | None = None) -> Floats:
        """(n, n) of the scores given the scans (Laplace's approximation): identity matrix where they say nothing."""
        return self.covariance(free)[: self._n, : self._n]

    def covariance(self, free: Sequence[bool] | None = None) -> Floats:
        """(M, M) of all unknowns; zero of those that are not part of the fit, and of weights at zero."""
        kept = self._used(free)
        for scan in range(self._state.scans):
            kept[self._weights(scan)] &= self._state.weights[scan] > 0
        index = np.flatnonzero(kept)
        matrix = self.matrix[np.ix_(index, index)]
        whole = np.zeros_like(self.matrix)
        whole[np.ix_(index, index)] = np.linalg.inv(matrix + _HOLD * np.eye(len(index)))
        return whole


class NormalEquations(StepEquations):
    """The equations of a fit to scans."""

    def __init__(self, state: FaceState, prior: FitPrior, units: tuple[str, ...], *, settled: bool = False) -> None:
        super().__init__(state, prior, units, settled=settled)
        self._face = state

    def step(self) -> FaceState:
        """The state that the quadratic model likes best, weights within 0..1."""
        state, more = self._face, self.increments()
        motions = tuple(moved(motion, step) for motion, step in zip(state.motions, more.poses, strict=True))
        return FaceState(state.scores + more.scores, (state.weights + more.weights).clip(0, 1), motions)


def _sides(units: tuple[str, ...]) -> Floats:
    """(U, U): weights.matrix.weights is the sum of the squared differences between left and right."""
    matrix = np.zeros((len(units), len(units)))
    for left, name in enumerate(units):
        other = name.removesuffix("Left") + "Right"
        if name.endswith("Left") and other in units:
            right = units.index(other)
            matrix[[left, right], [left, right]] += 1
            matrix[[left, right], [right, left]] -= 1
    return matrix
