"""One predicted face against the truth: what figures must not depend on, what they must show, and every bad kind."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from round_heads import RoundHead, orthographic, perspective

from processing.evaluation.metrics.evaluate import TruthError, evaluate_image
from processing.evaluation.metrics.predictions import Prediction, TruthFace
from processing.evaluation.metrics.scores import ARMSE_RADII_MM, EvaluationSettings, ImageScores
from processing.evaluation.metrics.view import Orthographic, Perspective, TrueCamera
from processing.geometry.cameras import look_at
from processing.geometry.mesh import Mesh, subdivide

FEW = EvaluationSettings(armse=False, correspondence=False)


@pytest.fixture(scope="module")
def truth() -> TruthFace:
    return RoundHead.of(1).truth()


@pytest.fixture(scope="module")
def other() -> Mesh:
    return RoundHead.of(2).mesh()


def measured(
    truth: TruthFace, camera: TrueCamera, prediction: Prediction, how: EvaluationSettings = FEW
) -> ImageScores:
    scores = evaluate_image(truth, camera, prediction, how)
    assert scores.reason is None, scores.reason
    said = scores.as_json()
    for kind in ("published", "exact"):
        assert all(np.isfinite(value) for value in said[kind].values()), said
    return scores


def in_camera(camera: TrueCamera, mesh: Mesh) -> Mesh:
    return mesh.with_vertices(camera.view.to_camera(mesh.vertices_mm))


# --- what must be zero, and what must not change ---


@pytest.mark.parametrize("camera", [perspective(30, 600), orthographic(30)], ids=["perspective", "orthographic"])
def test_the_truth_itself_has_no_error(truth: TruthFace, camera: TrueCamera) -> None:
    scores = measured(truth, camera, Prediction(truth.mesh, camera.view), EvaluationSettings(maps=True))
    for kind in (scores.published, scores.exact):
        assert kind is not None
        assert kind.cd_mm < 2e-3
        assert kind.cd_sum_mm < 4e-3
        assert kind.mne_rad < 2e-4
        assert kind.completeness > 0.9999
    assert max(scores.armse_mm.values()) < 2e-3
    assert tuple(scores.armse_mm) == ARMSE_RADII_MM
    assert scores.icp_mm is not None
    assert scores.icp_mm < 2e-3
    assert scores.corresponding_mm is not None
    assert scores.corresponding_mm < 2e-3
    assert scores.error_map_mm is not None
    assert scores.error_map_mm.shape == (256, 256)
    assert np.nanmax(scores.error_map_mm) < 0.05


@settings(max_examples=4)
@given(scale=st.floats(1e-3, 1e3), yaw=st.sampled_from([0.0, -60.0]))
def test_size_along_the_depth_does_not_count(scale: float, yaw: float) -> None:
    truth, camera = RoundHead.of(1).truth(40, 60), perspective(yaw, 600.0)
    mesh = in_camera(camera, RoundHead.of(2).mesh(30, 40))
    reference = measured(truth, camera, Prediction(mesh))
    scaled = measured(truth, camera, Prediction(mesh.with_vertices(mesh.vertices_mm * scale)))
    for a, b in ((reference.published, scaled.published), (reference.exact, scaled.exact)):
        assert a is not None
        assert b is not None
        assert b.cd_mm == pytest.approx(a.cd_mm, abs=2e-3)
        assert b.mne_rad == pytest.approx(a.mne_rad, abs=1e-3)
        assert b.completeness == pytest.approx(a.completeness, abs=1e-3)


def test_order_subdivision_and_frame_do_not_count(truth: TruthFace, other: Mesh) -> None:
    camera = perspective(-30, 600)
    assert isinstance(camera.view, Perspective)
    rng = np.random.default_rng(0)
    order = rng.permutation(len(other.vertices_mm))
    shuffled = Mesh(other.vertices_mm[order], np.argsort(order)[other.triangles][rng.permutation(len(other.triangles))])
    turn = look_at(np.array([3.0, 40.0, 200.0]), np.zeros(3))
    view = Perspective(camera.view.K, camera.view.R @ turn.T, camera.view.t)
    same = [
        Prediction(shuffled, camera.view),
        Prediction(subdivide(other), camera.view),
        Prediction(other.with_vertices(other.vertices_mm @ turn.T), view),
        Prediction(in_camera(camera, other)),
    ]
    reference = measured(truth, camera, Prediction(other, camera.view), EvaluationSettings()).as_json()
    for prediction in same:
        said = measured(truth, camera, prediction, EvaluationSettings()).as_json()
        for kind in ("published", "exact"):
            assert said[kind]["cd_mm"] == pytest.approx(reference[kind]["cd_mm"], abs=3e-3)
            assert said[kind]["mne_rad"] == pytest.approx(reference[kind]["mne_rad"], abs=1e-3)
        assert said["icp_mm"] == pytest.approx(reference["icp_mm"], abs=5e-3)


@pytest.mark.parametrize("focal", [600.0, 2400.0, None])
def test_a_prediction_by_another_camera_is_brought_over(truth: TruthFace, other: Mesh, focal: float | None) -> None:
    """A camera of another lens, from where what is seen has the same size, gives nearly the same figures."""
    camera = perspective(20, 1200)
    assert isinstance(camera.view, Perspective)
    reference = measured(truth, camera, Prediction(other, camera.view)).exact
    R, middle = camera.view.R, np.array([0.0, 2.0, -3.0])
    front = 70.0  # of what is seen, before the middle
    per_mm = 1200 / (1481.48 - front)
    view: Perspective | Orthographic
    if focal is None:
        view = Orthographic(per_mm, R, np.array([127.5, 127.5]) - per_mm * (R @ middle)[:2])
    else:
        place = np.array([0, 0, focal / per_mm + front])
        view = Perspective(np.array([[focal, 0, 127.5], [0, focal, 127.5], [0, 0, 1]]), R, place - R @ middle)
    found = measured(truth, camera, Prediction(other, view)).exact
    assert reference is not None
    assert found is not None
    assert found.cd_mm == pytest.approx(reference.cd_mm, rel=0.2)
    flat = orthographic(20)
    to_flat = measured(truth, flat, Prediction(other, view)).exact
    assert to_flat is not None
    assert to_flat.cd_mm < 3 * reference.cd_mm + 3


def test_both_directions_count(truth: TruthFace) -> None:
    """A face 2 mm outside everywhere is 2 mm off, from both sides, and its normals are right."""
    camera = orthographic(0)
    normals = truth.mesh.vertex_normals
    grown = truth.mesh.with_vertices(truth.mesh.vertices_mm + 2.0 * normals)
    assert isinstance(camera.view, Orthographic)
    # Depth alignment would hide it in front and double it behind: what it moved is taken back.
    scores = measured(truth, camera, Prediction(grown, camera.view))
    assert scores.exact is not None
    assert 2.0 < scores.exact.depth_shift_mm < 4.0  # 2 mm along the normals, more along the depth
    assert scores.exact.cd_sum_mm == pytest.approx(2 * scores.exact.cd_mm, rel=0.05)
    assert scores.exact.mne_rad < 0.08


def test_the_true_angle_is_measured(truth: TruthFace) -> None:
    """Normals of a surface with known waves; the published number is a part of the true one."""
    camera = perspective()
    waved = RoundHead.of(1).detailed(0.4).mesh(90, 140)
    scores = measured(truth, camera, Prediction(waved, camera.view))
    assert scores.published is not None
    assert scores.exact is not None
    share = scores.published.mne_rad / scores.exact.mne_rad
    assert 0.3 < share < 0.55


# --- bad kinds ---


def _turned_away(mesh: Mesh) -> Mesh:
    return mesh.with_vertices(mesh.vertices_mm * [1, 1, -1])


def test_unusable_predictions_have_a_reason(truth: TruthFace, other: Mesh) -> None:
    camera = perspective()
    mine = in_camera(camera, other)
    nothing = np.zeros((0, 3), np.int32)
    kinds = {
        "empty": Mesh(np.zeros((0, 3)), nothing),
        "no triangles": Mesh(mine.vertices_mm, nothing),
        "finite": mine.with_vertices(np.full_like(mine.vertices_mm, np.nan)),
        "behind": _turned_away(mine),
        "does not cover|outside": mine.with_vertices(mine.vertices_mm + np.array([900.0, 0, 0])),
        "no height": Mesh(mine.vertices_mm * [1, 0, 1], mine.triangles),
        "outside|cover|no height": Mesh(np.tile(mine.vertices_mm[:1], (len(mine.vertices_mm), 1)), mine.triangles),
    }
    for words, mesh in kinds.items():
        scores = evaluate_image(truth, camera, Prediction(mesh))
        assert scores.reason is not None, words
        assert any(word in scores.reason for word in words.split("|")), (words, scores.reason)
        assert not scores.succeeded
        assert scores.as_json()["exact"] is None


def test_what_can_be_put_right_is_and_is_told(truth: TruthFace, other: Mesh) -> None:
    camera = perspective()
    mine = in_camera(camera, other)
    good = measured(truth, camera, Prediction(mine)).exact
    assert good is not None
    holed = mine.vertices_mm.copy()
    holed[::97] = np.nan
    inside_out = Mesh(mine.vertices_mm, mine.triangles[:, ::-1])
    metres = mine.with_vertices(mine.vertices_mm / 1000)
    flat = np.concatenate([mine.triangles, np.repeat(np.arange(500, dtype=np.int32)[:, None], 3, axis=1)])
    partly = np.concatenate([mine.vertices_mm, mine.vertices_mm[:3] * -1])
    last = len(mine.vertices_mm)
    kinds = {
        "not finite": (mine.with_vertices(holed), 0.2),
        "inside out": (inside_out, 1e-6),
        "": (metres, 2e-3),
        "behind the camera": (Mesh(partly, np.r_[mine.triangles, [[last, last + 1, last + 2]]].astype(np.int32)), 2e-3),
    }
    for words, (mesh, within) in kinds.items():
        scores = measured(truth, camera, Prediction(mesh))
        assert scores.exact is not None
        assert scores.exact.cd_mm == pytest.approx(good.cd_mm, abs=within), words
        assert (not words and not scores.notes) or any(words in note for note in scores.notes), (words, scores.notes)
    degenerate = measured(truth, camera, Prediction(Mesh(mine.vertices_mm, flat))).exact
    assert degenerate is not None
    assert degenerate.cd_mm == pytest.approx(good.cd_mm, abs=1e-6)


def test_a_mirrored_face_is_told_from_the_face(truth: TruthFace) -> None:
    camera = perspective()
    mirrored = truth.mesh.with_vertices(truth.mesh.vertices_mm * [-1, 1, 1])
    scores = measured(truth, camera, Prediction(mirrored, camera.view))
    assert any("mirrored" in note for note in scores.notes)
    assert scores.exact is not None
    assert scores.exact.cd_mm > 0.5


def test_half_a_face_is_half_complete_and_no_worse(truth: TruthFace) -> None:
    camera = perspective()
    middle = truth.mesh.vertices_mm[truth.mesh.triangles].mean(axis=1)
    half = Mesh(truth.mesh.vertices_mm, truth.mesh.triangles[middle[:, 0] > 0])
    scores = measured(truth, camera, Prediction(half, camera.view), EvaluationSettings())
    assert scores.exact is not None
    assert scores.exact.completeness == pytest.approx(0.5, abs=0.03)
    assert scores.exact.cd_mm < 0.01
    assert scores.icp_mm is not None
    assert scores.icp_mm < 0.1


def test_eyes_and_mouth_inside_a_head_do_not_count(truth: TruthFace, other: Mesh) -> None:
    camera = perspective(30)
    inner = other.vertices_mm * 0.4 + [0, 0, 25]
    count = len(other.vertices_mm)
    whole = Mesh(np.concatenate([other.vertices_mm, inner]), np.concatenate([other.triangles, other.triangles + count]))
    plain = measured(truth, camera, Prediction(other, camera.view)).exact
    filled = measured(truth, camera, Prediction(whole, camera.view)).exact
    assert plain is not None
    assert filled is not None
    assert filled.cd_mm == pytest.approx(plain.cd_mm, abs=1e-4)
    assert filled.mne_rad == pytest.approx(plain.mne_rad, abs=1e-4)


def test_a_truth_that_the_camera_does_not_see_is_refused(truth: TruthFace, other: Mesh) -> None:
    camera = perspective()
    assert isinstance(camera.view, Perspective)
    away = TrueCamera(Perspective(camera.view.K, camera.view.R, -camera.view.t))
    with pytest.raises(TruthError, match="is it the image's camera"):
        evaluate_image(truth, away, Prediction(other, camera.view))


def test_a_head_of_another_size_is_scaled_for_published_figures_alone(truth: TruthFace, other: Mesh) -> None:
    camera = perspective()
    plain = measured(truth, camera, Prediction(other, camera.view))
    halved = measured(replace(truth, pupil_mm=2 * 62.85), camera, Prediction(other, camera.view))
    assert plain.exact == halved.exact
    assert plain.published is not None
    assert halved.published is not None
    assert halved.published.cd_mm == pytest.approx(plain.published.cd_mm / 2, rel=0.05)


@pytest.mark.slow
def test_millions_of_vertices(truth: TruthFace) -> None:
    camera = perspective()
    scores = measured(truth, camera, Prediction(RoundHead.of(2).mesh(1200, 1800), camera.view), EvaluationSettings())
    coarse = measured(truth, camera, Prediction(RoundHead.of(2).mesh(120, 180), camera.view), EvaluationSettings())
    assert scores.exact is not None
    assert coarse.exact is not None
    assert scores.exact.cd_mm == pytest.approx(coarse.exact.cd_mm, abs=0.02)


# --- ranking ---


def test_icp_ranks_a_wrong_correspondence_first_and_corresponding_points_do_not(truth: TruthFace) -> None:
    """One method finds the very surface, with its points millimetres beside where they belong; the other the right
    points, with half a millimetre of noise. After ICP the first seems perfect.
    """
    camera = perspective()
    rng = np.random.default_rng(3)
    vertices = truth.mesh.vertices_mm
    noisy = vertices + rng.normal(0, 0.5, vertices.shape)
    latitude = np.linspace(0.05, np.pi - 0.05, 90).repeat(140)
    longitude = np.tile(np.arange(140) * 2 * np.pi / 140, 90) + 0.1 * np.sin(5 * latitude)
    flat = np.sin(latitude)
    directions = np.stack([flat * np.sin(longitude), np.cos(latitude), flat * np.cos(longitude)], axis=1)
    slid = RoundHead.of(1).at(directions)
    how = EvaluationSettings()
    a = measured(truth, camera, Prediction(truth.mesh.with_vertices(noisy), camera.view), how)
    b = measured(truth, camera, Prediction(truth.mesh.with_vertices(slid), camera.view), how)
    assert b.icp_mm is not None
    assert a.icp_mm is not None
    assert b.icp_mm < 0.5 * a.icp_mm
    assert b.armse_mm[95] < 0.5 * a.armse_mm[95]
    assert a.corresponding_mm is not None
    assert b.corresponding_mm is not None
    assert a.corresponding_mm < 1.0 < 4.0 < b.corresponding_mm
    assert a.corresponding_similarity_mm is not None
    assert b.corresponding_similarity_mm is not None
    assert a.corresponding_similarity_mm < b.corresponding_similarity_mm


def test_armse_is_the_distance_of_a_known_offset(truth: TruthFace) -> None:
    """Waves of known height all over: no motion takes them away, and their root mean square is known."""
    camera = perspective()
    waved = RoundHead.of(1).detailed(0.8).mesh(300, 400)
    scores = measured(truth, camera, Prediction(waved, camera.view), EvaluationSettings())
    for radius in ARMSE_RADII_MM:
        assert 0.2 < scores.armse_mm[radius] < 0.5  # 0.8 / 2, less where the surface is steep
