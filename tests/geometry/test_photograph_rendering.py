"""Photographs against geometry that is known in closed form."""

import cv2
import numpy as np
import pytest

from processing.geometry.cameras import Camera, look_at
from processing.geometry.mesh import Mesh, subdivide
from processing.geometry.photograph_rendering import BACKGROUND, Scene, Sensor

EXACT = Sensor(blur_px=0.0)


def camera(width=240, height=320, focal=900.0):
    centre = np.array([150.0, 80, 900])
    R = look_at(centre, np.array([5.0, -3, 0]), 0.05)
    K = np.array([[focal, 0, width / 2 + 3.3], [0, focal * 1.01, height / 2 - 4.1], [0, 0, 1]])
    distortion = np.array([-0.12, 0.05, 2e-3, -1e-3, 0.0])
    return Camera(K=K, R=R, t=-R @ centre, distortion=distortion, width=width, height=height)


def plane(n=120, side=160.0):
    x, y = np.meshgrid(np.linspace(-side / 2, side / 2, n), np.linspace(-side / 2, side / 2, n))
    at = np.arange(n * n).reshape(n, n)
    a, b, c, d = (q.ravel() for q in (at[:-1, :-1], at[:-1, 1:], at[1:, 1:], at[1:, :-1]))
    triangles = np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)])
    return Mesh(np.stack([x.ravel(), y.ravel(), np.zeros(n * n)], 1), triangles.astype(np.int32))


def sphere(radius=60.0, times=5):
    v = np.array([[1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0], [0, 0, 1], [0, 0, -1]], dtype=float)
    t = [[0, 2, 4], [2, 1, 4], [1, 3, 4], [3, 0, 4], [2, 0, 5], [1, 2, 5], [3, 1, 5], [0, 3, 5]]
    mesh = subdivide(Mesh(v, np.array(t, np.int32)), times)
    return mesh.with_vertices(radius * mesh.vertices_mm / np.linalg.norm(mesh.vertices_mm, axis=1, keepdims=True))


def test_dots_on_a_plane_appear_where_opencv_projects_them():
    mesh, lens = plane(), camera()
    dots = np.array([[-60.0, -60, 0], [55, -50, 0], [0, 0, 0], [-50, 62, 0], [58, 60, 0]])
    apart = np.linalg.norm(mesh.vertices_mm[:, None] - dots[None], axis=2).min(1)
    albedo = np.repeat(0.05 + 0.8 * np.exp(-((apart / 3.0) ** 2))[:, None], 3, axis=1).astype(np.float32)
    gloss = np.zeros(len(albedo), np.float32)
    image = Scene(mesh, albedo, gloss).photograph(lens, supersample=2, sensor=EXACT)
    light = (image[..., 0] / 255.0) ** 2.2
    rvec = cv2.Rodrigues(lens.R)[0]
    expected = cv2.projectPoints(dots, rvec, lens.t, lens.K, lens.distortion)[0].reshape(-1, 2)
    for x, y in expected:
        x0, y0 = round(x) - 8, round(y) - 8
        part = np.clip(light[y0 : y0 + 17, x0 : x0 + 17] - 0.12, 0, None)
        rows, columns = np.mgrid[y0 : y0 + 17, x0 : x0 + 17]
        found = (part * columns).sum() / part.sum(), (part * rows).sum() / part.sum()
        assert found == pytest.approx((x, y), abs=0.08)


def test_a_spheres_outline_is_the_analytic_one():
    lens, radius = camera(), 60.0
    mesh = sphere(radius)
    image = Scene(mesh, np.full((len(mesh.vertices_mm), 3), 0.8, np.float32)).photograph(lens, sensor=EXACT)
    shown = image.max(2) > 1.5 * BACKGROUND ** (1 / 2.2) * 255
    columns, rows = np.meshgrid(np.arange(lens.width), np.arange(lens.height))
    rays = lens.rays(np.stack([columns.ravel(), rows.ravel()], 1).astype(float))
    miss = np.linalg.norm(np.cross(rays, lens.centre), axis=1).reshape(shown.shape)
    clear = np.abs(miss - radius) > 0.3
    assert (shown == (miss < radius))[clear].all()
    assert clear.mean() > 0.98


def test_a_mesh_beside_the_picture_is_cut_or_absent():
    lens = camera()
    mesh = plane(20)
    albedo = np.full((400, 3), 0.8, np.float32)
    moved = mesh.with_vertices(mesh.vertices_mm + lens.R[0] * 95)
    cut = Scene(moved, albedo).photograph(lens, sensor=EXACT)
    assert cut[:, -1].max() > 100
    gone = Scene(mesh.with_vertices(mesh.vertices_mm + lens.R[0] * 900), albedo).photograph(lens, sensor=EXACT)
    assert gone.max() == gone.min()


def test_noise_follows_from_the_generator_and_has_the_stated_size():
    scene, lens = Scene(sphere(times=3), np.full((258, 3), 0.5, np.float32)), camera(120, 160, 450)
    sensor = Sensor(noise=0.01, shot=1e12, blur_px=0)
    shots = [scene.photograph(lens, sensor=sensor, rng=np.random.default_rng(s)) for s in (1, 1, 2)]
    clean = scene.photograph(lens, sensor=sensor)
    assert (shots[0] == shots[1]).all()
    assert (shots[0] != shots[2]).mean() > 0.5
    linear = [(s[60:100, 45:75] / 255.0) ** 2.2 for s in (shots[0], clean)]
    assert (linear[0] - linear[1]).std() == pytest.approx(0.01, rel=0.1)


def test_exposure_is_a_factor_of_light():
    scene, lens = Scene(sphere(times=3), np.full((258, 3), 0.3, np.float32)), camera(120, 160, 450)
    one, half = (scene.photograph(lens, sensor=Sensor(exposure=e, blur_px=0)) for e in (1.0, 0.5))
    light = [(i[60:100, 45:75] / 255.0) ** 2.2 for i in (one, half)]
    assert light[0].mean() == pytest.approx(2 * light[1].mean(), rel=0.02)


def test_a_hollow_is_darker_than_a_bump():
    mesh = plane(60)
    r = np.hypot(*mesh.vertices_mm[:, :2].T)
    pit = mesh.with_vertices(mesh.vertices_mm - np.c_[0 * r, 0 * r, 25 * np.exp(-((r / 12) ** 2))])
    open_sky = Scene(pit, np.full((3600, 3), 0.5, np.float32)).openness(48)
    assert open_sky[r.argmin()] < 0.7 * open_sky[(r > 50) & (r < 70)].mean()
