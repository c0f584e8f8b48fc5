"""`mien avatar`: the file it writes, photographs of any kind, and what it refuses."""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from egg_person import egg_head, photographed_egg
from glb_reading import read_glb
from lit_face import painted_model
from PIL import Image
from typer.testing import CliRunner

from processing.avatars import avatar_files, person_head
from processing.avatars.avatar_files import AvatarInputs, make_avatar_file, upright_crop
from processing.commands.avatar import app
from processing.errors import DataError, NoFace
from processing.face_models.model_file import write_model
from processing.single_view import photo_fit
from processing.single_view.fitting.photo_landmarks import table_68

PHOTOS = Path(__file__).parents[3] / "shared/data/photos"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "model.npz"
    write_model(path, painted_model())
    return path


@pytest.fixture
def studio(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a photograph, where the egg's landmarks are seen; its low-poly head is kept already."""
    egg = photographed_egg()
    cv2.imwrite(str(tmp_path / "egg.png"), egg.image)
    monkeypatch.setattr(avatar_files, "_landmarks", lambda photograph: _seen(photograph.result().image))
    monkeypatch.setattr(avatar_files, "_kept_head", lambda _: egg_head())
    monkeypatch.setattr(person_head, "places_on", lambda *_: None)
    monkeypatch.setattr(photo_fit, "landmark_table", lambda own, _: table_68(own))
    return tmp_path


def _seen(image: np.ndarray) -> np.ndarray:
    """The egg's landmarks in a copy of its photograph of another size."""
    egg = photographed_egg()
    return (egg.landmarks_px + 0.5) * image.shape[0] / egg.image.shape[0] - 0.5


def said(*arguments: str | Path) -> Any:
    answer = CliRunner().invoke(app, [*map(str, arguments), "--texture-px", "256", "--json"])
    if answer.exception and not isinstance(answer.exception, SystemExit):
        raise answer.exception
    return json.loads(answer.stdout)


def test_a_photograph_becomes_a_file_that_says_what_it_is(studio: Path, model: Path) -> None:
    report = said(studio / "egg.png", "--model", model, "--out", studio / "new" / "egg.glb", "--expression")
    assert report["bytes"] == (studio / "new" / "egg.glb").stat().st_size
    assert report["vertices"] == 700
    assert report["units"] == 52
    assert report["shape_by"] == "model"
    assert report["figures"]["landmark_percent"] < 3
    document, _ = read_glb(studio / "new" / "egg.glb")
    extras = document["asset"]["extras"]
    assert extras["photograph"] == "egg.png"
    assert extras["model"]["name"] == "small"
    assert "person's data" in extras["terms"]
    assert extras["not_for"]
    assert document["animations"][0]["name"] == "photograph"
    assert {image["mimeType"] for image in document["images"]} == {"image/jpeg", "image/png"}


@pytest.mark.parametrize(("turn", "back"), [(3, cv2.ROTATE_180), (6, cv2.ROTATE_90_COUNTERCLOCKWISE)])
def test_exif_turns_and_sizes(studio: Path, model: Path, turn: int, back: int) -> None:
    big = cv2.resize(photographed_egg().image, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
    exif = Image.Exif()
    exif[0x0112] = turn
    stored = Image.fromarray(np.ascontiguousarray(cv2.rotate(big, back)[..., ::-1]))
    stored.save(studio / "turned.jpg", exif=exif, quality=95)
    report = said(studio / "turned.jpg", "--model", model, "--out", studio / "turned.glb")
    assert report["figures"]["eye_distance_px"] > 150
    assert report["figures"]["landmark_percent"] < 3


def test_refusals(studio: Path, model: Path) -> None:
    inputs = AvatarInputs(studio / "egg.png", model)
    with pytest.raises(DataError, match=r"\.glb"):
        make_avatar_file(inputs, studio / "egg.obj")
    with pytest.raises(DataError, match="256 to 4096"):
        make_avatar_file(AvatarInputs(studio / "egg.png", model, texture_px=10), studio / "egg.glb")
    with pytest.raises(DataError, match="wall"):
        make_avatar_file(AvatarInputs(studio / "wall.png", model), studio / "egg.glb")
    (studio / "text.jpg").write_text("no picture")
    with pytest.raises(DataError, match="text"):
        make_avatar_file(AvatarInputs(studio / "text.jpg", model), studio / "egg.glb")
    assert not (studio / "egg.glb").exists()


def test_no_face_and_two_faces(model: Path, tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "wall.png"), np.full((200, 200, 3), 128, np.uint8))
    with pytest.raises(NoFace, match="wall"):
        make_avatar_file(AvatarInputs(tmp_path / "wall.png", model), tmp_path / "a.glb")
    if not PHOTOS.is_dir():
        pytest.skip("two faces need ../shared/data/photos")
    two = [cv2.resize(cv2.imread(str(PHOTOS / f"person_{who}_2.jpg")), (400, 500)) for who in "ab"]
    cv2.imwrite(str(tmp_path / "two.jpg"), np.hstack(two))
    with pytest.raises(DataError, match="2 faces"):
        make_avatar_file(AvatarInputs(tmp_path / "two.jpg", model), tmp_path / "a.glb")


@pytest.mark.parametrize("roll", [0.0, 70.0, 180.0])
def test_the_face_is_cut_out_upright(roll: float) -> None:
    egg = photographed_egg()
    middle = (egg.image.shape[1] / 2, egg.image.shape[0] / 2)
    turn = cv2.getRotationMatrix2D(middle, roll, 0.8)
    turned = cv2.warpAffine(egg.image, turn, egg.image.shape[1::-1])
    landmarks = egg.landmarks_px @ turn[:, :2].T + turn[:, 2]
    plain = upright_crop(egg.image, egg.landmarks_px, 128).astype(float)
    other = upright_crop(turned, landmarks, 128).astype(float)
    inside = (slice(40, 88), slice(40, 88))
    assert np.abs(plain[inside] - other[inside]).mean() < 6


def test_a_head_that_stands_on_its_head_is_told() -> None:
    if not PHOTOS.is_dir():
        pytest.skip("needs ../shared/data/photos")
    picture = cv2.imread(str(PHOTOS / "person_a_2.jpg"))
    upright = upright_crop(picture, np.tile([[picture.shape[1] / 2, picture.shape[0] / 2]], (478, 1)) + _eyes(picture))
    avatar_files._check_upright(upright, "a")
    with pytest.raises(DataError, match="upside down"):
        avatar_files._check_upright(np.ascontiguousarray(upright[::-1, ::-1]), "a")


def _eyes(picture: np.ndarray) -> np.ndarray:
    """(478, 2) offsets as if a face filled most of a picture."""
    offsets = np.zeros((478, 2))
    offsets[[33, 133]] -= [picture.shape[1] / 8, 0]
    offsets[[362, 263]] += [picture.shape[1] / 8, 0]
    offsets[0], offsets[1] = [0, -picture.shape[0] / 4], [0, picture.shape[0] / 4]
    return offsets
