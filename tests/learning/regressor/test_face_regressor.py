"""The regressor: the same face wherever and however large it is in a picture; refusals; fits that are files' fits."""

from dataclasses import replace
from functools import lru_cache

import cv2
import numpy as np
import pytest
import torch

from processing.errors import NoFace, ShapeError
from processing.learning.regressor.face_crop import crop_of_points
from processing.learning.regressor.face_mirror import FaceMirror
from processing.learning.regressor.face_network import FaceNetwork
from processing.learning.regressor.face_regressor import FaceRegressor, RegressionError
from processing.learning.regressor.learned_fit import as_photo_fit, pose_of
from processing.learning.weights_file import LearnedCard, LearnedWeights, WeightsError, network_tensors
from processing.single_view.photograph import Photograph
from processing.training.regressor.face_draws import compared_vertices
from processing.training.regressor.face_figures import pivot_of
from tests.support.small_model import small_model

ARCHITECTURE_KEYS = {"identities", "units", "points", "input_px", "width", "maps", "hidden"}


@lru_cache(maxsize=1)
def weights():
    """A network that nobody trained: what moves with the picture, and what is refused, needs no more."""
    torch.manual_seed(0)
    model = small_model()
    network = FaceNetwork(model.identity_count, len(model.units), 12, input_px=64, width=0.5, maps=8, hidden=16)
    torch.nn.init.normal_(network.geometry[-1].weight, std=0.1)
    mirror = FaceMirror.of(model, compared_vertices(model, 200))
    tensors = network_tensors(network) | mirror.tensors() | {"pivot_mm": pivot_of(model).astype(np.float32)}
    said = {"name": model.name, "version": 1, "topology": model.topology.topology}
    card = LearnedCard("regressor", network.architecture(), said, {}, ("1",), ())
    return LearnedWeights(card, tensors)


class Seen(FaceRegressor):
    """Told where the face is: pictures of these tests show none that a detector would find."""

    row = None

    def find(self, _image):
        return self.row


@pytest.fixture(scope="module")
def regressor():
    return Seen(small_model(), weights(), "cpu")


def picture(size=300):
    rng = np.random.default_rng(0)
    return cv2.GaussianBlur(rng.integers(0, 255, (size, size, 3)).astype(np.uint8), (0, 0), 6)


def row_of(points):
    low, high = points.min(axis=0), points.max(axis=0)
    return np.r_[low, high - low, points.ravel(), 0.9].astype(np.float32)


FIVE = np.array([[120.0, 130], [170, 128], [146, 155], [128, 180], [166, 178]])


@pytest.mark.parametrize(("scale", "shift"), [(1.0, (40, -25)), (2.0, (0, 0)), (1.5, (-60, 30))])
def test_the_face_moves_with_the_picture(regressor, scale, shift):
    """Scores, weights and turn stay; scale and place follow; a place of the model is seen where it was."""
    image = picture()
    matrix = np.array([[scale, 0, shift[0] + 100], [0, scale, shift[1] + 100.0]])
    moved = cv2.warpAffine(image, matrix, (900, 900), borderMode=cv2.BORDER_REFLECT)
    regressor.row = row_of(FIVE)
    one = regressor.predict(image, looks=1)
    regressor.row = row_of(FIVE @ matrix[:, :2].T + matrix[:, 2])
    other = regressor.predict(moved, looks=1)
    np.testing.assert_allclose(one.scores, other.scores, atol=0.05)
    np.testing.assert_allclose(one.weights, other.weights, atol=0.02)
    np.testing.assert_allclose(one.R, other.R, atol=0.02)
    assert other.scale == pytest.approx(one.scale * scale, rel=0.01)
    np.testing.assert_allclose(other.shift, one.shift @ matrix[:, :2].T + matrix[:, 2], atol=1.5 * scale)


