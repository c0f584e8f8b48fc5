"""Photographs of known shape: cameras and paint are what they are said to be."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from known_truth import SIZE_PX, Truth, drawn_camera, finer, off_axis_deg, read_truth, write_truth
from small_model import egg_template

from processing.geometry.mesh import Mesh, subdivide


@given(seed=st.integers(0, 10_000), front=st.booleans())
@settings(max_examples=50, deadline=None)
def test_the_face_is_in_the_picture_and_upright(seed: int, front: bool) -> None:
    middle = np.array([1.0, -5.0, 90.0])
    camera = drawn_camera(np.random.default_rng(seed), middle, front=front)
    seen = camera.project(middle + np.array([[0, 0, 0], [0, 30, 0], [75, 0, -60], [-75, 0, -60]]))
    assert ((seen > 0.05 * SIZE_PX) & (seen < 0.95 * SIZE_PX)).all()
    assert seen[1, 1] < seen[0, 1]  # up is up
    towards = camera.centre - middle
    yaw = np.degrees(np.arctan2(towards[0], towards[2]))
    assert abs(yaw) < (16 if front else 56)  # the face may stand beside the optical axis
    assert camera.depth(middle[None])[0] > 300


def test_eyes_look_ahead() -> None:
    rng = np.random.default_rng(0)
    out = rng.normal(size=(300, 3))
    out[0] = [0, 0, 1]
    out /= np.linalg.norm(out, axis=1, keepdims=True)
    angle = off_axis_deg(12.0 * out + [30.0, 35.0, 80.0])
    assert angle[0] == pytest.approx(0, abs=1e-3)
    np.testing.assert_allclose(angle, np.degrees(np.arccos(out[:, 2].clip(-1, 1))), atol=1e-3)


def test_finer_parts_lie_where_their_edges_ends_do() -> None:
    mesh = egg_template().mesh
    side = (mesh.vertices_mm[:, 0] > 0).astype(np.float64)
    fine = subdivide(Mesh(mesh.vertices_mm, mesh.triangles))
    values = finer(side, mesh.triangles, fine)
    np.testing.assert_array_equal(values[: len(side)], side)
    assert (values[fine.vertices_mm[:, 0] < -1e-6] == 0).all()
    assert (values[fine.vertices_mm[:, 0] > 12] == 1).all()


def test_truth_is_read_as_written(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    points = rng.normal(size=(40, 3)) * 50
    points[3] = np.nan
    camera = drawn_camera(rng, np.zeros(3), front=True)
    truth = Truth("03_1", points, points + 1, ("jawOpen", "mouthPucker"), np.array([0.3, 0.0]), np.ones(2), camera)
    write_truth(tmp_path / "03_1.npz", truth)
    again = read_truth(tmp_path / "03_1.npz")
    np.testing.assert_allclose(again.points_mm, points, atol=1e-4)
    np.testing.assert_array_equal(again.camera.R, camera.R)
    assert (again.name, again.units) == ("03_1", ("jawOpen", "mouthPucker"))
