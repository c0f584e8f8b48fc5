"""`mien model export`: models and rigs by their files, in every format, and what is refused."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_model import small_model
from small_rig import small_rig
from small_template import small_template
from typer.testing import CliRunner

from processing.commands.model import app
from processing.errors import DataError
from processing.face_models.blendshapes.rig import write_rig
from processing.face_models.exports.face_export import FORMATS, FaceChoice, export_face
from processing.face_models.model_file import write_model
from processing.files.obj import read_obj
from processing.template.face_units import ARKIT_UNITS
from processing.template.template_file import write_template


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("faces")
    write_model(folder / "model.npz", small_model())
    write_rig(folder / "rig.npz", small_rig())
    write_template(folder / "template.npz", small_template()[0])
    return folder


def run(*arguments: object) -> Any:
    done = CliRunner().invoke(app, ["export", *map(str, arguments)], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


@pytest.mark.parametrize("form", FORMATS)
def test_a_model_is_written_in_every_format(files: Path, tmp_path: Path, form: str) -> None:
    if form == "usd":
        pytest.importorskip("pxr.Usd")
    ending = {"gltf": ".glb", "usd": ".usdc", "obj": "", "facescape": ".npz"}[form]
    said = json.loads(run(files / "model.npz", "--format", form, "--out", tmp_path / f"face{ending}", "--json"))
    assert (said["units"], said["vertices"]) == (52, small_model().vertex_count)
    assert said["bytes"] > 1000


@pytest.mark.parametrize("form", ["gltf", "usd", "obj"])
def test_a_rig_is_written_with_its_template(files: Path, tmp_path: Path, form: str) -> None:
    if form == "usd":
        pytest.importorskip("pxr.Usd")
    out = tmp_path / {"gltf": "a.glb", "usd": "a.usdc", "obj": "a"}[form]
    text = run(files / "rig.npz", "--format", form, "--template", files / "template.npz", "--out", out)
    assert "rig, 52 units" in text
    assert out.exists()


def test_a_seed_and_a_fit_are_persons(files: Path, tmp_path: Path) -> None:
    model = small_model()
    identity = model.sample_identity(np.random.default_rng(3))
    (tmp_path / "fit.json").write_text(json.dumps({"identity": identity.tolist()}))
    for name, choice in {"seed": ["--seed", 3], "fit": ["--identity", tmp_path / "fit.json"]}.items():
        run(files / "model.npz", "--format", "obj", "--out", tmp_path / name, *choice)
        shapes = model.shapes(identity)
        for unit in ("neutral", "jawOpen"):
            again = read_obj(tmp_path / name / f"{unit}.obj").vertices_mm
            wanted = shapes[0 if unit == "neutral" else 1 + ARKIT_UNITS.index(unit)]
            np.testing.assert_allclose(again, wanted, atol=1e-3)


def test_what_cannot_be_exported_is_said(files: Path, tmp_path: Path) -> None:
    model, rig, out = files / "model.npz", files / "rig.npz", tmp_path / "out"
    (tmp_path / "fit.json").write_text('{"identity": [1, 2]}')
    (tmp_path / "bad.json").write_text('{"weights": []}')
    (tmp_path / "junk.npz").write_bytes(b"PK junk")
    write_rig(tmp_path / "other.npz", replace(small_rig(), topology="12-abc"))
    template = files / "template.npz"
    for source, form, choice, why in (
        (model, "fbx", {}, "no format 'fbx'"),
        (rig, "facescape", {}, "one subject's rig"),
        (rig, "gltf", {"seed": 1}, "leave --seed"),
        (model, "gltf", {"template": template}, "leave --template out"),
        (model, "facescape", {"seed": 1}, "whole model"),
        (model, "gltf", {"seed": 1, "identity": tmp_path / "fit.json"}, "give one of them"),
        (model, "gltf", {"identity": tmp_path / "fit.json"}, "has 2 numbers"),
        (model, "gltf", {"identity": tmp_path / "bad.json"}, "no `identity`"),
        (model, "gltf", {"texture": tmp_path / "bad.json"}, "no JPEG"),
        (tmp_path / "junk.npz", "gltf", {}, "neither a face model nor a rig"),
        (tmp_path / "none.npz", "gltf", {}, "cannot be read"),
        (tmp_path / "other.npz", "gltf", {"template": template}, "topology 12-abc"),
    ):
        with pytest.raises(DataError, match=why):
            export_face(source, out, form, FaceChoice(**choice))
        assert not out.exists()
