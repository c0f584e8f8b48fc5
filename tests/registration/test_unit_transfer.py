"""Units carried to a template of another topology move it as its own units do."""

from pathlib import Path

import numpy as np
import pytest
from small_template import small_template
from typer.testing import CliRunner

from processing.commands.template import app
from processing.files.image_files import read_image
from processing.files.obj import write_obj
from processing.registration.unit_transfer import units_for
from processing.template.builtin_template import default_template
from processing.template.face_units import ARKIT_UNITS, builtin_units, read_units, write_units
from processing.template.template import EYE, SKIN
from processing.template.template_file import write_template
from processing.template.template_import import import_ict

ICT = Path(__file__).parents[3] / "shared" / "data" / "ict_face.npz"


def likeness(one, other):
    """Of two fields (V, 3): the cosine between them."""
    return float((one * other).sum() / np.sqrt((one**2).sum() * (other**2).sum() + 1e-12))


@pytest.mark.slow
def test_the_built_in_topology_has_the_built_in_units():
    template = default_template()
    assert np.array_equal(units_for(template).offsets_mm, builtin_units(template).offsets_mm)


@pytest.fixture(scope="module")
def carried():
    template, _ = small_template()
    return units_for(template)


def test_units_of_another_topology_of_the_same_head_are_its_own(carried):
    template, own = small_template()
    skin = template.parts == SKIN
    for number, unit in enumerate(ARKIT_UNITS):
        if unit != "tongueOut":  # a template has no tongue
            found, wanted = carried.offsets_mm[number][skin], own.offsets_mm[number][skin]
            assert likeness(found, wanted) > 0.9, unit
            moved = np.linalg.norm(wanted, axis=1) > 1.0
            error = np.linalg.norm(found - wanted, axis=1)[moved].mean()
            assert error < 0.25 * np.linalg.norm(wanted, axis=1)[moved].mean(), unit
    carried.require_topology(template)


def test_the_command_draws_and_writes_beside_the_template(tmp_path, carried):
    template, _ = small_template()
    write_template(tmp_path / "head.npz", template)
    write_units(tmp_path / "other.npz", carried)
    (tmp_path / "objs").mkdir()
    lower = template.mesh.vertices_mm - np.array([0, 5, 0])
    write_obj(tmp_path / "objs" / "jawOpen.obj", template.mesh.with_vertices(lower))
    arguments = ["units", "--template", str(tmp_path / "head.npz"), "--import", str(tmp_path / "objs"), "--json"]
    result = CliRunner().invoke(app, [*arguments, "--picture", str(tmp_path / "sheet.png")])
    assert result.exit_code == 0, result.output
    found = read_units(tmp_path / "head.units.npz")
    assert np.abs(found.offsets_mm[ARKIT_UNITS.index("jawOpen")] - [0, -5, 0]).max() < 1e-3
    assert read_image(tmp_path / "sheet.png").std() > 10


@pytest.mark.slow
@pytest.mark.skipif(not ICT.is_file(), reason="ICT's face is on the developers' machines")
def test_units_of_a_head_of_its_own_move_its_face_its_eyes_and_its_lower_teeth():
    template = import_ict(ICT)
    units = units_for(template)
    landmarks = template.landmark_points(template.mesh.vertices_mm)

    def of(name):
        return units.offsets_mm[ARKIT_UNITS.index(name)]

    assert (
        np.linalg.norm(template.landmark_points(template.mesh.vertices_mm + of("jawOpen")) - landmarks, axis=1)[8] > 15
    )
    lips = template.landmark_points(template.mesh.vertices_mm + of("jawOpen"))
    assert np.linalg.norm(lips[62] - lips[66]) > 15  # the lips part: neither lip took the other's motion
    left = template.mesh.vertices_mm[:, 0] > landmarks[27, 0]
    eyes = template.parts == EYE
    assert np.abs(of("eyeLookUpLeft")[eyes & left]).max() > 2
    assert np.abs(of("eyeLookUpLeft")[eyes & ~left]).max() < 0.5
