"""Cameras against what OpenCV itself projects, and against known points."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from processing.errors import DataError, ShapeError
from processing.files.camera_models import camera_from_params, params_from_cameras
from processing.geometry.cameras import Camera, CameraError, triangulate


def ring(count: int, seed: int = 0) -> list[Camera]:
    """Cameras on a ring of 1 m around the origin, each with its own lens."""
    rng = np.random.default_rng(seed)
    cameras = []
    for i in range(count):
        centre = 1000 * np.array([np.sin(i * 0.4), 0.2 * np.cos(3 * i), np.cos(i * 0.4)])
        z = -centre / np.linalg.norm(centre)
        x = np.cross(z, [0, 1.0, 0])
        x /= np.linalg.norm(x)
        R = np.stack([x, np.cross(z, x), z])
        K = np.array([[2000 + 50 * i, 0, 300 + i], [0, 2010 + 50 * i, 420 - i], [0, 0, 1.0]])
        bend = rng.normal(0, [0.03, 0.02, 0.001, 0.001, 0.005])
        cameras.append(Camera(K, R, -R @ centre, 600, 800, bend, f"cam-{i:02d}"))
    return cameras


def test_a_ray_through_a_projection_meets_the_point() -> None:
    points = np.random.default_rng(1).normal(0, 60, (50, 3))
    for camera in ring(5):
        rays = camera.rays(camera.project(points))
        to_point = points - camera.centre
        across = to_point - rays * (to_point * rays).sum(1, keepdims=True)
        assert np.linalg.norm(across, axis=1).max() < 1e-3


def test_points_behind_the_lens_have_no_pixel() -> None:
    camera = ring(1)[0]
    assert np.isnan(camera.project(camera.centre[None] - 10 * camera.viewing_direction)).all()


@given(st.floats(0.1, 3.0))
def test_a_scaled_camera_sees_what_the_resized_image_shows(factor: float) -> None:
    camera = ring(1)[0]
    point = np.array([[10.0, -20, 30]])
    small = camera.scaled(factor)
    ratio = np.array([small.width / camera.width, small.height / camera.height])
    assert small.project(point) == pytest.approx((camera.project(point) + 0.5) * ratio - 0.5, abs=1e-6)


def test_undistorted_image_is_the_pinholes() -> None:
    """A dot photographed through the lens lands where the pinhole camera projects it."""
    camera = ring(3)[2]
    point = np.array([[60.0, 80, 10]])
    u, v = camera.project(point)[0]
    image = np.zeros((800, 600, 3), np.uint8)
    ys, xs = np.mgrid[:800, :600]
    image[...] = (255 * np.exp(-((xs - u) ** 2 + (ys - v) ** 2) / 18))[..., None].astype(np.uint8)
    flat = camera.undistort(image)[..., 0].astype(float)
    found = np.array([(flat * xs).sum(), (flat * ys).sum()]) / flat.sum()
    assert found == pytest.approx(camera.pinhole().project(point)[0], abs=0.05)
    with pytest.raises(ShapeError, match="cam-02"):
        camera.undistort(image[:-1])


def test_moving_the_world_moves_no_pixel() -> None:
    R = Rotation.from_rotvec([0.3, -0.4, 1.0]).as_matrix()
    t = np.array([5.0, -7, 11])
    points = np.random.default_rng(2).normal(0, 50, (20, 3))
    for camera in ring(4):
        assert camera.moved(R, t).project(points @ R.T + t) == pytest.approx(camera.project(points), abs=1e-6)


def test_triangulation_finds_the_point_and_needs_two_views() -> None:
    cameras = ring(6)
    point = np.array([12.0, -34, 56])
    pixels = np.stack([c.project(point[None])[0] for c in cameras])
    assert triangulate(cameras, pixels) == pytest.approx(point, abs=1e-6)
    with pytest.raises(DataError, match="two are needed"):
        triangulate(cameras[:1], pixels[:1])


def test_triangulation_minimises_the_pixel_error() -> None:
    """With noisy pixels no nearby point projects nearer than the answer."""
    cameras = ring(5)
    rng = np.random.default_rng(3)
    pixels = np.stack([c.project(np.zeros((1, 3)))[0] for c in cameras]) + rng.normal(0, 2, (5, 2))

    def error(point: np.ndarray) -> float:
        pinholes = [(c.pinhole(), cv2.undistortPoints(p.reshape(1, 1, 2), c.K, c.distortion, P=c.K)) for c, p in seen]
        return sum(float(((c.project(point[None])[0] - p.reshape(2)) ** 2).sum()) for c, p in pinholes)

    seen = list(zip(cameras, pixels, strict=True))
    best = triangulate(cameras, pixels)
    for _ in range(20):
        assert error(best) <= error(best + rng.normal(0, 0.05, 3)) + 1e-9


@given(st.floats(-0.2, 0.2), st.integers(0, 4))
def test_skew_is_undone_as_it_is_made(share: float, which: int) -> None:
    """A camera with skew sees a point s * y / z further right than one without; every way back undoes that."""
    plain = ring(5)[which]
    K = plain.K.copy()
    K[0, 1] = share * K[0, 0]
    camera = replace(plain, K=K)
    points = np.random.default_rng(which).normal(0, 60, (20, 3))
    seen, upright = camera.project(points), plain.project(points)
    v = (upright[:, 1] - K[1, 2]) / K[1, 1]
    assert seen == pytest.approx(upright + np.c_[K[0, 1] * v, np.zeros(20)])
    assert camera.straightened(seen) == pytest.approx(camera.pinhole().project(points), abs=0.02)
    to_point = points - camera.centre
    to_point /= np.linalg.norm(to_point, axis=1, keepdims=True)
    assert camera.rays(seen) == pytest.approx(to_point, abs=1e-5)
    assert camera.pinhole().is_pinhole


def test_what_skew_shifted_is_shifted_back() -> None:
    """A photograph sheared by as much as K says is, straightened, the one of the camera without skew."""
    for bend in (np.zeros(5), ring(3)[2].distortion):
        plain = replace(ring(3)[2], distortion=bend)
        K = plain.K.copy()
        K[0, 1] = 0.04 * K[0, 0]
        camera = replace(plain, K=K)
        y, x = np.mgrid[:800, :600].astype(np.float32)
        smooth = np.uint8(128 + 60 * np.sin(x / 17) * np.cos(y / 23))[..., None].repeat(3, axis=2)
        sheared = cv2.remap(smooth, x - np.float32(0.04 * K[0, 0] / K[1, 1]) * (y - np.float32(K[1, 2])), y, 1)
        back, wanted = camera.undistort(sheared), plain.undistort(smooth)
        inside = np.s_[100:700, 120:480]
        assert np.abs(back[inside].astype(int) - wanted[inside]).max() <= 4


def test_skewed_cameras_triangulate_what_they_saw() -> None:
    cameras = []
    for i, plain in enumerate(ring(4)):
        K = plain.K.copy()
        K[0, 1] = 30.0 * (i - 1)
        cameras.append(replace(plain, K=K))
    point = np.array([20.0, -35.0, 15.0])
    seen = np.concatenate([camera.project(point[None]) for camera in cameras])
    assert triangulate(cameras, seen) == pytest.approx(point, abs=1e-3)


def test_params_round_trip() -> None:
    cameras = ring(3)
    params = params_from_cameras(cameras)
    for i, camera in enumerate(cameras):
        again = camera_from_params(params, i)
        assert again.K == pytest.approx(camera.K)
        assert again.P == pytest.approx(camera.P)
        assert (again.width, again.height) == (600, 800)


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("0_K", None, "lacks 0_K"),
        ("0_K", [[1, 2], [3, 4]], "shape"),
        ("0_K", [[float("nan"), 0, 0], [0, 1, 0], [0, 0, 1]], "not finite"),
        ("0_K", [[-5, 0, 0], [0, 5, 0], [0, 0, 1]], "focal"),
        ("0_K", [[2000, 0, 0], [0, 2000, 0], [300, 400, 1]], "column by column"),
        ("0_K", [[2000, 0, 300], [5, 2000, 400], [0, 0, 1]], "row by row"),
        ("0_K", [[2000, 0, 300], [0, 2000, 400], [0, 0, 2]], "row by row"),
        ("0_Rt", [[1, 0, 0, 0], [0, 2, 0, 0], [0, 0, 1, 0]], "not a rotation"),
        ("0_Rt", [[1, 0, 0], [0, 1, 0], [0, 0, 1]], "wanted \\(3, 4\\)"),
        ("0_distortion", [0, 0], "2 numbers"),
        ("0_width", "wide", "no number"),
        ("0_height", 0, "image size"),
    ],
)
def test_unusable_params_are_named(key: str, value: object, says: str) -> None:
    params = params_from_cameras(ring(1))
    if value is None:
        del params[key]
    else:
        params[key] = value
    with pytest.raises(DataError, match=says) as caught:
        camera_from_params(params, 0)
    assert caught.value.exit_code == 4
    assert not isinstance(caught.value, CameraError) or "0" in str(caught.value)
