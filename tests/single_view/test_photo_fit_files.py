"""`mien face fit`: what it writes, one person and many, and what it says of failures."""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from seen_face import SeenFaces, camera_at, seen_landmarks
from small_model import small_model
from typer.testing import CliRunner

from processing.commands.face import app
from processing.errors import DataError
from processing.face_models.model_file import write_model
from processing.files.image_files import read_image
from processing.files.mesh_files import read_mesh
from processing.single_view import photo_fit_files
from processing.single_view.photo_fit_files import PhotoFitInputs, fit_photo_files

MODEL = small_model(albedo=False)


@pytest.fixture
def studio(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a model, two photographs of a face, and one of none."""
    write_model(tmp_path / "model.npz", MODEL)
    detector = SeenFaces()
    for name, yaw in (("front", 0.0), ("side", 30.0)):
        image = detector.photograph(seen_landmarks(MODEL, MODEL.topology.mesh.vertices_mm, camera_at(yaw)))
        cv2.imwrite(str(tmp_path / f"{name}.png"), image)
    cv2.imwrite(str(tmp_path / "wall.png"), np.zeros((50, 50, 3), np.uint8))
    monkeypatch.setattr(photo_fit_files, "LandmarkDetector", lambda **_: detector)
    return tmp_path


def said(*arguments: str | Path) -> tuple[int, Any]:
    answer = CliRunner().invoke(app, ["fit", *map(str, arguments), "--landmarks", "68", "--json"])
    if isinstance(answer.exception, DataError):
        raise answer.exception
    return answer.exit_code, json.loads(answer.stdout)


def test_each_photograph_gets_its_files(studio: Path) -> None:
    code, report = said(
        studio / "front.png", studio / "side.png", "--model", studio / "model.npz", "--out", studio / "out"
    )
    assert code == 0
    assert [one["photograph"] for one in report["fits"]] == ["front", "side"]
    for name in ("front", "side"):
        mesh = read_mesh(studio / "out" / f"{name}.obj")
        assert mesh.vertices_mm.shape == MODEL.topology.mesh.vertices_mm.shape
        fit = json.loads((studio / "out" / f"{name}.fit.json").read_text())
        assert set(fit["weights"]) == set(MODEL.units)
        assert len(fit["scores"]) == len(fit["score_deviation"]) == MODEL.identity_count
        camera = json.loads((studio / "out" / f"{name}.camera.json").read_text())
        seen = mesh.vertices_mm @ np.array(camera["R"]).T + camera["t"]
        pixels = (seen @ np.array(camera["K"]).T)[:, :2] / seen[:, 2:]
        true = camera_at(0.0 if name == "front" else 30.0).project(MODEL.topology.mesh.vertices_mm)
        assert np.linalg.norm(pixels - true, axis=1)[MODEL.topology.face].mean() < 4
        assert read_image(studio / "out" / f"{name}.overlay.png").shape[1] > 1000
    one, two = (json.loads((studio / "out" / f"{n}.fit.json").read_text()) for n in ("front", "side"))
    assert one["identity"] == two["identity"]


def test_a_model_with_colours_tells_light_and_albedo(studio: Path) -> None:
    coloured = small_model()
    write_model(studio / "coloured.npz", coloured)
    code, _ = said(studio / "front.png", "--model", studio / "coloured.npz", "--out", studio / "out")
    assert code == 0
    told = json.loads((studio / "out" / "front.fit.json").read_text())["appearance"]
    assert coloured.albedo is not None
    assert np.array(told["lighting"]).shape == (9, 3)
    assert len(told["albedo"]) == len(coloured.albedo.deviations)
    assert read_image(studio / "out" / "front.albedo.png").shape[:2] == coloured.albedo.mask.shape


def test_one_of_many_that_fails_is_told_and_the_others_go_on(studio: Path) -> None:
    photographs = (studio / "wall.png", studio / "front.png")
    code, report = said(*photographs, "--each", "--model", studio / "model.npz", "--out", studio / "out")
    assert code == 4
    assert [one["photograph"] for one in report["fits"]] == ["front"]
    assert report["failed"][0]["name"] == "wall"
    assert "no face was found" in report["failed"][0]["reason"]
    assert not (studio / "out" / "wall.obj").exists()


def test_of_one_person_nothing_is_written_if_one_fails(studio: Path) -> None:
    given = PhotoFitInputs(studio / "model.npz", (studio / "front.png", studio / "wall.png"))
    with pytest.raises(DataError, match="wall: no face"):
        fit_photo_files(given, studio / "out")
    assert not (studio / "out").exists()


def test_the_given_focal_length_is_the_cameras(studio: Path) -> None:
    said(studio / "front.png", "--model", studio / "model.npz", "--out", studio / "out", "--focal-px", "640")
    assert json.loads((studio / "out" / "front.camera.json").read_text())["K"][0][0] == pytest.approx(640)
    for none in ("0", "nan", "-4", "1e30", "1e-6"):
        with pytest.raises(DataError, match="a focal length of"):
            said(studio / "front.png", "--model", studio / "model.npz", "--out", studio / "none", "--focal-px", none)
    said(studio / "front.png", "--model", studio / "model.npz", "--out", studio / "weak", "--weak")
    assert json.loads((studio / "weak" / "front.camera.json").read_text())["projection"] == "orthographic"


def test_names_that_would_meet_are_refused(studio: Path) -> None:
    (studio / "other").mkdir()
    again = studio / "other" / "front.jpg"
    again.write_bytes(b"")
    with pytest.raises(DataError, match="two photographs are called front"):
        fit_photo_files(PhotoFitInputs(studio / "model.npz", (studio / "front.png", again)), studio / "out")
    with pytest.raises(DataError, match=r"no whole face model|cannot be read"):
        fit_photo_files(PhotoFitInputs(studio / "wall.png", (studio / "front.png",)), studio / "out")


def test_a_picture_that_was_given_is_not_written_over(studio: Path) -> None:
    given = (studio / "front.png", studio / "front.albedo.png")
    given[1].write_bytes(given[0].read_bytes())
    with pytest.raises(DataError, match=r"front\.albedo\.png would be written over"):
        fit_photo_files(PhotoFitInputs(studio / "model.npz", given), studio)


def test_a_name_that_leaves_no_room_for_endings_is_refused(studio: Path) -> None:
    """Before anything is fitted: of many photographs the last one's name would end all."""
    given = PhotoFitInputs(studio / "model.npz", (studio / "front.png", studio / f"{'n' * 240}.png"), each=True)
    with pytest.raises(DataError, match="rename the photograph"):
        fit_photo_files(given, studio / "out")
    with pytest.raises(DataError, match="no folder; give another --out"):
        fit_photo_files(PhotoFitInputs(studio / "model.npz", (studio / "front.png",)), studio / "wall.png")


def test_names_of_odd_bytes_and_signs_are_kept(studio: Path) -> None:
    odd = [studio / name for name in ("two\nlines.png", "red\x1b[31m.png", "bad\udcff.png", "{x} %s.png")]
    for path in odd:
        path.write_bytes((studio / "front.png").read_bytes())
    code, report = said("--each", *odd[:2], "--model", studio / "model.npz", "--out", studio / "out")
    assert code == 0
    assert [one["photograph"] for one in report["fits"]] == [path.stem for path in odd[:2]]
    fit_photo_files(PhotoFitInputs(studio / "model.npz", tuple(odd[2:]), each=True), studio / "out")
    assert all((studio / "out" / f"{path.stem}.fit.json").is_file() for path in odd)
