"""Reconstruction of an egg of known shape: what comes out, and what must not matter."""

import itertools
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from processing.geometry.mesh import Surface, triangle_components
from processing.reconstruction.multi_view_stereo import reconstruct
from processing.reconstruction.settings import Scan


@pytest.fixture(scope="module")
def errors_px(scan: Scan, truth: np.ndarray, tools: Any) -> np.ndarray:
    return tools.distances(truth, scan) / tools.footprint_mm


def test_the_surface_lies_within_a_fraction_of_a_pixel_footprint(errors_px: np.ndarray) -> None:
    assert np.median(errors_px) < 0.1
    assert errors_px.mean() < 0.3
    assert (errors_px < 1).mean() > 0.93


def test_nothing_is_invented_away_from_the_subject(scan: Scan, scene: Any, tools: Any) -> None:
    back = Surface(scene.mesh).closest(scan.mesh.vertices_mm).distance_mm / tools.footprint_mm
    assert back.mean() < 0.2
    assert np.percentile(back, 99) < 3


def test_the_mesh_is_one_manifold_piece_with_colours_facing_out(scan: Scan) -> None:
    mesh = scan.mesh
    half = np.concatenate([mesh.triangles[:, [0, 1]], mesh.triangles[:, [1, 2]], mesh.triangles[:, [2, 0]]])
    _, uses = np.unique(np.sort(half, axis=1), axis=0, return_counts=True)
    assert uses.max() == 2
    assert len(np.unique(triangle_components(mesh))) == 1
    assert len(np.unique(mesh.triangles)) == len(mesh.vertices_mm) == scan.report.vertices
    assert np.isfinite(mesh.vertices_mm).all()
    outward = (mesh.vertex_normals * (mesh.vertices_mm - [0, 0, -20])).sum(axis=1)
    assert (outward > 0).mean() > 0.97


def test_vertex_colours_are_those_of_the_photographs(scan: Scan, scene: Any) -> None:
    assert scan.mesh.colors is not None
    camera, image = scene.cameras[2], scene.images[2]
    toward = camera.centre - scan.mesh.vertices_mm
    square = (scan.mesh.vertex_normals * toward).sum(axis=1) / np.linalg.norm(toward, axis=1) > 0.9
    x, y = camera.project(scan.mesh.vertices_mm[square]).T.astype(np.float32)
    there = cv2.remap(image, x[:, None], y[:, None], cv2.INTER_LINEAR)[:, 0, ::-1].astype(float)
    off = np.abs(scan.mesh.colors[square].astype(float) - there).mean(axis=1)
    assert np.median(off) < 4


def test_a_rigid_motion_of_the_rig_moves_the_scan(scene: Any, scan: Scan, truth: np.ndarray, tools: Any) -> None:
    R = Rotation.from_euler("xyz", [25, -140, 70], degrees=True).as_matrix()
    t = np.array([400.0, -90.0, 1300.0])
    moved = reconstruct(scene.images, [c.moved(R, t) for c in scene.cameras], settings=tools.quick)
    back = replace(moved, mesh=moved.mesh.with_vertices((moved.mesh.vertices_mm - t) @ R))
    first, second = tools.distances(truth, scan), tools.distances(truth, back)
    assert abs(np.median(first) - np.median(second)) < 0.02 * tools.footprint_mm
    assert np.median(Surface(scan.mesh).closest(back.mesh.vertices_mm).distance_mm) < 0.05 * tools.footprint_mm


def test_the_same_input_gives_the_same_scan(scene: Any, scan: Scan, tools: Any) -> None:
    again = reconstruct(scene.images, scene.cameras, settings=replace(tools.quick, workers=1))
    assert np.array_equal(again.mesh.vertices_mm, scan.mesh.vertices_mm)
    assert np.array_equal(again.mesh.colors, scan.mesh.colors)


