"""A face model's arithmetic: faces are bilinear, a subset is a part of it, the core and its basis are the model."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_model import small_model

from processing.errors import ShapeError
from processing.face_models.bilinear_shapes import ModelError, shapes_of_slices

seeds = st.integers(0, 10_000)


@given(seed=seeds)
def test_a_face_is_the_neutral_and_its_weighted_offsets(seed: int) -> None:
    model, rng = small_model(), np.random.default_rng(seed)
    identity, weights = model.sample_identity(rng), rng.uniform(0, 1, 52) * (rng.random(52) < 0.3)
    shapes = model.shapes(identity)
    assert np.allclose(
        model.face(identity, weights), shapes[0] + np.tensordot(weights, shapes[1:] - shapes[0], axes=1), atol=1e-3
    )
    assert np.allclose(model.bilinear.identity_matrix(weights) @ identity, model.face(identity, weights), atol=1e-3)
    assert np.allclose(model.bilinear.dense()[1:] @ identity.astype(np.float32), shapes[1:] - shapes[0], atol=1e-3)


@given(seed=seeds)
def test_a_subset_is_a_part_of_the_whole_in_any_order(seed: int) -> None:
    model, rng = small_model(), np.random.default_rng(seed)
    vertices = rng.permutation(model.vertex_count)[: rng.integers(0, 200)]
    identity, weights = model.sample_identity(rng), rng.uniform(0, 1, 52)
    part = model.subset(vertices)
    assert np.allclose(part.face(identity, weights), model.face(identity, weights)[vertices], atol=1e-4)
    assert np.allclose(part.shapes(identity), model.shapes(identity)[:, vertices], atol=1e-4)


def test_a_subset_names_each_vertex_once() -> None:
    with pytest.raises(ModelError, match="twice"):
        small_model().subset(np.array([3, 4, 3]))
    with pytest.raises(ModelError, match="asked for"):
        small_model().subset(np.array([10**6]))


def test_core_and_expression_basis_are_the_shapes() -> None:
    model = small_model()
    identity = model.sample_identity(np.random.default_rng(3))
    shapes = np.einsum("je,nevd,n->jvd", model.expression_basis, model.core_mm, identity, optimize=True)
    assert np.allclose(shapes, model.shapes(identity), atol=2e-3)


def test_fewer_identities_are_the_first_ones() -> None:
    model = small_model()
    identity = np.r_[model.sample_identity(np.random.default_rng(4))[:3], np.zeros(5)]
    few = model.bilinear.of_identities(3)
    assert np.allclose(few.face(identity[:3], np.ones(52)), model.face(identity, np.ones(52)), atol=1e-3)


def test_rows_left_out_move_nobody_farther_than_the_tolerance() -> None:
    rng = np.random.default_rng(5)
    slices = (rng.standard_normal((4, 50, 3, 6)) * 10.0 ** rng.uniform(-6, 0, (4, 50, 1, 1))).astype(np.float32)
    mean, deviation = rng.standard_normal(6), rng.uniform(0.1, 1, 6)
    shapes = shapes_of_slices(("a", "b", "c"), slices, 1e-3, mean, deviation)
    assert 0 < len(shapes.unit_vertices) < 150
    for direction in rng.standard_normal((50, 6)):
        identity = mean + 3 * deviation * direction / np.linalg.norm(direction)
        assert np.abs(shapes.offsets(identity) - slices[1:] @ identity).max() <= 1e-3 + 1e-5


def test_wrong_shapes_say_which_were_wanted() -> None:
    with pytest.raises(ShapeError, match=r"identity has shape \(7,\); wanted \(8,\)"):
        small_model().shapes(np.zeros(7))
    with pytest.raises(ShapeError, match=r"weights has shape \(51,\); wanted \(52,\)"):
        small_model().face(np.zeros(8), np.zeros(51))


def test_samples_are_repeatable_and_bounded() -> None:
    model = small_model()
    ours = [model.sample_identity(np.random.default_rng(7), within=1.5) for _ in range(2)]
    assert np.array_equal(ours[0], ours[1])
    assert (np.abs(ours[0] - model.identity_mean) <= 1.5 * model.identity_deviation + 1e-12).all()
    weights = model.sample_weights(np.random.default_rng(7))
    assert ((weights >= 0) & (weights <= 1)).all()


def test_landmarks_lie_on_the_face() -> None:
    topology = small_model().topology
    points = topology.landmark_points(topology.mesh.vertices_mm)
    near = topology.mesh.vertices_mm[topology.landmark_vertices]
    assert np.linalg.norm(points - near, axis=1).max() < 12
    assert points[0, 0] < -55 < 55 < points[16, 0]
