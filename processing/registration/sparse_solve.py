"""Sparse symmetric positive definite systems: one factor, many right-hand sides."""

import cholespy
import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from processing.errors import DataError, ShapeError

Floats = NDArray[np.float64]
Ints = NDArray[np.int32]


class NotPositive(DataError):
    """The system has no unique solution: part of the mesh is held by nothing."""


class Factor:
    """The Cholesky factor of a sparse symmetric positive definite matrix, in double precision."""

    def __init__(self, matrix: sparse.sparray) -> None:
        csc = sparse.csc_array(matrix)
        if csc.shape[0] != csc.shape[1]:
            raise ShapeError("matrix", tuple(csc.shape), "square")
        if not np.isfinite(csc.data).all() or not (csc.diagonal() > 0).all():
            raise NotPositive("the smoothness system is singular: a vertex is held by nothing")
        csc.sort_indices()
        self.size = int(csc.shape[0])
        self._solver = cholespy.CholeskySolverD(
            self.size,
            csc.indptr.astype(np.int32),
            csc.indices.astype(np.int32),
            np.ascontiguousarray(csc.data, dtype=np.float64),
            cholespy.MatrixType.CSC,
        )

    def solve(self, right: Floats) -> Floats:
        """(N,) or (N, K) -> the same shape."""
        if right.shape[0] != self.size:
            raise ShapeError("right-hand side", right.shape, f"({self.size}, ...)")
        wanted = np.ascontiguousarray(right, dtype=np.float64)
        solution = np.zeros_like(wanted)
        self._solver.solve(wanted, solution)
        if not np.isfinite(solution).all():
            raise NotPositive("the smoothness system could not be solved: part of the mesh is held by nothing")
        return solution


def graph_laplacian(edges: Ints, count: int, weights: Floats | None = None) -> sparse.csr_array:
    """(V, V) with the edges' weights (default 1): x^T L x = sum over edges w |x_i - x_j|^2."""
    w = np.ones(len(edges)) if weights is None else weights
    i, j = edges[:, 0], edges[:, 1]
    rows, columns = np.r_[i, j, i, j], np.r_[j, i, i, j]
    return sparse.csr_array((np.r_[-w, -w, w, w], (rows, columns)), shape=(count, count))
