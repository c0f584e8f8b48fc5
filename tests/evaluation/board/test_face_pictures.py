"""Pictures of predicted faces: aligned as they are measured, distances only where a true face is known."""

from pathlib import Path

import numpy as np
from small_model import small_model
from tiny_benchmark import face_of, tiny_benchmark, write_prediction

from processing.evaluation.board.face_pictures import aligned_mesh, distances_to, predicted_pictures
from processing.evaluation.metrics.predictions import read_prediction
from processing.geometry.mesh import Surface, submesh


def test_a_prediction_lies_on_the_true_face_wherever_its_camera_stood(tmp_path: Path) -> None:
    bench = tiny_benchmark(tmp_path / "bench", subjects=1, focals=(2,), views=(8,))
    (image,) = bench.images
    write_prediction(bench, image, tmp_path / "meshes", face_of(0))
    truth, camera = bench.truth(image), bench.camera(image)
    mesh = aligned_mesh(truth, camera, read_prediction(tmp_path / "meshes", image.name))
    np.testing.assert_allclose(mesh.vertices_mm, face_of(0), atol=1e-2)
    pictures = predicted_pictures(truth, camera, read_prediction(tmp_path / "meshes", image.name))
    assert pictures.shaded.shape == pictures.distances.shape == (64, 64, 3)


def test_where_no_true_face_is_known_there_is_no_distance() -> None:
    mesh = small_model().topology.mesh
    front, kept = submesh(mesh, (mesh.vertices_mm[:, 2] > 60)[mesh.triangles].all(axis=1))
    away = distances_to(Surface(front), mesh.vertices_mm + mesh.vertex_normals)
    inside = np.zeros(len(mesh.vertices_mm), np.bool_)
    inside[kept[~front.boundary_vertices]] = True
    assert np.isnan(away[mesh.vertices_mm[:, 2] < 20]).all()
    known = away[inside & np.isfinite(away)]
    assert len(known) > 0.8 * inside.sum()
    assert np.nanmax(known) <= 1.0 + 1e-6
