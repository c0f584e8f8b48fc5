"""Rotations: what SciPy gives and what stands beside it, against the formulas that define them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import expm
from scipy.spatial.transform import Rotation

from processing.files.colmap import read_colmap, write_colmap
from processing.geometry.cameras import Camera
from processing.geometry.rotations import left_jacobian, rotation_angle_deg, skew_matrix

SEEDS = st.integers(0, 2**32 - 1)


def vectors(seed: int, least: float, most: float, count: int = 20) -> np.ndarray:
    """Rotation vectors of any direction, their angles spread over the powers of ten."""
    rng = np.random.default_rng(seed)
    axes = rng.normal(size=(count, 3))
    angles = 10 ** rng.uniform(np.log10(least), np.log10(most), (count, 1))
    return np.asarray(axes / np.linalg.norm(axes, axis=1, keepdims=True) * angles)


@settings(deadline=None)
@given(SEEDS)
def test_rotation_vectors_are_exponentials_of_their_skew_matrix(seed: int) -> None:
    v = vectors(seed, 1e-9, np.pi)
    np.testing.assert_allclose(Rotation.from_rotvec(v).as_matrix(), expm(skew_matrix(v)), atol=1e-12)


@settings(deadline=None)
@given(SEEDS)
def test_angles_small_and_large_are_told_exactly(seed: int) -> None:
    v = vectors(seed, 1e-9, 3.1)
    R = Rotation.random(len(v), rng=np.random.default_rng(seed)).as_matrix()
    told = rotation_angle_deg(R, Rotation.from_rotvec(v).as_matrix() @ R)
    np.testing.assert_allclose(told, np.degrees(np.linalg.norm(v, axis=1)), atol=1e-12)
    np.testing.assert_allclose(told, rotation_angle_deg(R[0], Rotation.from_rotvec(v).as_matrix() @ R[0]), atol=1e-12)


@settings(deadline=None)
@given(SEEDS)
def test_the_left_jacobian_is_the_derivative_of_the_exponential(seed: int) -> None:
    v = vectors(seed, 1e-6, 3.0)
    d = vectors(seed + 1, 1e-7, 1e-6)
    moved = Rotation.from_rotvec(np.einsum("nij,nj->ni", left_jacobian(v), d)) * Rotation.from_rotvec(v)
    np.testing.assert_allclose(Rotation.from_rotvec(v + d).as_matrix(), moved.as_matrix(), atol=1e-11)


def of_quaternion(w: float, x: float, y: float, z: float) -> np.ndarray:
    """COLMAP's own formula (Eigen's, of a unit quaternion)."""
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )


@settings(max_examples=10, deadline=None)
@given(seed=SEEDS)
def test_colmap_quaternions_are_those_of_the_rotation(tmp_path_factory: pytest.TempPathFactory, seed: int) -> None:
    folder = tmp_path_factory.mktemp("model")
    K = np.array([[1000.0, 0, 320], [0, 1000, 240], [0, 0, 1]])
    R = Rotation.random(8, rng=np.random.default_rng(seed)).as_matrix()
    write_colmap(folder, {i: Camera(K, r, np.zeros(3), 640, 480, name=str(i)) for i, r in enumerate(R)})
    lines = [line.split() for line in (folder / "images.txt").read_text().splitlines() if line and line[0] != "#"]
    read, _ = read_colmap(folder)
    for i, line in enumerate(lines):
        w, x, y, z = map(float, line[1:5])
        assert w >= 0
        np.testing.assert_allclose(of_quaternion(w, x, y, z), R[i], atol=1e-12)
        np.testing.assert_allclose(read[i].R, R[i], atol=1e-12)
