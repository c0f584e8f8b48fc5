"""Sparse symmetric positive definite systems: one factor for many right-hand sides, one analysis for many factors."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import qdldl
from scipy import sparse

from common.array_types import Floats, Ints32
from processing.errors import DataError, ShapeError

SINGULAR_GROWTH = 1e14  # a solution so many times beyond its right-hand side is rounding, divided by nothing
SINGULAR = "the smoothness system is singular: a vertex is held by nothing"


class NotPositive(DataError):
    """The system has no unique solution: part of the mesh is held by nothing."""


class Factor:
    """The LDL^T factor of a sparse symmetric positive definite matrix, in double precision (QDLDL, ordered by AMD)."""

    _upper: sparse.csc_matrix
    _solver: Any

    def __init__(self, matrix: sparse.sparray) -> None:
        self._analyse(_upper_half(matrix))

    def refactor(self, matrix: sparse.sparray) -> "Factor":
        """Become the factor of another matrix; ordering and fill stay where the non-zeros have the same places."""
        upper, last = _upper_half(matrix), self._upper
        if np.array_equal(upper.indptr, last.indptr) and np.array_equal(upper.indices, last.indices):
            self._upper = upper
            with _singular_named():
                self._solver.update(upper, upper=True)
        else:
            self._analyse(upper)
        return self

    def _analyse(self, upper: sparse.csc_matrix) -> None:
        self._upper, self.size = upper, int(upper.shape[0])
        with _singular_named():
            self._solver = qdldl.Solver(upper, upper=True)

    def solve(self, right: Floats) -> Floats:
        """(N,) or (N, K) -> the same shape."""
        if right.shape[0] != self.size:
            raise ShapeError("right-hand side", right.shape, f"({self.size}, ...)")
        columns = np.asarray(right, dtype=np.float64).reshape(self.size, -1)
        solution = np.empty_like(columns)
        for k in range(columns.shape[1]):
            solution[:, k] = self._solver.solve(np.ascontiguousarray(columns[:, k]))
        most = SINGULAR_GROWTH * float(np.abs(columns).max(initial=0.0))
        if not float(np.abs(self._upper.data).max()) * float(np.abs(solution).max(initial=0.0)) <= most:
            raise NotPositive("the smoothness system could not be solved: part of the mesh is held by nothing")
        return solution.reshape(right.shape)


def factored(matrix: sparse.sparray, earlier: Factor | None) -> Factor:
    """The factor of a matrix that may follow another with non-zeros at the same places (see `Factor.refactor`)."""
    return Factor(matrix) if earlier is None else earlier.refactor(matrix)


class SmoothField:
    """Values over a graph that are near what is wanted where that has weight, and smooth; solved for time and again."""

    def __init__(self, laplacian: sparse.csr_array) -> None:
        self._laplacian = laplacian
        self._factor: Factor | None = None

    def __call__(self, weight: Floats, wanted: Floats, *, smoothness: float, hold: float | Floats) -> Floats:
        """The x, shaped as wanted (V,) or (V, K), of least sum w |x - wanted|^2 + hold |x|^2 + smoothness x^T L x.

        weight: (V,).  hold: what keeps x small where nothing is wanted; above 0.
        """
        self._factor = factored(sparse.diags_array(weight + hold) + smoothness * self._laplacian, self._factor)
        return self._factor.solve((weight * wanted.T).T)


@contextmanager
def _singular_named() -> Iterator[None]:
    """What QDLDL raises for a zero pivot, by its meaning."""
    try:
        yield
    except (RuntimeError, ValueError) as error:
        raise NotPositive(SINGULAR) from error


def _upper_half(matrix: sparse.sparray) -> sparse.csc_matrix:
    """The upper triangle, as QDLDL wants it. Raises ShapeError and NotPositive."""
    if matrix.shape[0] != matrix.shape[1]:
        raise ShapeError("matrix", tuple(matrix.shape), "square")
    upper = sparse.csc_matrix(sparse.triu(matrix, format="csc"))
    upper.sort_indices()
    if not np.isfinite(upper.data).all() or not (upper.diagonal() > 0).all():
        raise NotPositive(SINGULAR)
    return upper


def graph_laplacian(edges: Ints32, count: int, weights: Floats | None = None) -> sparse.csr_array:
    """(V, V) with the edges' weights (default 1): x^T L x = sum over edges w |x_i - x_j|^2."""
    w = np.ones(len(edges)) if weights is None else weights
    i, j = edges[:, 0], edges[:, 1]
    rows, columns = np.r_[i, j, i, j], np.r_[j, i, i, j]
    return sparse.csr_array((np.r_[-w, -w, w, w], (rows, columns)), shape=(count, count))
