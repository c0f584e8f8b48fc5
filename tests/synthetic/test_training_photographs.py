"""Photographs to learn from: within their limits, exact cameras, the same from the same seed; spoiled, yet the same."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processing.errors import DataError
from processing.geometry.mesh import Mesh
from processing.synthetic.face_photographs import FacePhotography
from processing.synthetic.training_photographs import PhotographLimits, Spoiling, draw_camera, draw_photograph, spoil


def ball(radius_mm=80.0, side=24):
    """A ball whose front looks along z, UVs by longitude and latitude."""
    v, u = np.mgrid[:side, :side] / (side - 1)
    turn, lift = 2 * np.pi * u.ravel(), np.pi * (v.ravel() - 0.5)
    places = np.c_[np.cos(lift) * np.sin(turn), np.sin(lift), -np.cos(lift) * np.cos(turn)] * radius_mm
    n = np.arange(side * side).reshape(side, side)
    a, b, c, d = n[:-1, :-1].ravel(), n[:-1, 1:].ravel(), n[1:, 1:].ravel(), n[1:, :-1].ravel()
    triangles = np.concatenate([np.c_[a, b, c], np.c_[a, c, d]])
    return Mesh(places + np.array([0.0, 0, 50]), triangles, np.c_[u.ravel(), v.ravel()], triangles)


def face():
    return FacePhotography(ball(), np.full((16, 16, 3), (60, 90, 120), np.uint8))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_cameras_keep_to_their_limits(seed):
    limits = PhotographLimits(size_px=64, yaw_deg=90, pitch_deg=45, roll_deg=45)
    camera, (yaw, pitch, roll) = draw_camera(np.random.default_rng(seed), limits)
    assert (np.abs([yaw, pitch, roll]) <= [90, 45, 45]).all()
    centre = np.array(limits.centre_mm)
    towards = camera.centre - centre
    shift = limits.shift * np.hypot(*limits.across_mm)  # the face stands beside the axis by so much at most
    assert limits.distance_mm[0] - 1 < np.linalg.norm(towards) < limits.distance_mm[1] + shift
    seen = camera.project(centre[None])[0]
    assert np.abs(seen - 31.5).max() <= 64 * limits.shift + 1e-6
    across = camera.width / camera.K[0, 0] * camera.depth(centre[None])[0]
    assert limits.across_mm[0] - 1e-6 <= across <= limits.across_mm[1] + 1e-6


def test_a_camera_above_and_on_the_left_is_so_named():
    limits = PhotographLimits(yaw_deg=80, pitch_deg=40, roll_deg=0, shift=0.0)
    for seed in range(20):
        camera, (yaw, pitch, _) = draw_camera(np.random.default_rng(seed), limits)
        away = camera.centre - limits.centre_mm
        assert np.degrees(np.arctan2(away[0], away[2])) == pytest.approx(yaw, abs=1e-6)
        assert np.degrees(np.arcsin(away[1] / np.linalg.norm(away))) == pytest.approx(pitch, abs=1e-6)


def test_the_same_seed_draws_the_same_photograph_and_the_ball_lies_where_its_camera_says():
    one, two = (draw_photograph(np.random.default_rng(5), face(), PhotographLimits(size_px=96)) for _ in range(2))
    assert (one.image == two.image).all()
    assert one.image.shape == (96, 96, 3)
    assert one.image.dtype == np.uint8
    other = draw_photograph(np.random.default_rng(6), face(), PhotographLimits(size_px=96))
    assert (one.image != other.image).any()


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_spoiled_pictures_keep_their_shape_and_the_original_stays(seed):
    image = np.random.default_rng(0).integers(0, 255, (64, 64, 3)).astype(np.uint8)
    before, eyes = image.copy(), np.array([[20.0, 25], [44, 27]])
    always = Spoiling(*[1.0] * 9)
    out = spoil(np.random.default_rng(seed), image, eyes_px=eyes, how=always)
    again = spoil(np.random.default_rng(seed), image, eyes_px=eyes, how=always)
    assert out.shape == image.shape
    assert out.dtype == np.uint8
    assert (out == again).all()
    assert (image == before).all()
    assert (out != image).any()


def test_nothing_is_spoiled_where_nothing_is_asked():
    image = np.random.default_rng(0).integers(0, 255, (64, 64, 3)).astype(np.uint8)
    assert (spoil(np.random.default_rng(1), image, how=Spoiling(*[0.0] * 9)) == image).all()


def test_limits_without_a_distance_are_refused():
    with pytest.raises(DataError, match="distance_mm"):
        PhotographLimits(distance_mm=(0.0, 100.0))
