"""What a face can be beside its model: smooth, as large as said, and told by points that the model cannot reach."""

import numpy as np
import pytest
from small_model import small_model

from processing.face_models.fitting.face_state import ModelPoints
from processing.single_view.appearance.corrective_field import CorrectionSettings, corrective_field
from processing.single_view.fitting.corrected_points import CorrectedPoints

MODEL = small_model()
SETTINGS = CorrectionSettings(size_mm=1.5, reach_mm=40.0, modes=40)
FIELD = corrective_field(MODEL, SETTINGS)
FACE = np.flatnonzero(MODEL.topology.face)


def test_a_drawn_field_is_as_large_as_was_said_and_smooth() -> None:
    spread = np.sqrt(np.square(FIELD.modes_mm[FACE].astype(float)).sum(axis=1))
    assert spread.mean() == pytest.approx(1.5, rel=0.1)
    drawn = FIELD.offsets(np.random.default_rng(0).standard_normal(FIELD.count))
    edges = MODEL.topology.mesh.edges
    length = np.linalg.norm(np.diff(MODEL.topology.mesh.vertices_mm[edges], axis=1)[:, 0], axis=1)
    change = np.linalg.norm(np.diff(drawn[edges], axis=1)[:, 0], axis=1)
    assert (change / length).max() < 0.5
    assert np.array_equal(FIELD.offsets(np.zeros(FIELD.count)), np.zeros_like(drawn))


def test_derivatives_have_the_fields_scores_between_identity_and_expression() -> None:
    n, units = MODEL.identity_count, len(MODEL.units)
    some = FACE[::40].astype(np.int32)
    points = CorrectedPoints(ModelPoints(MODEL.subset(some)), FIELD.modes_mm[some])
    rng = np.random.default_rng(1)
    scores, weights = rng.standard_normal(n + FIELD.count), rng.uniform(0, 0.5, units)
    places, change = points.derivatives(MODEL, scores, weights)
    assert change.shape == (len(some), 3, n + FIELD.count + units)
    for column in (1, n, n + 4, n + FIELD.count - 1):
        step = np.zeros(len(scores))
        step[column] = 0.01
        moved = points.derivatives(MODEL, scores + step, weights)[0]
        assert np.allclose((moved - places) / 0.01, change[:, :, column], atol=2e-2)
    plain = CorrectedPoints(ModelPoints(MODEL.subset(some)), None).derivatives(MODEL, scores[:n], weights)
    assert np.allclose(places - plain[0], FIELD.offsets(scores[n:])[some], atol=1e-5)


def test_points_say_what_the_model_cannot_and_what_is_not_seen_stays_about_where_it_is() -> None:
    bump = np.exp(-np.square(MODEL.topology.mesh.vertices_mm - MODEL.topology.mesh.vertices_mm[FACE[200]]).sum(1) / 800)
    wanted = 2.0 * bump[:, None] * np.array([0.0, 0, 1])
    rows = np.kron(FIELD.modes_mm[FACE].astype(float), np.eye(3))
    precision = 1 / 0.3**2
    scores = np.linalg.solve(precision * rows.T @ rows + np.eye(FIELD.count), precision * rows.T @ wanted[FACE].ravel())
    left = np.linalg.norm(FIELD.offsets(scores)[FACE] - wanted[FACE], axis=1).mean()
    assert left < 0.25 * np.linalg.norm(wanted[FACE], axis=1).mean()
    behind = MODEL.topology.mesh.vertices_mm[:, 2] < 0
    assert np.linalg.norm(FIELD.offsets(scores)[behind], axis=1).mean() < 0.5 * SETTINGS.size_mm
