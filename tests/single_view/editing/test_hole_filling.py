import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from processing.single_view.editing.hole_filling import extended


@given(st.integers(6, 40), st.integers(6, 40), st.integers(0, 2**31), st.floats(0.05, 0.9))
@settings(max_examples=25, deadline=None)
def test_known_pixels_stay_and_the_others_lie_between(height: int, width: int, seed: int, share: float) -> None:
    rng = np.random.default_rng(seed)
    values = rng.normal(0, 10, (height, width, 2)).astype(np.float32)
    known = rng.uniform(size=(height, width)) < share
    known[0, 0] = True
    filled = extended(values, known)
    assert np.array_equal(filled[known], values[known])
    for k in range(2):
        low, high = values[known][:, k].min(), values[known][:, k].max()
        assert filled[..., k].min() >= low - 1e-3
        assert filled[..., k].max() <= high + 1e-3


def test_between_two_sides_it_is_a_slope() -> None:
    values = np.zeros((40, 60), np.float32)
    values[:, -1] = 1.0
    known = np.zeros(values.shape, np.bool_)
    known[:, [0, -1]] = True
    np.testing.assert_allclose(extended(values, known), np.broadcast_to(np.linspace(0, 1, 60), (40, 60)), atol=0.06)


def test_nothing_known_is_nothing() -> None:
    assert not extended(np.ones((5, 5), np.float32), np.zeros((5, 5), np.bool_)).any()
