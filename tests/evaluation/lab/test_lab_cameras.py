"""The 33 cameras of FS-Lab stand where the paper says, and where the public evaluator expects them."""

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processing.evaluation.lab.lab_cameras import DISTANCE_MM_PX, FOCALS_PX, VIEWS_DEG, lab_views

FACESCAPE = Path(os.environ.get("MIEN_FACESCAPE", "none"))
centres = st.tuples(*[st.floats(-200, 200)] * 3).map(np.array)


@settings(max_examples=20, deadline=None)
@given(centres, st.sampled_from([64, 256, 512]))
def test_they_look_at_the_head_from_the_distance_of_their_lens(centre, size):
    for view in lab_views(centre, size):
        seen = view.camera.view.to_camera(centre[None])[0]
        np.testing.assert_allclose(seen, [0, 0, FOCALS_PX[view.focal] * DISTANCE_MM_PX], atol=1e-6)
        pixel = view.camera.view.K @ seen / seen[2]
        np.testing.assert_allclose(pixel[:2], (size - 1) / 2, atol=1e-6)
        assert view.camera.view.K[0, 0] == pytest.approx(FOCALS_PX[view.focal] * size / 256)


def test_one_from_the_front_eight_off_by_30_degrees_two_by_60():
    off = []
    for view in lab_views(np.zeros(3))[:11]:
        ahead = view.camera.view.R[2]
        angle = float(np.degrees(np.arccos(np.clip(-ahead[2], -1, 1))))
        assert angle == pytest.approx(view.pose_deg, abs=0.01)
        assert np.degrees(np.arcsin(-ahead[1])) == pytest.approx(view.pitch_deg, abs=0.01)  # above looks down
        assert abs(view.camera.view.R[0, 1]) < 1e-12  # level
        off.append(round(angle))
    assert sorted(off) == [0] + [30] * 8 + [60] * 2
    assert len(set(VIEWS_DEG)) == 11


def test_names_are_those_of_the_published_benchmark():
    names = [view.name(7) for view in lab_views(np.zeros(3))]
    assert (names[0], names[10], names[11], names[-1]) == ("07_0_00", "07_0_10", "07_1_00", "07_2_10")
    assert len(set(names)) == 33


@pytest.mark.skipif(not (FACESCAPE / "benchmark/code/predef").is_dir(), reason="needs MIEN_FACESCAPE, a checkout")
def test_they_are_those_of_the_public_evaluator():
    theirs = np.load(FACESCAPE / "benchmark/code/predef/lab_rotations.npy")
    centres = np.load(FACESCAPE / "benchmark/code/predef/lab_head_centers.npy")
    for view in lab_views(np.zeros(3)):
        np.testing.assert_allclose(view.camera.view.R, theirs[view.view], atol=1e-3)
        np.testing.assert_allclose(view.camera.view.t, centres[view.focal], atol=1e-3)
