"""The point nearest to many lines, against what must hold of it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processing.geometry.lines import distances_to_lines, meet_lines, normal_matrices

SEEDS = st.integers(0, 2**32 - 1)


def lines(rng: np.random.Generator, *shape: int) -> tuple[np.ndarray, np.ndarray]:
    rays = rng.normal(size=(*shape, 3))
    return rng.normal(0, 1000, (*shape, 3)), rays / np.linalg.norm(rays, axis=-1, keepdims=True)


@settings(deadline=None)
@given(SEEDS, st.integers(2, 12))
def test_lines_through_one_point_meet_there(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    point = rng.normal(0, 100, 3)
    _, rays = lines(rng, count)
    if np.linalg.eigvalsh(normal_matrices(rays))[0] < 1e-3:
        return
    centres = point - rng.uniform(500, 1500, (count, 1)) * rays
    np.testing.assert_allclose(meet_lines(centres, rays), point, atol=1e-6)
    np.testing.assert_allclose(distances_to_lines(point, centres, rays), 0, atol=1e-9)


@settings(deadline=None)
@given(SEEDS)
def test_no_point_nearby_has_less_squared_distance(seed: int) -> None:
    rng = np.random.default_rng(seed)
    centres, rays = lines(rng, 5)
    weights = rng.uniform(0.1, 1, 5)
    met = meet_lines(centres, rays, weights)
    cost = weights @ distances_to_lines(met, centres, rays) ** 2
    for away in rng.normal(0, 1, (10, 3)):
        assert weights @ distances_to_lines(met + away, centres, rays) ** 2 >= cost


@settings(deadline=None)
@given(SEEDS)
def test_many_at_once_are_as_one_at_a_time(seed: int) -> None:
    rng = np.random.default_rng(seed)
    centres, rays = lines(rng, 4, 6)
    weights = rng.uniform(0, 1, (4, 6))
    single = [meet_lines(c, r, w, ridge=1e-9) for c, r, w in zip(centres, rays, weights, strict=True)]
    np.testing.assert_array_equal(meet_lines(centres, rays, weights, ridge=1e-9), single)


def test_parallel_lines_meet_where_the_ridge_pulls() -> None:
    centres = np.array([[-1.0, 0, 0], [1, 0, 0]])
    rays = np.array([[0.0, 0, 1], [0, 0, 1]])
    with pytest.raises(np.linalg.LinAlgError):
        meet_lines(centres, rays)
    pulled = meet_lines(centres, rays, ridge=1e-9, toward=np.array([0.0, 0, 7]))
    np.testing.assert_allclose(pulled, [0, 0, 7], atol=1e-6)
    assert meet_lines(np.zeros((0, 2, 3)), np.zeros((0, 2, 3)), ridge=1e-9).shape == (0, 3)
