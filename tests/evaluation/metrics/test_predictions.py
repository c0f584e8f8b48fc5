"""A method's files: meshes and cameras that are read, and those that are refused with their reason."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from round_heads import RoundHead, orthographic, perspective

from processing.errors import DataError
from processing.evaluation.metrics.predictions import PredictionError, read_prediction
from processing.evaluation.metrics.view import ViewError, read_view, write_view
from processing.files.obj import write_obj


@pytest.mark.parametrize("camera", [perspective(30), orthographic(20)])
def test_a_prediction_is_read_with_its_camera(tmp_path: Path, camera: Any) -> None:
    mesh = RoundHead.of(1).mesh(10, 12)
    write_obj(tmp_path / "00_0_00.obj", mesh)
    assert read_prediction(tmp_path, "00_0_00").view is None
    write_view(tmp_path / "00_0_00.camera.json", camera.view)
    found = read_prediction(tmp_path, "00_0_00")
    assert type(found.view) is type(camera.view)
    np.testing.assert_allclose(found.view.to_camera(mesh.vertices_mm), camera.view.to_camera(mesh.vertices_mm))
    np.testing.assert_allclose(found.mesh.vertices_mm, mesh.vertices_mm, atol=1e-4)


def test_no_mesh_and_no_number_are_told(tmp_path: Path) -> None:
    with pytest.raises(PredictionError, match="no mesh"):
        read_prediction(tmp_path, "01_0_00")
    (tmp_path / "01_0_00.obj").write_text("v nan 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n")
    with pytest.raises(DataError, match="not finite"):
        read_prediction(tmp_path, "01_0_00")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"projection": "fisheye"}, "projection"),
        ({"K": None}, "K is not made of numbers|K has shape"),
        ({"K": [[1, 0, 0], [0, 1, 0]]}, "K has shape"),
        ({"K": [[-1200, 0, 128], [0, 1200, 128], [0, 0, 1]]}, "positive focal"),
        ({"R": [[1, 0, 0], [0, 1, 0], [0, 0, -1]]}, "not a rotation"),
        ({"R": [[2, 0, 0], [0, 2, 0], [0, 0, 2]]}, "not a rotation"),
        ({"t": [0, 0, float("nan")]}, "not finite"),
        ({"t": "far"}, "not made of numbers"),
    ],
)
def test_a_camera_that_is_none_is_refused(tmp_path: Path, change: dict[str, Any], words: str) -> None:
    path = tmp_path / "a.camera.json"
    path.write_text(json.dumps(perspective().view.as_json() | change))
    with pytest.raises(ViewError, match=words) as told:
        read_view(path)
    assert "a.camera.json" in str(told.value)


def test_a_camera_lacks_what_it_lacks(tmp_path: Path) -> None:
    path = tmp_path / "a.camera.json"
    path.write_text('{"projection": "orthographic", "R": [[1, 0, 0], [0, 1, 0], [0, 0, 1]]}')
    with pytest.raises(ViewError, match="lacks scale, t"):
        read_view(path)
    for text in ("", "[]", "{", "3", '{"projection": ["perspective"]}', "nan"):
        path.write_text(text)
        with pytest.raises(ViewError):
            read_view(path)
