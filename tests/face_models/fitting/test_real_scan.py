"""Scans with faces on them: a real one, and one on which landmarks are found. The model: 40 synthetic adults."""

from pathlib import Path

import numpy as np
import pytest

from processing.face_models.bilinear_shapes import shapes_of_slices
from processing.face_models.face_model import FaceModel
from processing.face_models.fitting.fit_figures import judge_fit
from processing.face_models.fitting.surface_fit import fit_surface
from processing.face_models.model_topology import model_topology
from processing.files.mesh_files import read_mesh
from processing.geometry.mesh import subdivide
from processing.landmarks.landmark_files import read_landmarks
from processing.synthetic.face_population import population

JAMES = Path(__file__).parents[4] / "shared/data/james"


@pytest.fixture(scope="module")
def model() -> FaceModel:
    """Identity parameters by singular values of the neutrals; units that are the same for everybody."""
    people, rng = population("anny", 4000), np.random.default_rng(3)
    faces = np.array([(people.to_template @ people.draw(rng).neutral_mm).ravel() for _ in range(40)])
    left, size, right = np.linalg.svd(faces, full_matrices=False)
    count = 25
    own, basis = left[:, :count] * np.sqrt(40), right[:count] * size[:count, None] / np.sqrt(40)
    mean, deviation = own.mean(axis=0), own.std(axis=0)
    slices = np.zeros((1 + len(people.units), len(faces[0]) // 3, 3, count), dtype=np.float32)
    slices[0] = basis.reshape(count, -1, 3).transpose(1, 2, 0)
    slices[1:] = people.units_mm[..., None] * (mean / (mean @ mean)).astype(np.float32)
    shapes = shapes_of_slices(people.units, slices, 0.003, mean, deviation)
    topology = model_topology(people.template, shapes.neutral(mean))
    return FaceModel("forty", 1, topology, shapes, np.eye(1 + len(people.units)), mean, deviation)


@pytest.mark.skipif(not JAMES.is_dir(), reason="needs ../shared/data/james")
def test_a_real_scan_of_somebody_from_no_synthetic_population(model: FaceModel) -> None:
    scan, points = read_mesh(JAMES / "james.obj"), read_landmarks(JAMES / "james.ljson").points_mm
    fit = fit_surface(model, scan, points)
    assert fit.figures["face"]["mean_mm"] < 1.6
    assert fit.figures["landmark_mm"] < 8
    assert judge_fit(fit.figures).verdict != "redo"


def test_landmarks_are_found_on_a_scan_without_any(model: FaceModel) -> None:
    identity = model.sample_identity(np.random.default_rng(1))
    weights = np.eye(len(model.units))[model.units.index("jawOpen")] * 0.6
    truth = model.face(identity, weights)
    scan = subdivide(model.topology.mesh.with_vertices(truth))
    fit = fit_surface(model, scan)
    assert fit.figures["face"]["mean_mm"] < 0.25
    assert fit.weights[model.units.index("jawOpen")] == pytest.approx(0.6, abs=0.15)
    assert np.abs((fit.scores - (identity - model.identity_mean) / model.identity_deviation)[:3]).max() < 1
