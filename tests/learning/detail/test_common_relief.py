"""What faces have in common is found again where it is known, whatever each person's own pores are."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processing.errors import ShapeError
from processing.learning.detail.common_relief import BASIS, CommonRelief, CommonReliefFit, squeeze_basis

SIZE = 12


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 1000))
def test_a_known_law_is_found_beside_pores(seed: int) -> None:
    rng = np.random.default_rng(seed)
    slopes = rng.normal(0, 0.2, (BASIS, SIZE, SIZE)).astype(np.float32)
    fit = CommonReliefFit(SIZE)
    rests = rng.normal(0.1, 0.05, (40, SIZE, SIZE)).astype(np.float32)  # pores: nobody's are another's
    for rest in rests:
        fit.add_rest(rest, np.ones((SIZE, SIZE), np.bool_))
        for _ in range(6):
            area = rng.uniform(-0.6, 0.5, (SIZE, SIZE)).astype(np.float32)
            height = rest + (slopes * squeeze_basis(area)).sum(axis=0)
            valid = rng.random((SIZE, SIZE)) < 0.9
            fit.add(np.where(valid, height, 77.0).astype(np.float32), rest, valid, area)
    found = fit.solve()
    assert np.abs(found.slopes - slopes).mean() < 0.02
    np.testing.assert_allclose(found.rest, rests.mean(axis=0), atol=1e-5)
    assert found.valid.all()


def test_at_rest_nothing_is_added_and_windows_are_parts_of_the_whole() -> None:
    rng = np.random.default_rng(1)
    rest = rng.normal(size=(SIZE, SIZE)).astype(np.float32)
    relief = CommonRelief(rest, rng.normal(size=(BASIS, SIZE, SIZE)).astype(np.float32), rest > 0)
    np.testing.assert_array_equal(relief.of(np.zeros((SIZE, SIZE), np.float32)), np.stack([rest, 0 * rest]))
    area = rng.uniform(-0.5, 0.5, (SIZE, SIZE)).astype(np.float32)
    np.testing.assert_array_equal(relief.of(area[3:8, 2:9], 3, 2), relief.of(area)[:, 3:8, 2:9])
    with pytest.raises(ShapeError):
        CommonRelief(rest, np.zeros((BASIS, 3, 3), np.float32), rest > 0)


@given(st.floats(-1.5, 1.5))
def test_the_basis_is_within_nothing_and_one(area: float) -> None:
    basis = squeeze_basis(np.full((1, 1), area, np.float32))
    assert (basis >= 0).all()
    assert (basis <= 1).all()
    assert not (basis[:-1].any() and basis[-1].any())  # squeezed or stretched
