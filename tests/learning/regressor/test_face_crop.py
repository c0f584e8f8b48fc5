"""Crops: five points lie where they shall, whatever the picture's size, place and turn; what is no face is refused."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processing.errors import ShapeError
from processing.learning.regressor.face_crop import (
    FIVE_POINTS,
    CropError,
    changed_crop,
    crop_of_box,
    crop_of_points,
    five_points,
)


def similarity(turn, scale, shift):
    c, s = scale * np.cos(turn), scale * np.sin(turn)
    return np.array([[c, -s], [s, c]]), np.asarray(shift, float)


@settings(max_examples=60, deadline=None)
@given(st.floats(-3, 3), st.floats(0.3, 30), st.floats(-300, 300), st.floats(-300, 300))
def test_any_similar_arrangement_of_the_points_comes_to_lie_where_they_shall(turn, scale, x, y):
    linear, shift = similarity(turn, scale * 50, (x, y))
    points = FIVE_POINTS @ linear.T + shift
    crop = crop_of_points(points, 128)
    np.testing.assert_allclose(crop.to_crop(points), FIVE_POINTS * 128 - 0.5, atol=1e-6)
    np.testing.assert_allclose(crop.to_picture(crop.to_crop(points)), points, atol=1e-6)
    np.testing.assert_allclose(crop.turn @ crop.turn.T, np.eye(2), atol=1e-9)


def face_picture(size=400):
    """Soft blobs about the five points of a face in the middle of a picture, and where the points are."""
    points = (FIVE_POINTS - 0.5) * 0.5 * size + size / 2
    y, x = np.mgrid[:size, :size]
    image = np.full((size, size, 3), 90.0)
    for k, (px, py) in enumerate(points):
        image[..., k % 3] += 120 * np.exp(-((x - px) ** 2 + (y - py) ** 2) / (2 * (0.03 * size) ** 2))
    return image.clip(0, 255).astype(np.uint8), points


@settings(max_examples=25, deadline=None)
@given(st.floats(-0.6, 0.6), st.floats(0.5, 2.5), st.floats(-30, 30), st.floats(-30, 30))
def test_the_crop_of_a_moved_picture_shows_the_same(turn, scale, x, y):
    image, points = face_picture()
    linear, shift = similarity(turn, scale, (x, y))
    shift = shift + 300 - linear @ [200, 200]
    matrix = np.c_[linear, shift]
    moved = cv2.warpAffine(image, matrix, (600, 600), flags=cv2.INTER_AREA, borderMode=cv2.BORDER_REPLICATE)
    one = crop_of_points(points, 64).take(image).astype(float)
    other = crop_of_points(points @ linear.T + shift, 64).take(moved).astype(float)
    inside = (slice(12, 52), slice(12, 52))
    assert np.abs(one[inside] - other[inside]).mean() < 3.0


def test_a_large_picture_is_averaged():
    noise = np.random.default_rng(0).integers(0, 256, (1600, 1600, 3)).astype(np.uint8)
    taken = crop_of_points((FIVE_POINTS - 0.5) * 1500 + 800, 64).take(noise)
    assert taken[8:-8, 8:-8].std() < 25  # of 74 a pixel


def test_a_pixel_stays_where_it_is_however_much_the_picture_is_shrunk():
    image = np.zeros((1000, 1000, 3), np.uint8)
    image[480:521, 600:641] = 255
    crop = crop_of_points((FIVE_POINTS - 0.5) * 900 + 500, 64)
    taken = crop.take(image)[..., 0].astype(float)
    y, x = np.mgrid[:64, :64]
    found = np.array([(x * taken).sum(), (y * taken).sum()]) / taken.sum()
    np.testing.assert_allclose(found, crop.to_crop(np.array([[620.0, 500.0]]))[0], atol=0.1)


def test_a_changed_crop_turns_about_its_middle():
    crop = crop_of_points((FIVE_POINTS - 0.5) * 200 + 300, 101)
    middle = crop.to_picture(np.array([[50.0, 50.0]]))
    turned = changed_crop(crop, 0.5, 1.3, np.zeros(2))
    np.testing.assert_allclose(turned.to_crop(middle), [[50, 50]], atol=1e-9)
    assert turned.scale == pytest.approx(1.3 * crop.scale)
    moved = changed_crop(crop, 0.0, 1.0, np.array([0.1, -0.2]))
    np.testing.assert_allclose(moved.to_crop(middle), [[60.1, 29.8]], atol=1e-9)


@pytest.mark.parametrize(
    "points", [np.full((5, 2), 3.0), np.full((5, 2), np.nan), FIVE_POINTS * 1e-3, FIVE_POINTS * [1, 0] * 0]
)
def test_points_of_no_face_are_refused(points):
    with pytest.raises(CropError):
        crop_of_points(points, 64)


def test_wrong_shapes_and_boxes_without_size_are_refused():
    with pytest.raises(ShapeError):
        crop_of_points(np.zeros((4, 2)), 64)
    for box in ([0, 0, 0, 10], [0, 0, np.nan, 10], [5, 5, 1, 1]):
        with pytest.raises(CropError):
            crop_of_box(np.array(box, float), 64)


def test_the_crop_of_a_box_has_the_face_in_its_middle():
    crop = crop_of_box(np.array([100.0, 50, 80, 100]), 128)
    found = crop.to_crop(np.array([[139.5, 99.5]]))[0]
    np.testing.assert_allclose(found, [63.5, 66.06], atol=0.1)


def test_five_points_are_eyes_nose_and_mouth():
    landmarks = np.arange(136.0).reshape(68, 2)
    five = five_points(landmarks)
    np.testing.assert_allclose(five[0], landmarks[36:42].mean(axis=0))
    np.testing.assert_allclose(five[2:], landmarks[[30, 48, 54]])
