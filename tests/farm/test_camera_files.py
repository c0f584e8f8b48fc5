"""Cameras and colour profiles from other files: the take that the stage reads says what they say."""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from processing.farm.reconstruct_take import CameraFiles, with_camera_files
from processing.files.camera_models import params_from_cameras
from processing.files.take_folder import read_take
from processing.geometry.cameras import Camera

VIEWS = 7
DIM = np.diag([0.5, 0.5, 0.5]).tolist()


def params(focal: float) -> dict[str, Any]:
    cameras = []
    for view in range(VIEWS):
        K = np.array([[focal, 0, 15.5], [0, focal, 23.5], [0, 0, 1]])
        t = np.array([10.0 * view, 0, 900])
        cameras.append(Camera(K=K, R=np.eye(3), t=t, width=32, height=48, name=str(view)))
    return params_from_cameras(cameras)


@pytest.fixture
def take(tmp_path: Path) -> Path:
    folder = tmp_path / "2_smile"
    folder.mkdir()
    for view in range(VIEWS):
        cv2.imwrite(str(folder / f"{view}.jpg"), np.full((48, 32, 3), 20 * view, np.uint8))
    (folder / "params.json").write_text(json.dumps(params(100.0) | {"1_colour": DIM, "6_valid": False}))
    return folder


def made(take: Path, tmp_path: Path, files: CameraFiles) -> tuple[Path, dict[str, Any]]:
    place = tmp_path / "made"
    place.mkdir()
    folder = with_camera_files(take, files, place)
    return folder, json.loads((folder / "params.json").read_text())


def test_without_files_the_take_itself_is_read(take: Path, tmp_path: Path) -> None:
    assert made(take, tmp_path, CameraFiles())[0] == take


def test_a_rig_gives_cameras_and_profiles_and_the_take_the_rest(take: Path, tmp_path: Path) -> None:
    rig = tmp_path / "rig.json"
    rig.write_text(json.dumps(params(200.0) | {"2_colour": DIM}))
    folder, found = made(take, tmp_path, CameraFiles(rig))
    assert folder.name == take.name
    read = read_take(folder)
    assert [view.index for view in read.views] == list(range(VIEWS - 1))
    assert {view.camera.K[0, 0] for view in read.views} == {200.0}
    assert read.skipped == {6: "marked invalid in params.json"}
    assert found["2_colour"] == DIM
    assert found["1_colour"] is None
    for view in read.views:
        assert view.photo.read_bytes() == (take / view.photo.name).read_bytes()


def test_a_file_of_profiles_goes_before_the_rigs(take: Path, tmp_path: Path) -> None:
    rig, colours = tmp_path / "rig.json", tmp_path / "colours.json"
    rig.write_text(json.dumps(params(200.0) | {"2_colour": DIM}))
    colours.write_text(json.dumps({"3_colour": DIM, "3_vignetting": 0.2}))
    _, found = made(take, tmp_path, CameraFiles(rig, colours))
    assert found["2_colour"] is None
    assert (found["3_colour"], found["3_vignetting"]) == (DIM, 0.2)
    assert found["0_K"][0][0] == 200.0
