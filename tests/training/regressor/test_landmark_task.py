"""A fit that reads landmarks: the same face wherever they are, and a training that learns faces by them."""

from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from killed_run import ends_the_same_when_killed
from scipy.spatial.transform import Rotation

from processing.face_models.fitting.face_state import identity_of
from processing.learning.regressor.face_mirror import FaceMirror
from processing.learning.regressor.face_regressor import FaceRegressor
from processing.learning.regressor.landmark_network import LandmarkNetwork, landmark_network_of
from processing.learning.weights_file import LearnedCard, LearnedWeights, WeightsError, network_tensors
from processing.single_view.fitting.landmark_places import LandmarkPlaces
from processing.training.regressor import landmark_task
from processing.training.regressor.detections import Detections
from processing.training.regressor.face_draws import compared_vertices, draw_weights
from processing.training.regressor.face_figures import pivot_of
from processing.training.regressor.landmark_task import LandmarkTask
from processing.training.regressor.settings import RegressorError, RegressorSettings
from tests.support.small_model import small_model

SETTINGS = replace(RegressorSettings.of("small"), points=120, batch=48, steps=150, rate=2e-3)


@lru_cache(maxsize=1)
def places() -> LandmarkPlaces:
    """Of the small model: each point at a vertex of its face; where the 68 are, at those."""
    model = small_model()
    topology, rng = model.topology, np.random.default_rng(5)
    triangles = rng.choice(np.flatnonzero(topology.face[topology.mesh.triangles].all(axis=1)), 468).astype(np.int32)
    barycentric = np.tile([1 / 3] * 3, (468, 1))
    from processing.landmarks.multi_pie_68 import MEDIAPIPE_TO_68

    triangles[MEDIAPIPE_TO_68], barycentric[MEDIAPIPE_TO_68] = (
        topology.landmark_triangles,
        topology.landmark_barycentric,
    )
    points = np.einsum("nk,nkd->nd", barycentric, topology.mesh.vertices_mm[topology.mesh.triangles[triangles]])
    own = topology.landmark_points(topology.mesh.vertices_mm)
    return LandmarkPlaces(
        topology.topology, triangles, barycentric, points, own, np.zeros((10, 468, 2)), np.ones((9, 468, 2))
    )


def seen_faces(count: int, seed: int, *, off_px: float = 0.5) -> Detections:
    """Faces of the small model before cameras, and where a detector sees them."""
    model, rng = small_model(), np.random.default_rng(seed)
    vertices = compared_vertices(model, SETTINGS.points)
    rows = []
    for _ in range(count):
        scores = rng.standard_normal(model.identity_count).clip(-2, 2)
        weights = draw_weights(rng, model)
        face = model.face(identity_of(model, scores), weights)
        turned = Rotation.from_euler("yxz", rng.uniform(-1, 1, 3) * [40, 25, 15], degrees=True).as_matrix()
        R = np.diag([1.0, -1, -1]) @ turned
        t = np.r_[rng.uniform(-40, 40, 2), rng.uniform(500, 1200)]
        K = np.array([[700.0, 0, 127.5], [0, 700, 127.5], [0, 0, 1]])
        corners = model.topology.mesh.triangles[places().triangles]
        at = np.einsum("nk,nkd->nd", places().barycentric, face[corners]) @ R.T + t
        pixels = 700 * at[:, :2] / at[:, 2:] + 127.5
        landmarks = np.zeros((478, 2))
        landmarks[:468] = pixels + rng.normal(0, off_px, pixels.shape)
        rows.append((landmarks, face[vertices], scores, weights, K, R, t))
    return Detections(*(np.stack(one).astype(np.float32) for one in zip(*rows, strict=True)))


def lie(monkeypatch: pytest.MonkeyPatch) -> None:
    """The detector's points are those of the small model; few samples say how landmarks differ."""
    monkeypatch.setattr(landmark_task, "places_on", lambda _model, _places: places())
    monkeypatch.setattr(landmark_task, "_BEGIN", 100)


@pytest.fixture
def task(monkeypatch: pytest.MonkeyPatch) -> LandmarkTask:
    lie(monkeypatch)
    torch.manual_seed(0)
    vertices = compared_vertices(small_model(), SETTINGS.points)
    return LandmarkTask(small_model(), SETTINGS, seen_faces(60, 1), seen_faces(40, 2), vertices, device="cpu")


@torch.no_grad()
def figures_of(task: LandmarkTask) -> float:
    return task.validate()["point_mm"]


def test_it_learns_faces_that_it_has_not_seen(task: LandmarkTask) -> None:
    before = figures_of(task)
    for epoch in range(10):
        for batch in task.batches(epoch, np.random.default_rng(epoch)):
            task.step(batch, np.random.default_rng(0))
    after = figures_of(task)
    assert before > 15
    assert after < 0.35 * before


