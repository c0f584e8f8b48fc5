"""A learned fit's files: those of a fit; failures told; refined where the detector sees something."""

import json

import numpy as np
import pytest

from processing.face_models.model_file import write_model
from processing.files.image_files import write_image
from processing.learning.regressor import learned_fit
from processing.learning.regressor.face_regressor import FaceRegressor
from processing.learning.regressor.learned_fit_files import fit_learned_files, learned_fits
from processing.learning.weights_file import write_weights
from processing.single_view.photo_fit_files import FittedPhoto, NotFitted, PhotoFitInputs
from processing.single_view.photograph import Photograph
from tests.learning.regressor.test_face_regressor import FIVE, picture, row_of, weights
from tests.support.small_model import small_model


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("learned")
    write_model(folder / "model.npz", small_model())
    write_weights(folder / "w.safetensors", weights())
    write_image(folder / "one.png", picture())
    return folder


@pytest.fixture
def seen(monkeypatch):
    """The detector sees a face in every picture, and nobody minds that the network is untrained."""
    monkeypatch.setattr(FaceRegressor, "find", lambda *_: row_of(FIVE))
    monkeypatch.setattr(learned_fit, "OFF_PERCENT", (1e9, 1e9))
    monkeypatch.setattr(learned_fit, "IDENTITY_RMS", (1e9, 1e9))


@pytest.mark.usefixtures("seen")
def test_it_writes_the_files_of_a_fit(files, tmp_path):
    given = PhotoFitInputs(files / "model.npz", (files / "one.png",))
    made = fit_learned_files(given, files / "w.safetensors", tmp_path)
    assert [type(one) for one in made] == [FittedPhoto]
    assert "landmarks within" in made[0].as_text()
    said = json.loads((tmp_path / "one.fit.json").read_text())
    assert said["figures"]["learned"] is True
    assert len(said["landmarks_px"]) == 478
    assert all((tmp_path / f"one{end}").is_file() for end in (".obj", ".camera.json", ".overlay.png"))


def test_a_photograph_without_a_face_is_told_and_others_go_on(files, tmp_path):
    given = PhotoFitInputs(files / "model.npz", (files / "one.png",), each=True)
    made = fit_learned_files(given, files / "w.safetensors", tmp_path)
    assert [type(one) for one in made] == [NotFitted]
    assert "no face was found" in made[0].reason


@pytest.mark.usefixtures("seen")
def test_several_photographs_of_one_person_share_the_mean_identity():
    model = small_model()
    regressor = FaceRegressor.open(weights(), model)
    two = [Photograph(picture(), "one"), Photograph(np.ascontiguousarray(picture()[:, ::-1]), "other")]
    given = PhotoFitInputs(None, ())
    fits = learned_fits(regressor, model, two, given, None)
    alone = [regressor.predict(photograph.image).scores for photograph in two]
    for fit in fits:
        np.testing.assert_allclose(fit.scores, np.mean(alone, axis=0))
