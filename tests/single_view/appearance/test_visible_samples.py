"""What of a face a photograph shows: first hits alone, evenly, the same for the same numbers."""

import numpy as np
import pytest
from small_model import small_model

from processing.errors import ShapeError
from processing.geometry.cameras import Camera, direction_of, upright_rotation
from processing.geometry.mesh import Mesh
from processing.single_view.appearance.face_pixels import FacePixels
from processing.single_view.appearance.visible_samples import LEAST_COSINE, VisibleSamples, visible_samples

MODEL = small_model()
MESH = MODEL.topology.mesh
COUNTED = FacePixels(MODEL).counted


def looking(yaw: float = 0.0, distance: float = 900.0, size: int = 300) -> Camera:
    R = upright_rotation(-direction_of(yaw, 0.0))
    K = np.array([[1.3 * distance, 0, size / 2], [0, 1.3 * distance, size / 2], [0, 0, 1.0]])
    return Camera(K, R, np.array([0.0, 0, distance]) - R @ [0.0, 0, 60], size, size)


def places(samples: VisibleSamples, mesh: Mesh = MESH) -> np.ndarray:
    return np.einsum("nk,nkd->nd", samples.barycentric, mesh.vertices_mm[mesh.triangles[samples.triangle]])


def seen(camera: Camera, mesh: Mesh = MESH, seed: int = 0, **more: float) -> VisibleSamples:
    counted = np.r_[COUNTED, np.zeros(len(mesh.triangles) - len(COUNTED), np.bool_)]
    return visible_samples(mesh, camera, counted, count=1500, rng=np.random.default_rng(seed), **more)


@pytest.mark.parametrize("yaw", [0.0, 40.0])
def test_samples_lie_on_the_face_where_their_pixels_see_it(yaw: float) -> None:
    camera = looking(yaw)
    samples = seen(camera)
    assert np.abs(camera.project(places(samples)) - samples.pixel).max() < 0.01
    assert COUNTED[samples.triangle].all()
    assert (samples.cosine > LEAST_COSINE).all()
    assert 900 < len(samples) <= 1600
    assert samples.area_mm2.sum() < np.linalg.norm(MESH.triangle_cross[COUNTED], axis=1).sum() / 2


def test_what_lies_behind_something_is_not_seen() -> None:
    board = np.array([[-200.0, -20, 200], [200, -20, 200], [200, 20, 200], [-200, 20, 200]])
    triangles = np.array([[0, 1, 2], [0, 2, 3]]) + len(MESH.vertices_mm)
    both = Mesh(np.r_[MESH.vertices_mm, board], np.r_[MESH.triangles, triangles])
    camera = looking()
    hidden = np.abs(places(seen(camera))[:, 1] + 2) < 12
    assert hidden.any()
    covered = places(seen(camera, both), both)
    assert not (np.abs(covered[:, 1]) < 12).any()
    assert (np.abs(places(seen(camera, both, margin_mm=8.0), both)[:, 1]) > 21).all()


def test_the_same_numbers_give_the_same_samples() -> None:
    camera = looking(20.0)
    one, same, other = seen(camera), seen(camera), seen(camera, seed=1)
    assert np.array_equal(one.pixel, same.pixel)
    assert np.array_equal(one.triangle, same.triangle)
    assert not np.array_equal(one.pixel[:10], other.pixel[:10])


def test_a_camera_at_a_kilometre_sees_what_scaled_orthography_does() -> None:
    far = seen(looking(distance=1e6))
    assert np.abs(looking(distance=1e6).project(places(far)) - far.pixel).max() < 0.1
    assert len(far) > 900


def test_a_margin_keeps_away_from_eyes_and_edges() -> None:
    camera = looking(30.0)
    near, kept = seen(camera), seen(camera, margin_mm=6.0)
    assert len(kept) < len(near)
    eyes = camera.project(MESH.vertices_mm[MODEL.topology.parts == 1])
    least = np.sqrt(np.square(kept.pixel[:, None] - eyes[None]).sum(axis=2)).min()
    assert least > 5.0, "px, of 1.3 px a millimetre"


def test_a_face_out_of_the_picture_has_no_samples() -> None:
    camera = looking()
    away = Camera(camera.K, camera.R, camera.t + np.array([5000.0, 0, 0]), camera.width, camera.height)
    assert len(seen(away)) == 0
    with pytest.raises(ShapeError, match="counted"):
        visible_samples(MESH, camera, COUNTED[:-1], count=10, rng=np.random.default_rng(0))
