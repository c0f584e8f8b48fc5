import numpy as np
import pytest
from known_fit import KnownFit, known_fit

from common.array_types import Floats, Image
from processing.errors import ShapeError
from processing.single_view.editing.expression_edit import EditSettings, edit_expression
from processing.single_view.editing.landmark_alignment import picture_alignment


def weights_of(known: KnownFit, **units: float) -> Floats:
    weights = np.zeros(len(known.model.units))
    for name, value in units.items():
        weights[known.model.units.index(name)] = value
    return weights


def off(image: Image, truth: Image, where: np.ndarray | slice = slice(None)) -> float:
    return float(np.sqrt(np.square(image[where].astype(float) - truth[where]).mean()))


@pytest.fixture(scope="module")
def known() -> KnownFit:
    return known_fit(3, yaw=10.0)


def test_the_expression_as_it_is_leaves_the_photograph(known: KnownFit) -> None:
    edited = edit_expression(known.model, known.fit, known.image, known.fit.weights)
    assert edited.shape == known.image.shape
    assert off(edited, known.image) < 2.0


@pytest.mark.parametrize(
    "units", [{"cheekPuff": 1.0}, {"jawOpen": 0.8}, {"noseSneerLeft": 1.0, "cheekSquintRight": 1.0}]
)
def test_an_edit_is_nearer_to_the_true_photograph_of_that_expression(known: KnownFit, units: dict[str, float]) -> None:
    weights = weights_of(known, **units)
    truth = known.seen_with(weights)
    moved = np.abs(truth.astype(int) - known.image).max(axis=2) > 6
    assert moved.any()
    edited = edit_expression(known.model, known.fit, known.image, weights)
    assert off(edited, truth, moved) < 0.5 * off(known.image, truth, moved)


def test_new_shading_is_nearer_than_the_old(known: KnownFit) -> None:
    weights = weights_of(known, cheekPuff=1.0, jawForward=1.0, browOuterUpLeft=1.0)
    truth = known.seen_with(weights)
    edited, plain = (
        edit_expression(known.model, known.fit, known.image, weights, settings=EditSettings(shade=shade))
        for shade in (True, False)
    )
    assert off(edited, truth) < off(plain, truth)


def test_what_is_far_from_the_face_does_not_change(known: KnownFit) -> None:
    edited = edit_expression(known.model, known.fit, known.image, weights_of(known, jawOpen=1.0))
    rim = np.ones(edited.shape[:2], dtype=np.bool_)
    rim[4:-4, 4:-4] = False
    assert off(edited, known.image, rim) < 1.0


def test_weights_and_image_of_other_shapes_are_refused(known: KnownFit) -> None:
    with pytest.raises(ShapeError):
        edit_expression(known.model, known.fit, known.image, np.zeros(3))
    with pytest.raises(ShapeError):
        edit_expression(known.model, known.fit, known.image[:-1], known.fit.weights)


def test_a_fit_that_lies_aside_is_moved_onto_its_landmarks(known: KnownFit) -> None:
    camera, topology = known.fit.camera.camera, known.model.topology
    shifted = known.fit.landmarks_px + np.array([2.0, -1.0])
    alignment = picture_alignment(known.model, known.fit.vertices_mm, camera, shifted)
    placed = camera.to_camera(known.fit.vertices_mm) + alignment.move_mm
    inner = topology.landmark_points(placed)[27:]
    pixels = inner[:, :2] / inner[:, 2:] * camera.K[0, 0] + camera.K[:2, 2]
    before = camera.project(topology.landmark_points(known.fit.vertices_mm))[27:]
    assert np.abs(pixels - before - [2.0, -1.0]).mean() < 0.15
