"""Sparse factors solve what they are made of, again and again, and say when nothing holds a vertex."""

import numpy as np
import pytest
from scipy import sparse

from processing.errors import ShapeError
from processing.geometry.sparse_cholesky import Factor, NotPositive, SmoothField, factored, graph_laplacian


def grid_laplacian(side: int = 12) -> sparse.csr_array:
    at = np.arange(side * side).reshape(side, side)
    right, down = np.stack([at[:, :-1], at[:, 1:]], -1), np.stack([at[:-1], at[1:]], -1)
    return graph_laplacian(np.concatenate([right.reshape(-1, 2), down.reshape(-1, 2)]).astype(np.int32), side * side)


@pytest.mark.parametrize("columns", [None, 1, 3])
def test_a_factor_solves_its_matrix_and_those_that_follow(columns: int | None) -> None:
    rng = np.random.default_rng(1)
    laplacian = grid_laplacian()
    factor: Factor | None = None
    for _ in range(3):
        matrix = sparse.diags_array(rng.random(144) + 0.1) + rng.random() * laplacian
        right = rng.normal(size=144 if columns is None else (144, columns))
        factor = factored(matrix, factor)
        np.testing.assert_allclose(matrix @ factor.solve(right), right, atol=1e-9)


def test_another_pattern_is_analysed_anew() -> None:
    first = sparse.eye_array(144) + grid_laplacian()
    other = sparse.csr_array(2.0 * sparse.eye_array(144))
    right = np.arange(144.0)
    factor = Factor(first).refactor(other)
    np.testing.assert_allclose(factor.solve(right), right / 2)
    np.testing.assert_allclose(first @ factor.refactor(first).solve(right), right, atol=1e-9)


def test_a_smooth_field_goes_through_what_is_wanted_and_between() -> None:
    field = SmoothField(grid_laplacian())
    weight, wanted = np.zeros(144), np.zeros((144, 2))
    weight[[0, 143]], wanted[143] = 1e6, (1.0, -2.0)
    for smoothness in (1.0, 0.1):
        found = field(weight, wanted, smoothness=smoothness, hold=1e-9)
        np.testing.assert_allclose(found[[0, 143]], wanted[[0, 143]], atol=1e-3)
        middle = found.reshape(12, 12, 2)[np.arange(12), 11 - np.arange(12)].mean(axis=0)
        np.testing.assert_allclose(middle, (0.5, -1.0), atol=1e-3)


def test_what_nothing_holds_is_told() -> None:
    with pytest.raises(NotPositive, match="held by nothing"):
        Factor(sparse.diags_array(np.array([1.0, 0.0, 1.0])))
    with pytest.raises(NotPositive):
        Factor(grid_laplacian()).solve(np.ones(144))
    with pytest.raises(ShapeError, match="right-hand side"):
        Factor(sparse.eye_array(3)).solve(np.ones(4))
