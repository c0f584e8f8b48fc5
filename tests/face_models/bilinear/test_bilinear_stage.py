"""The stage that makes a study's model: rigs, textures and members to a model, its card and a picture."""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from small_model import egg_template
from small_study import texture, write_study

from processing.face_models.bilinear.colour_components import from_linear
from processing.face_models.model_file import read_model
from processing.farm.scheduling.stage_graph import checked_params
from processing.files.image_files import read_image
from processing.stages.base import Inputs, ParamsError
from processing.stages.bilinear import Bilinear
from processing.template.template_file import write_template


@pytest.fixture
def inputs(tmp_path: Path) -> Inputs:
    rigs, members = write_study(tmp_path, 6)
    write_template(tmp_path / "template.npz", egg_template())
    said = {"members": [{"code": m.code, "age": m.age, "gender": m.gender} for m in members]}
    (tmp_path / "members.json").write_text(json.dumps(said))
    textures, seen = {}, {}
    for number, code in enumerate(rigs):
        textures[code], seen[code] = tmp_path / f"{code}.jpg", tmp_path / f"{code}.png"
        picture = np.rint(from_linear(texture(number))).clip(0, 255).astype(np.uint8)
        cv2.imwrite(str(textures[code]), picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 98])
        cv2.imwrite(str(seen[code]), np.full((64, 64), 255, np.uint8))
    paths = {"template": tmp_path / "template.npz", "members": tmp_path / "members.json"}
    return Inputs(paths, many={"rigs": rigs, "textures": textures, "seen": seen})


def test_a_study_becomes_a_model_with_its_card(inputs: Inputs, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    params = Bilinear.Params(name="faces", number=2, identities=4, albedo_px=32, albedo_components=3)
    Bilinear().run(inputs, params, out)
    assert sorted(p.name for p in out.iterdir()) == sorted(Bilinear.file_name(o) for o in Bilinear.makes)
    model = read_model(out / "model.npz")
    assert (model.name, model.version, model.identity_count, len(model.units)) == ("faces", 2, 4, 52)
    assert model.expression_mixture is not None
    assert model.albedo is not None
    red, green, blue = model.albedo.mean.mean(axis=0)
    assert red > green > blue  # skin, its channels in their order
    assert json.loads((out / "card_data.json").read_text()) == model.card.as_json()
    assert "faces, version 2" in (out / "card.md").read_text()
    assert read_image(out / "quality.png").shape[0] > 100


def test_without_textures_there_is_no_albedo(inputs: Inputs, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    bare = Inputs(inputs.paths, many={"rigs": inputs.each("rigs")})
    Bilinear().run(bare, Bilinear.Params(identities=3), out)
    assert read_model(out / "model.npz").albedo is None


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"colour_matching": "eye"}, "wanted one of eyes, mean, none"),
        ({"identities": 0}, "identities is 0; wanted 1 to"),
        ({"identities": -3}, "identities is -3"),
        ({"expressions": 54}, "expressions is 54; wanted 0 to 53"),
        ({"sweeps": -1}, "sweeps is -1"),
        ({"albedo_px": 0}, "albedo_px is 0"),
        ({"albedo_px": 10**6}, "albedo_px is 1000000"),
        ({"albedo_components": 0}, "albedo_components is 0"),
        ({"number": 0}, "number is 0"),
    ],
)
def test_parameters_out_of_bounds_are_refused_before_any_rig_is_made(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ParamsError, match=said):
        checked_params({"bilinear": Bilinear()}, {"bilinear": given})