def test_exposures_do_not_matter(scene: Any, scan: Scan, truth: np.ndarray, tools: Any) -> None:
    gains = np.random.default_rng(4).uniform(0.65, 1.35, (len(scene.images), 1, 1, 3)) * np.ones((1, 1, 1, 3))
    images = [np.clip(i * g[0] + 0.5, 0, 255).astype(np.uint8) for i, g in zip(scene.images, gains, strict=True)]
    other = reconstruct(images, scene.cameras, settings=tools.quick)
    assert np.median(tools.distances(truth, other)) < 1.3 * np.median(tools.distances(truth, scan))
    assert (tools.distances(truth, other) < tools.footprint_mm).mean() > 0.93
    # Evened out: seen from any side the texture's mean colour is the same, but for one common factor.
    assert other.mesh.colors is not None
    left = np.log(other.mesh.colors[other.mesh.vertices_mm[:, 0] < -15].mean(axis=0))
    right = np.log(other.mesh.colors[other.mesh.vertices_mm[:, 0] > 15].mean(axis=0))
    assert scan.mesh.colors is not None
    true_left = np.log(scan.mesh.colors[scan.mesh.vertices_mm[:, 0] < -15].mean(axis=0))
    true_right = np.log(scan.mesh.colors[scan.mesh.vertices_mm[:, 0] > 15].mean(axis=0))
    assert np.abs((left - right) - (true_left - true_right)).max() < 0.06


def test_a_black_photograph_is_named_and_survived(scene: Any, truth: np.ndarray, tools: Any) -> None:
    images = list(scene.images)
    images[4] = np.zeros_like(images[4])
    other = reconstruct(images, scene.cameras, settings=tools.quick)
    assert list(other.report.unused) == ["4"]
    assert "nothing" in other.report.unused["4"]
    assert np.median(tools.distances(truth, other)) < 0.15 * tools.footprint_mm


def test_a_camera_that_looks_elsewhere_is_named_and_survived(scene: Any, truth: np.ndarray, tools: Any) -> None:
    cameras = list(scene.cameras)
    turn = Rotation.from_euler("y", 40, degrees=True).as_matrix()
    cameras[7] = replace(cameras[7], R=turn @ cameras[7].R, t=turn @ cameras[7].t)
    other = reconstruct(scene.images, cameras, settings=tools.quick)
    assert list(other.report.unused) == ["7"]
    assert np.median(tools.distances(truth, other)) < 0.15 * tools.footprint_mm


@pytest.mark.parametrize("background", [pytest.param(245.0, marks=pytest.mark.slow), None], ids=["light", "cluttered"])
def test_the_background_does_not_matter(background: float | None, truth: np.ndarray, tools: Any) -> None:
    scene = tools.make_scene(tools.ring(), background)
    other = reconstruct(scene.images, scene.cameras, settings=tools.quick)
    errors = tools.distances(truth, other) / tools.footprint_mm
    assert np.median(errors) < 0.1
    assert (errors < 1).mean() > 0.94


@pytest.mark.slow
def test_two_tiers_of_cameras_work_together(truth: np.ndarray, tools: Any) -> None:
    scene = tools.make_scene(tools.ring(scale=lambda i: 1.6 if i % 2 else 0.9))
    assert len({i.shape for i in scene.images}) == 2
    other = reconstruct(scene.images, scene.cameras, settings=tools.quick)
    assert np.median(tools.distances(truth, other)) < 0.1 * tools.footprint_mm


def test_fewer_depth_views_and_wider_spacing_give_a_smaller_scan(
    scene: Any, scan: Scan, truth: np.ndarray, tools: Any
) -> None:
    said: list[tuple[float, str]] = []
    other = reconstruct(
        scene.images,
        scene.cameras,
        settings=replace(tools.quick, depth_views=7, spacing_px=2.0),
        progress=lambda done, message: said.append((done, message)),
    )
    assert other.report.depth_views == 7
    assert other.report.vertices < 0.6 * scan.report.vertices
    assert np.median(tools.distances(truth, other)) < 0.15 * tools.footprint_mm
    shares = [done for done, _ in said]
    assert shares[0] == 0
    assert shares[-1] == 1
    assert len(shares) > 10
    assert all(b >= a - 0.02 for a, b in itertools.pairwise(shares))


def test_six_sparse_cameras_are_enough(tools: Any) -> None:
    scene = tools.make_scene(tools.ring(columns=3, spacing_deg=22.0))
    other = reconstruct(scene.images, scene.cameras, settings=tools.quick)
    assert other.report.depth_views == 6
    assert np.median(tools.distances(scene.truth(), other)) < 0.2 * tools.footprint_mm
