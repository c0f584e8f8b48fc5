import numpy as np
import pytest
from known_fit import known_fit

from processing.single_view.editing.face_view import face_window, see_face


@pytest.mark.parametrize("weak", [False, True])
def test_pixels_see_the_surface_that_projects_there(weak: bool) -> None:
    known = known_fit(1, yaw=20.0, weak=weak)
    camera, mesh = known.fit.camera.camera, known.model.topology.mesh
    here = mesh.with_vertices(camera.to_camera(known.fit.vertices_mm))
    window = face_window(camera.project(known.fit.vertices_mm), (camera.width, camera.height))
    view = see_face(here, camera.K, window)
    places = view.values(here.vertices_mm)[view.seen]
    pixels = places[:, :2] / places[:, 2:] * camera.K[0, 0] + camera.K[:2, 2]
    np.testing.assert_allclose(pixels, view.grid_px[view.seen], atol=0.02)
    assert view.shows(places).mean() > 0.99
    behind = places + np.array([0, 0, 30.0])
    assert not view.shows(behind).any()
