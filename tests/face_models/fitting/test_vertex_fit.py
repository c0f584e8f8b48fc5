"""Meshes of a model's topology: what made them is found again."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from small_model import small_model

from common.array_types import Floats
from processing.errors import MeshError, ShapeError
from processing.face_models.fitting.normal_equations import FitPrior
from processing.face_models.fitting.vertex_fit import VertexFitSettings, fit_meshes, fit_vertices
from processing.template.face_units import ARKIT_UNITS

MODEL = small_model()


def drawn(seed: int, **weights: float) -> tuple[Floats, Floats]:
    """Identity parameters of a person, and expression weights by name."""
    rng = np.random.default_rng(seed)
    w = np.zeros(52)
    for name, value in weights.items():
        w[ARKIT_UNITS.index(name)] = value
    return MODEL.sample_identity(rng), w


@pytest.mark.parametrize("seed", range(4))
def test_a_sample_is_found_again_after_any_motion(seed: int) -> None:
    identity, weights = drawn(seed, jawOpen=0.6, browInnerUp=0.3, cheekPuff=1.0)
    R, t = Rotation.random(random_state=seed).as_matrix(), np.array([300.0, -50.0, 900.0]) * seed
    fit = fit_vertices(MODEL, MODEL.face(identity, weights) @ R.T + t)
    assert np.abs((fit.identity - identity) / MODEL.identity_deviation).max() < 0.01
    assert np.abs(fit.weights - weights).max() < 0.01
    assert fit.figures["head"]["p95_mm"] < 0.01
    np.testing.assert_allclose(fit.R, R, atol=1e-4)


def test_noise_leaves_the_identity_within_its_deviation() -> None:
    off = []
    for seed in range(6):
        identity, weights = drawn(seed, jawOpen=0.4)
        noise = np.random.default_rng(seed).normal(0, 1.0, (MODEL.vertex_count, 3))
        fit = fit_vertices(MODEL, MODEL.face(identity, weights) + noise)
        truth = (identity - MODEL.identity_mean) / MODEL.identity_deviation
        off.append((fit.scores - truth) / fit.score_deviation)
        clean = np.linalg.norm(fit.vertices_mm - MODEL.face(identity, weights), axis=1)
        assert clean.mean() < 0.15, "smaller than a sixth of the noise"
    assert np.sqrt(np.square(off).mean()) < 2


def test_weights_stay_within_their_bounds() -> None:
    identity, weights = drawn(1, jawOpen=0.5)
    weights[ARKIT_UNITS.index("jawOpen")], weights[ARKIT_UNITS.index("cheekPuff")] = 1.6, -0.7
    fit = fit_vertices(MODEL, MODEL.face(identity, weights))
    assert fit.weights.min() >= 0
    assert fit.weights.max() <= 1
    assert fit.weights[ARKIT_UNITS.index("jawOpen")] == pytest.approx(1, abs=1e-6)
    assert fit.weights[ARKIT_UNITS.index("cheekPuff")] == pytest.approx(0, abs=1e-6)


def test_a_neutral_has_no_expression() -> None:
    identity, weights = drawn(3)
    noise = np.random.default_rng(0).normal(0, 0.3, (MODEL.vertex_count, 3))
    assert fit_vertices(MODEL, MODEL.face(identity, weights) + noise).weights.max() < 0.02


def test_outliers_count_little_where_asked() -> None:
    identity, weights = drawn(5, mouthSmileLeft=0.7)
    truth = MODEL.face(identity, weights)
    bad = truth.copy()
    some = np.random.default_rng(0).choice(len(bad), len(bad) // 10, replace=False)
    bad[some] += 25
    plain = fit_vertices(MODEL, bad)
    robust = fit_vertices(MODEL, bad, settings=VertexFitSettings(robust=True))
    away = [np.linalg.norm(fit.vertices_mm - truth, axis=1).mean() for fit in (plain, robust)]
    assert away[1] < 0.1 < away[0]


def test_what_is_masked_says_nothing() -> None:
    identity, weights = drawn(6, jawOpen=0.5)
    truth = MODEL.face(identity, weights)
    half = MODEL.topology.mesh.vertices_mm[:, 0] > 0
    bad = np.where(half[:, None], truth, np.nan)
    fit = fit_vertices(MODEL, bad, mask=half)
    assert np.linalg.norm(fit.vertices_mm - truth, axis=1).mean() < 0.1


def test_meshes_of_one_person_share_the_identity() -> None:
    identity, _ = drawn(7)
    poses = [drawn(7, jawOpen=0.8)[1], drawn(7, cheekPuff=0.6)[1], drawn(7)[1]]
    rng = np.random.default_rng(1)
    faces = [MODEL.face(identity, w) + rng.normal(0, 0.5, (MODEL.vertex_count, 3)) for w in poses]
    fits = fit_meshes(MODEL, faces)
    assert all((fit.identity == fits[0].identity).all() for fit in fits)
    for fit, w in zip(fits, poses, strict=True):
        assert np.abs(fit.weights - w).max() < 0.1
    alone = fit_vertices(MODEL, faces[0])
    assert (fits[0].score_deviation < alone.score_deviation + 1e-9).all()


def test_a_scale_is_found_where_the_unit_is_unknown() -> None:
    identity, weights = drawn(8, jawOpen=0.5)
    fit = fit_vertices(
        MODEL, MODEL.face(identity, weights) / 1000, settings=VertexFitSettings(FitPrior(scale=True), floor_mm=1e-5)
    )
    assert np.linalg.norm(fit.vertices_mm * 1000 - MODEL.face(identity, weights), axis=1).mean() < 0.05


def test_symmetry_makes_both_sides_alike() -> None:
    identity, weights = drawn(9, mouthSmileLeft=0.8)
    fit = fit_vertices(
        MODEL, MODEL.face(identity, weights), settings=VertexFitSettings(FitPrior(symmetry=1e9), robust=False)
    )
    left, right = (fit.weights[ARKIT_UNITS.index(f"mouthSmile{side}")] for side in ("Left", "Right"))
    assert left == pytest.approx(right, abs=1e-3)


def test_what_cannot_be_fitted_is_refused() -> None:
    face = MODEL.face(*drawn(0))
    with pytest.raises(ShapeError, match="topology of model small"):
        fit_vertices(MODEL, face[:-1])
    with pytest.raises(ShapeError, match="mask"):
        fit_vertices(MODEL, face, mask=np.ones(3, np.bool_))
    with pytest.raises(MeshError, match="not finite"):
        fit_vertices(MODEL, np.where(np.arange(len(face))[:, None] == 1200, np.nan, face))
    few = np.zeros(len(face), np.bool_)
    few[:9] = True
    with pytest.raises(MeshError, match="9 vertices"):
        fit_vertices(MODEL, face, mask=few)