def test_a_run_that_dies_ends_with_the_same_bits(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    lie(monkeypatch)
    vertices, seen = compared_vertices(small_model(), SETTINGS.points), seen_faces(30, 1)

    def make() -> LandmarkTask:
        torch.manual_seed(0)
        few = replace(SETTINGS, batch=8, steps=6)
        return LandmarkTask(small_model(), few, seen, seen_faces(8, 2), vertices, device="cpu")

    assert ends_the_same_when_killed(make, tmp_path)


def test_what_is_true_of_a_sample_is_where_its_landmarks_are(task: LandmarkTask) -> None:
    """Landmarks that are vertices lie in the crop where the truth has these vertices, but for the detector's errors."""
    located, true = task._drawn(32, torch.Generator().manual_seed(1))
    again = task.places(true["scores"], true["weights"])
    y = (again - task.pivot) @ true["R"].transpose(1, 2)
    near = 1 + y[..., 2:] / true["distance_mm"][:, None, None]
    pivot_at = true["seen"] - true["size"][:, None, None] * (
        ((true["points_mm"] - task.pivot) @ true["R"].transpose(1, 2))[..., :2]
        / (
            1
            + ((true["points_mm"] - task.pivot) @ true["R"].transpose(1, 2))[..., 2:]
            / true["distance_mm"][:, None, None]
        )
    )
    place = pivot_at.mean(dim=1)
    assert pivot_at.std(dim=1).max() < 0.01  # one place for all points
    seen = place[:, None] + true["size"][:, None, None] * y[..., :2] / near
    assert (seen - located).abs().mean() < 0.01


def test_a_detector_that_sees_something_else_everywhere_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    lie(monkeypatch)
    vertices = compared_vertices(small_model(), SETTINGS.points)
    wild = seen_faces(6, 3, off_px=200.0)
    with pytest.raises(RegressorError, match="far off in nearly every render"):
        LandmarkTask(small_model(), SETTINGS, wild, None, vertices, device="cpu")


def test_a_template_unlike_a_face_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(landmark_task, "places_on", lambda _model, _places: None)
    vertices = compared_vertices(small_model(), SETTINGS.points)
    with pytest.raises(RegressorError, match="reads=pixels"):
        LandmarkTask(small_model(), SETTINGS, seen_faces(4, 4), None, vertices, device="cpu")


@lru_cache(maxsize=1)
def regressor() -> FaceRegressor:
    """A network that nobody trained: what moves with the picture needs no more."""
    torch.manual_seed(0)
    model = small_model()
    network = LandmarkNetwork(model.identity_count, len(model.units), hidden=32)
    torch.nn.init.normal_(network.first[-1].weight, std=0.1)
    torch.nn.init.normal_(network.second[-1].weight, std=0.1)
    mirror = FaceMirror.of(model, compared_vertices(model, 120))
    tensors = network_tensors(network) | mirror.tensors() | {"pivot_mm": pivot_of(model).astype(np.float32)}
    said = {"name": model.name, "version": 1, "topology": model.topology.topology}
    card = LearnedCard("regressor", network.architecture(), said, {}, ("1",), ())
    return FaceRegressor.open(LearnedWeights(card, tensors), model)


@settings(max_examples=25, deadline=None)
@given(st.floats(0.2, 6.0), st.floats(-180, 180), st.tuples(st.floats(-900, 900), st.floats(-900, 900)))
def test_the_same_face_wherever_its_landmarks_are(scale: float, turn_deg: float, shift: tuple[float, float]) -> None:
    landmarks = seen_faces(1, 7).landmarks_px[0].astype(np.float64)
    c, s = np.cos(np.radians(turn_deg)), np.sin(np.radians(turn_deg))
    turn = np.array([[c, -s], [s, c]])
    first = regressor().predict_of_landmarks(landmarks)
    second = regressor().predict_of_landmarks(scale * landmarks @ turn.T + shift)
    np.testing.assert_allclose(second.scores, first.scores, atol=1e-3)
    np.testing.assert_allclose(second.weights, first.weights, atol=1e-3)
    assert second.scale == pytest.approx(scale * first.scale, rel=1e-3)
    whole = np.eye(3)
    whole[:2, :2] = turn
    np.testing.assert_allclose(second.R, whole @ first.R, atol=1e-3)


def test_sizes_that_no_network_has_are_refused() -> None:
    good = regressor()._network.architecture()
    assert landmark_network_of(good).hidden == 32
    for key, value in (("hidden", 0), ("hidden", 10**9), ("units", -1)):
        with pytest.raises(ValueError, match="no network"):
            landmark_network_of({**good, key: value})


def test_weights_of_another_model_are_refused() -> None:
    model = small_model()
    network = LandmarkNetwork(model.identity_count + 1, len(model.units), hidden=8)
    mirror = FaceMirror.of(model, compared_vertices(model, 120))
    tensors = network_tensors(network) | mirror.tensors() | {"pivot_mm": pivot_of(model).astype(np.float32)}
    card = LearnedCard("regressor", network.architecture(), {}, {}, ("1",), ())
    with pytest.raises(WeightsError):
        FaceRegressor.open(LearnedWeights(card, tensors), model)
