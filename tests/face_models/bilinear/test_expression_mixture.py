"""The expression mixture: known clusters are found, it is repeatable and bounded, and few takes are no trouble."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from processing.face_models.bilinear.expression_mixture import LEAST_SPREAD, expression_mixture


def clusters(rng: np.random.Generator, units: int = 6) -> tuple[np.ndarray, np.ndarray]:
    centres = np.array([[0.1] * units, [0.8] * units, [0.1] * (units // 2) + [0.9] * (units - units // 2)])
    return centres, np.concatenate([c + 0.03 * rng.standard_normal((60, units)) for c in centres])


@given(seed=st.integers(0, 1000))
def test_known_clusters_are_found(seed: int) -> None:
    centres, weights = clusters(np.random.default_rng(seed))
    mixture = expression_mixture(weights, 3)
    assert mixture is not None
    away = np.abs(mixture.means[:, None] - centres).max(axis=2).min(axis=0)
    # From an unlucky start two clusters may share a part: then the third has two parts.
    assert (away < 0.03).sum() >= 1
    one = expression_mixture(weights, 1)
    assert one is not None
    assert mixture.log_density(weights).mean() >= one.log_density(weights).mean()


def test_three_clusters_are_three_parts() -> None:
    centres, weights = clusters(np.random.default_rng(0))
    mixture = expression_mixture(weights, 3)
    assert mixture is not None
    order = [int(np.abs(mixture.means - c).max(axis=1).argmin()) for c in centres]
    assert sorted(order) == [0, 1, 2]
    assert np.allclose(mixture.weights, 1 / 3, atol=0.01)
    assert np.allclose(mixture.means[order], centres, atol=0.02)


def test_the_same_takes_give_the_same_mixture() -> None:
    _, weights = clusters(np.random.default_rng(1))
    one, other = expression_mixture(weights, 3, seed=4), expression_mixture(weights, 3, seed=4)
    assert one is not None
    assert other is not None
    assert np.array_equal(one.covariances, other.covariances)


@given(takes=st.integers(0, 80), parts=st.integers(1, 8), units=st.integers(1, 20), same=st.booleans())
def test_any_number_of_takes_gives_a_proper_mixture_or_none(takes: int, parts: int, units: int, same: bool) -> None:
    rng = np.random.default_rng(takes)
    weights = np.tile(rng.uniform(0, 1, units), (takes, 1)) if same else rng.uniform(0, 1, (takes, units))
    mixture = expression_mixture(weights, parts)
    if takes < 10:
        assert mixture is None
    else:
        assert mixture is not None
        assert len(mixture.weights) <= min(parts, takes // 10)
        assert (np.linalg.eigvalsh(mixture.covariances) >= 0.9 * LEAST_SPREAD**2).all()
        assert ((mixture.sample(np.random.default_rng(0)) >= 0) & (mixture.sample(np.random.default_rng(1)) <= 1)).all()


def test_its_density_is_that_of_the_gaussians() -> None:
    stats = pytest.importorskip("scipy.stats")
    _, weights = clusters(np.random.default_rng(2))
    mixture = expression_mixture(weights, 2)
    assert mixture is not None
    at = weights[:5]
    wanted = sum(
        w * stats.multivariate_normal(m, c).pdf(at)
        for w, m, c in zip(mixture.weights, mixture.means, mixture.covariances, strict=True)
    )
    assert np.allclose(mixture.log_density(at), np.log(wanted))
