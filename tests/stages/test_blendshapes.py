"""The stage blendshapes: a subject's meshes in, rig, weights, report, verdict and picture out."""

import json

import numpy as np
import pytest
from small_template import small_template

from processing.errors import DataError
from processing.face_models.blendshapes.rig import read_rig
from processing.face_models.exports.rig_targets import rig_targets
from processing.files.image_files import read_image
from processing.files.mesh_files import read_mesh
from processing.files.morph_targets.obj_folder import write_obj_folder
from processing.files.stage_files import read_json, write_vertices
from processing.stages.base import Inputs
from processing.stages.blendshapes import Blendshapes
from processing.template.face_units import ARKIT_UNITS, import_units, write_units
from processing.template.template_file import write_template


def inputs_of(folder, meshes):
    template, units = small_template()
    folder.mkdir(exist_ok=True)
    write_template(folder / "template.npz", template)
    write_units(folder / "units.npz", units)
    for label, vertices in meshes.items():
        write_vertices(folder / f"{label}.npz", vertices)
    many = {"meshes": {label: folder / f"{label}.npz" for label in meshes}}
    return Inputs({"template": folder / "template.npz", "units": folder / "units.npz"}, many=many)


def smiling():
    template, units = small_template()
    smile = units.offsets_mm[[ARKIT_UNITS.index(f"mouthSmile{side}") for side in ("Left", "Right")]].sum(axis=0)
    neutral = template.mesh.vertices_mm
    return {"1_neutral": neutral, "2_smile": neutral + 0.9 * smile + [3, 0, 1]}


def test_equal_inputs_make_equal_bytes_and_all_that_is_promised(tmp_path):
    inputs = inputs_of(tmp_path / "in", smiling())
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        Blendshapes().run(inputs, Blendshapes.Params(), tmp_path / name)
    for output, suffix in Blendshapes.makes.items():
        one, other = (tmp_path / name / f"{output}.{suffix}" for name in ("a", "b"))
        assert one.read_bytes() == other.read_bytes(), output
    rig = read_rig(tmp_path / "a" / "rig.npz")
    assert rig.examples == ("2_smile",)
    weights = json.loads((tmp_path / "a" / "weights.json").read_text())
    assert weights["units"] == list(ARKIT_UNITS)
    assert weights["takes"]["2_smile"]["mouthSmileLeft"] == pytest.approx(0.9, abs=0.1)
    review = read_json(tmp_path / "a" / "review.json")
    assert review["verdict"] == "redo"  # one expression teaches too few units
    assert "missing" in review["reasons"][0]
    assert read_image(tmp_path / "a" / "quality.png").std() > 10


@pytest.mark.slow
def test_the_units_as_meshes_are_what_a_template_imports(tmp_path):
    template, _ = small_template()
    (tmp_path / "out").mkdir()
    Blendshapes().run(inputs_of(tmp_path / "in", smiling()), Blendshapes.Params(), tmp_path / "out")
    rig = read_rig(tmp_path / "out" / "rig.npz")
    write_obj_folder(tmp_path / "units", rig_targets(rig, template.mesh, "somebody"))
    assert len(list((tmp_path / "units").glob("*.obj"))) == 53
    assert np.abs(read_mesh(tmp_path / "units" / "jawOpen.obj").vertices_mm - rig.shapes_mm[24]).max() < 1e-3
    again = import_units(template, tmp_path / "units")
    assert np.abs(again.offsets_mm - (rig.shapes_mm - rig.neutral_mm)).max() < 2e-3


def test_a_mesh_that_is_damaged_is_refused(tmp_path):
    meshes = smiling()
    inputs = inputs_of(tmp_path / "in", meshes)
    (tmp_path / "in" / "2_smile.npz").write_bytes(b"nothing")
    with pytest.raises(DataError, match="2_smile"):
        Blendshapes().run(inputs, Blendshapes.Params(), tmp_path)
