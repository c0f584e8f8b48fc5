"""A pose is recovered from points that others know, whatever the motion, with outliers."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from processing.camera_check.pose_refinement import fit_pose, simplest_motion
from processing.geometry.cameras import Camera
from processing.geometry.rotations import rotation_angle_deg
from processing.synthetic.studio_rig import studio_rig

CAMERA = studio_rig(12, 400, 600)[2].pinhole()


def points(count: int = 200, seed: int = 0) -> np.ndarray:
    """A face's depth relief and size."""
    rng = np.random.default_rng(seed)
    flat = rng.uniform(-70, 70, (count, 2))
    return np.c_[flat, 60 - (flat**2).sum(axis=1) / 120 + rng.normal(0, 5, count)]


def moved(camera: Camera, turn_deg: np.ndarray, shift_mm: np.ndarray) -> Camera:
    R = Rotation.from_rotvec(np.radians(turn_deg)).as_matrix()
    return replace(camera, R=R @ camera.R, t=R @ camera.t + shift_mm)


@settings(max_examples=25, deadline=None)
@given(
    turn=st.tuples(*[st.floats(-1, 1)] * 3),
    shift=st.tuples(*[st.floats(-3, 3)] * 3),
    outliers=st.integers(0, 50),
)
def test_a_motion_is_recovered_in_the_picture(turn: tuple[float, ...], shift: tuple[float, ...], outliers: int) -> None:
    true = moved(CAMERA, np.array(turn), np.array(shift))
    p, rng = points(), np.random.default_rng(1)
    observed = true.project(p) + rng.normal(0, 0.1, (len(p), 2))
    observed[:outliers] += rng.uniform(-40, 40, (outliers, 2))
    fit = fit_pose(CAMERA, p, observed)
    off = np.linalg.norm(fit.camera.project(p) - true.project(p), axis=1)
    assert np.median(off) < 0.1
    assert fit.view_px == pytest.approx(
        np.median(np.linalg.norm(true.project(p) - CAMERA.project(p), axis=1)), abs=0.15
    )


@pytest.mark.parametrize("axis", [(1, 0, 0), (0, 1, 0), (0, 0, 1)])
def test_a_turn_alone_is_told_as_a_turn(axis: tuple[int, int, int]) -> None:
    true = moved(CAMERA, 0.3 * np.array(axis), np.zeros(3))
    p = points()
    observed = true.project(p) + np.random.default_rng(2).normal(0, 0.1, (len(p), 2))
    fit, _ = simplest_motion(CAMERA, p, observed)
    assert fit.model == "turn"
    assert fit.turn_deg == pytest.approx(0.3, abs=0.02)
    assert float(rotation_angle_deg(fit.camera.R, true.R)) < 0.02


def test_a_small_turn_and_a_small_shift_across_look_alike_and_both_are_said() -> None:
    true = moved(CAMERA, np.array([0.0, 0.05, 0.0]), np.zeros(3))
    p = points()
    observed = true.project(p) + np.random.default_rng(3).normal(0, 0.3, (len(p), 2))
    fit, other = simplest_motion(CAMERA, p, observed)
    assert other is not None
    assert {fit.model, other.model} == {"turn", "shift"}


def test_a_camera_that_stands_where_it_should_has_not_moved() -> None:
    p = points()
    observed = CAMERA.project(p) + np.random.default_rng(4).normal(0, 0.15, (len(p), 2))
    fit = fit_pose(CAMERA, p, observed)
    assert fit.view_px < 0.1
    assert abs(fit.roll_deg) < 5 * fit.roll_sd
    assert abs(fit.along_mm) < 5 * fit.along_sd
