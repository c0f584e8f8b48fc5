import json
from pathlib import Path

import pytest
from known_fit import known_fit
from seen_face import SeenFaces, camera_at, seen_landmarks
from small_model import small_model
from typer.testing import CliRunner

from processing.commands.face import app
from processing.errors import DataError
from processing.face_models.model_file import write_model
from processing.files.image_files import read_image, write_image
from processing.single_view.editing import edit_files
from processing.single_view.editing.edit_files import EditInputs, edit_photo_file


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> EditInputs:
    folder = tmp_path_factory.mktemp("edit")
    write_model(folder / "model.npz", small_model())
    write_image(folder / "photo.png", known_fit(0).image)
    return EditInputs(folder / "photo.png", folder / "model.npz", folder / "weights.json")


@pytest.mark.parametrize(
    ("weights", "told"),
    [({"mouthSmlieLeft": 0.5}, "mouthSmileLeft"), ({"jawOpen": 1.4}, "0 to 1"), ({"jawOpen": "wide"}, "0 to 1")],
)
def test_unknown_units_and_weights_beyond_are_refused(
    given: EditInputs, weights: dict[str, object], told: str, tmp_path: Path
) -> None:
    given.weights.write_text(json.dumps(weights))
    with pytest.raises(DataError, match=told):
        edit_photo_file(given, tmp_path / "out.png")
    assert not (tmp_path / "out.png").exists()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('{"jawOpen": 0.1, "jawOpen": 0.9}', "'jawOpen' stands there twice"),
        ('{"jawOpen": NaN}', "0 to 1"),
        ('{"jawOpen": {"jawOpen": 1}}', "0 to 1"),
        ("[0.5]", "has no weights"),
        ("[" * 100_000, "nested deeper"),
        ("", "cannot be read as JSON"),
    ],
)
def test_what_is_no_weights_is_refused(given: EditInputs, text: str, told: str, tmp_path: Path) -> None:
    given.weights.write_text(text)
    with pytest.raises(DataError, match=told):
        edit_photo_file(given, tmp_path / "out.png")


def test_a_picture_without_a_face_is_refused(given: EditInputs, tmp_path: Path) -> None:
    given.weights.write_text("{}")
    write_image(given.photograph, known_fit(0).image * 0 + 90)
    with pytest.raises(DataError, match="face"):
        edit_photo_file(given, tmp_path / "out.png")


def test_the_photograph_is_not_written_over(given: EditInputs) -> None:
    with pytest.raises(DataError, match="itself"):
        edit_photo_file(given, given.photograph)
    with pytest.raises(DataError, match="picture"):
        edit_photo_file(given, given.photograph.with_suffix(".gif"))


def test_the_command_writes_the_picture_and_says_what_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, detector = small_model(albedo=False), SeenFaces()
    write_model(tmp_path / "model.npz", model)
    photograph = detector.photograph(seen_landmarks(model, model.topology.mesh.vertices_mm, camera_at(0.0)))
    write_image(tmp_path / "front.png", photograph)
    (tmp_path / "smile.json").write_text('{"mouthSmileLeft": 0.7}')
    monkeypatch.setattr(edit_files, "LandmarkDetector", lambda **_: detector)
    given = ["edit", "front.png", "--model", "model.npz", "--weights", "smile.json", "--out", "out/a.png", "--json"]
    monkeypatch.chdir(tmp_path)
    answer = CliRunner().invoke(app, given)
    assert answer.exit_code == 0, answer.exception
    assert json.loads(answer.stdout)["after"] == {"mouthSmileLeft": 0.7}
    assert read_image(tmp_path / "out" / "a.png").shape == photograph.shape
