import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from processing.geometry.procrustes import Degenerate, Similarity, fit_motion, fit_motion_robust


def points(seed: int, count: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 60, (count, 3))


motions = st.builds(
    lambda angles, scale, shift: Similarity(scale, Rotation.from_rotvec(angles).as_matrix(), np.array(shift)),
    st.tuples(*[st.floats(-np.pi, np.pi)] * 3),
    st.floats(0.05, 20),
    st.tuples(*[st.floats(-1000, 1000)] * 3),
)


@settings(deadline=None, max_examples=60)
@given(motions, st.integers(0, 1000), st.integers(3, 40), st.booleans())
def test_any_motion_is_recovered(motion: Similarity, seed: int, count: int, weighted: bool) -> None:
    source = points(seed, count)
    weights = np.random.default_rng(seed).uniform(0.1, 5, count) if weighted else None
    found = fit_motion(source, motion(source), weights)
    assert np.abs(found(source) - motion(source)).max() < 1e-9 * max(1, motion.scale) * 100
    np.testing.assert_allclose(found.R, motion.R, atol=1e-9)
    np.testing.assert_allclose(found.scale, motion.scale, rtol=1e-9)


@settings(deadline=None, max_examples=20)
@given(motions, st.integers(0, 1000))
def test_points_in_a_plane_give_no_mirror(motion: Similarity, seed: int) -> None:
    flat = points(seed, 8) * [1, 1, 0]
    found = fit_motion(flat, motion(flat))
    assert np.linalg.det(found.R) == pytest.approx(1)
    np.testing.assert_allclose(found.R, motion.R, atol=1e-8)


def test_a_mirrored_set_gets_a_rotation_all_the_same() -> None:
    source = points(3, 20)
    assert np.linalg.det(fit_motion(source, source * [-1, 1, 1]).R) == pytest.approx(1)


def test_rigid_fit_keeps_the_size() -> None:
    source = points(4, 20)
    assert fit_motion(source, 3 * source, with_scale=False).scale == 1


def test_inverse_and_composition() -> None:
    source = points(5, 10)
    motion = Similarity(1.7, Rotation.from_rotvec([0.3, -1, 2]).as_matrix(), np.array([1.0, 2, 3]))
    np.testing.assert_allclose(motion.inverse()(motion(source)), source, atol=1e-10)
    np.testing.assert_allclose(motion.after(motion)(source), motion(motion(source)), atol=1e-9)


def test_robust_fit_ignores_a_third_of_wild_points() -> None:
    rng = np.random.default_rng(6)
    source = points(6, 60)
    motion = Similarity(1.1, Rotation.from_rotvec([0.1, 0.4, -0.2]).as_matrix(), np.array([5.0, -3, 8]))
    target = motion(source)
    target[:18] += rng.normal(0, 80, (18, 3))
    found = fit_motion_robust(source, target, noise_mm=0.5)
    assert np.abs(found(source) - motion(source)).max() < 0.2


@pytest.mark.parametrize("source", [np.zeros((2, 3)), np.outer(np.arange(5.0), [1, 2, 3]), np.ones((6, 3))])
def test_points_that_fix_no_motion_are_refused(source: np.ndarray) -> None:
    with pytest.raises(Degenerate):
        fit_motion(source, source)
