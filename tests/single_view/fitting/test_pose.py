"""The camera of a photograph: its derivatives are those of what is seen, its unknowns mean what is said of them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from common.array_types import Floats
from processing.single_view.fitting.pose import POSE, PhotoPose, model_rows, pixel_rows, turn_rows

POINTS = np.random.default_rng(0).normal(0, 60, (20, 3))


def a_pose(seed: int, distance_mm: float = 800.0) -> PhotoPose:
    rng = np.random.default_rng(seed)
    place = np.r_[rng.normal(0, 40, 2), distance_mm]
    pivot = rng.normal(0, 20, 3)
    return PhotoPose(
        Rotation.random(random_state=seed).as_matrix(),
        place,
        1.3 * distance_mm,
        pivot,
        np.array([200.0, 150]),
        (401, 301),
    )


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), distance=st.floats(300, 3000))
def test_rows_are_the_derivatives_of_what_is_seen(seed: int, distance: float) -> None:
    pose = a_pose(seed, distance)
    change = np.zeros((len(POINTS), 3, 0))
    rows = pixel_rows(pose, pose.to_camera(POINTS), model_rows(pose, POINTS, change))
    for column in range(POSE):
        step = np.zeros(POSE)
        step[column] = 1e-5
        numeric = (pose.moved(step).seen(POINTS) - pose.moved(-step).seen(POINTS)) / 2e-5
        np.testing.assert_allclose(rows[:, :, column], numeric, rtol=1e-5, atol=1e-4)


def test_rows_of_shapes_are_turned_and_projected() -> None:
    pose, rng = a_pose(3), np.random.default_rng(1)
    change = rng.normal(0, 1, (len(POINTS), 3, 4))
    rows = pixel_rows(pose, pose.to_camera(POINTS), model_rows(pose, POINTS, change))
    for column in range(4):
        ahead, back = POINTS + 1e-4 * change[..., column], POINTS - 1e-4 * change[..., column]
        np.testing.assert_allclose(rows[:, :, column], (pose.seen(ahead) - pose.seen(back)) / 2e-4, atol=1e-5)


def test_directions_turn_with_the_head() -> None:
    pose = a_pose(5)
    normals = POINTS / np.linalg.norm(POINTS, axis=1, keepdims=True)
    rows = turn_rows(normals @ pose.R.T)
    for column in range(POSE):
        step = np.zeros(POSE)
        step[column] = 1e-5
        numeric = (normals @ pose.moved(step).R.T - normals @ pose.moved(-step).R.T) / 2e-5
        np.testing.assert_allclose(rows[:, :, column], numeric, atol=1e-6)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 1000), step=st.floats(-1, 1))
def test_the_focal_length_leaves_the_size_and_the_size_the_perspective(seed: int, step: float) -> None:
    pose, by = a_pose(seed), np.zeros(POSE)
    by[6] = step
    moved = pose.moved(by)
    assert moved.px_per_mm == pytest.approx(pose.px_per_mm)
    assert moved.focal_px == pytest.approx(pose.focal_px * np.exp(step))
    by[5], by[6] = step, 0
    moved = pose.moved(by)
    assert moved.px_per_mm == pytest.approx(pose.px_per_mm * np.exp(step))
    assert moved.focal_px == pose.focal_px


def test_the_camera_sees_the_same() -> None:
    for seed in range(3):
        pose = a_pose(seed)
        camera = pose.camera("a")
        np.testing.assert_allclose(camera.project(POINTS), pose.seen(POINTS), atol=1e-9)
        again = PhotoPose.of_camera(camera, pose.pivot_mm)
        np.testing.assert_allclose(again.seen(POINTS), pose.seen(POINTS), atol=1e-9)


def test_far_away_there_is_no_perspective() -> None:
    """Weak perspective is a camera far off: depth no longer moves what is seen."""
    pose: PhotoPose = a_pose(1, 1e6)
    deeper: Floats = POINTS + 50 * pose.R[2]
    assert np.abs(pose.seen(deeper) - pose.seen(POINTS)).max() < 0.02