def test_a_mirrored_picture_gives_the_mirrored_face(regressor):
    """Exactly, for both ways are averaged: scores by the model's symmetry, the turn as a mirror has it."""
    image = picture()
    regressor.row = row_of(FIVE)
    one = regressor.predict(image, looks=1)
    mirrored = FIVE[[1, 0, 2, 4, 3]] * [-1, 1] + [image.shape[1] - 1, 0]
    regressor.row = row_of(mirrored)
    other = regressor.predict(np.ascontiguousarray(image[:, ::-1]), looks=1)
    flip = np.diag([-1.0, 1, 1])
    np.testing.assert_allclose(other.R, flip @ one.R @ flip, atol=0.02)
    np.testing.assert_allclose(other.shift, [image.shape[1] - 1 - one.shift[0], one.shift[1]], atol=0.5)


def test_what_is_seen_by_the_face_is_seen_by_its_camera(regressor):
    """The camera made of it, off the picture's middle, sees the model's points within the obliqueness of the line."""
    model, photograph = small_model(), Photograph(picture(), "one")
    regressor.row = row_of(FIVE)
    face = regressor.predict(photograph.image)
    points = regressor.landmarks(face.scores, face.weights)
    for focal in (None, 900.0):
        pose = pose_of(face, replace(photograph, focal_px=focal))
        np.testing.assert_allclose(pose.seen(face.pivot_mm[None])[0], face.shift, atol=1e-6)
        assert pose.px_per_mm == pytest.approx(face.scale)
        if focal is None:
            assert (
                np.linalg.norm(pose.seen(points) - face.seen(points), axis=1).max() < 0.1 * np.ptp(points) * face.scale
            )
    fit = as_photo_fit(replace(face, off_percent=3.0), model, photograph)
    assert fit.vertices_mm.shape == (model.vertex_count, 3)
    assert fit.landmarks_px.shape == (478, 2)
    assert np.isfinite(fit.landmarks_px).all()
    assert fit.figures["learned"] is True


def test_a_face_that_is_not_where_it_was_found_is_refused(regressor):
    photograph = Photograph(picture(), "one")
    regressor.row = row_of(FIVE)
    face = regressor.predict(photograph.image)
    with pytest.raises(RegressionError, match=r"one: .*from where it was found"):
        as_photo_fit(replace(face, off_percent=95.0), small_model(), photograph)


def test_wild_looks_are_refused(regressor):
    crop = crop_of_points(FIVE, 64)
    look = regressor._look(picture(), crop, FIVE, mirrored=True)
    for changed in (replace(look, size=look.size * 5), replace(look, place=np.array([3.0, 0.5]))):
        with pytest.raises(RegressionError, match="no face that the network knows"):
            regressor._in_picture(changed, crop, FIVE)


def test_pictures_without_a_face_are_refused_unless_a_box_is_given(regressor):
    regressor.row = None
    with pytest.raises(NoFace, match="300 x 300"):
        regressor.predict(picture())
    with pytest.raises(ShapeError):
        regressor.predict(picture()[..., 0])
    face = regressor.predict(picture(), np.array([110.0, 110, 80, 90]))
    assert np.isnan(face.off_percent)
    assert face.scale > 0


def test_a_plain_picture_shows_no_face_to_the_detector():
    with pytest.raises(NoFace):
        FaceRegressor.open(weights(), small_model()).predict(np.full((200, 150, 3), 90, np.uint8))


def test_weights_of_another_model_are_refused():
    good = weights()
    other = replace(good.card, model={"name": "x", "topology": "another"})
    with pytest.raises(WeightsError, match="another template"):
        FaceRegressor.open(LearnedWeights(other, good.tensors), small_model())
    with pytest.raises(WeightsError, match="identity parameters"):
        FaceRegressor.open(good, small_model(5))
    lacking = {key: value for key, value in good.tensors.items() if key != "mirror_units"}
    with pytest.raises(WeightsError, match="not whole"):
        FaceRegressor.open(LearnedWeights(good.card, lacking), small_model())
    wild = replace(good.card, architecture={**good.card.architecture, "hidden": 10**9})
    with pytest.raises(WeightsError, match="not whole"):
        FaceRegressor.open(LearnedWeights(wild, good.tensors), small_model())
    assert set(good.card.architecture) >= ARCHITECTURE_KEYS
