"""Face units: those of the built-in head fit its template, and files are refused by name."""

import numpy as np
import pytest
from small_template import small_template

from processing.files.obj import write_obj
from processing.template.builtin_template import default_template, template_topology
from processing.template.expression_recipes import EXPRESSION_RECIPES
from processing.template.face_units import (
    ARKIT_UNITS,
    FaceUnitsError,
    builtin_units,
    import_units,
    is_builtin,
    read_units,
    topology_units,
    write_units,
)
from processing.template.part_separation import PartSeparation
from processing.template.settled_units import ANNY_WHOLE, DEEPEST_MM
from processing.template.template import EYE, SKIN


@pytest.fixture(scope="module")
def builtin():
    template = default_template()
    return template, builtin_units(template), topology_units(template_topology(len(template.mesh.vertices_mm)))


def test_the_built_in_units_make_the_templates_expressions(builtin):
    """Offsets add up to the posed head where no parts are drawn apart and no eyelid slides over an eyeball."""
    template, units, plain = builtin
    units.require_topology(template)
    skin = template.parts == SKIN
    drawn = np.abs(units.offsets_mm - plain).max(axis=2) > 0.01
    for name, recipe in EXPRESSION_RECIPES.items():
        weights = np.array([recipe.get(unit, 0.0) / ANNY_WHOLE.get(unit, 1.0) for unit in ARKIT_UNITS])
        sum_mm = template.mesh.vertices_mm + np.tensordot(weights, units.offsets_mm, axes=1)
        alike = skin & ~drawn[weights > 0].any(axis=0)
        assert alike.sum() > 0.85 * skin.sum()
        assert np.linalg.norm(sum_mm - template.expressions[name], axis=1)[alike].max() < 0.3, name


def test_no_built_in_unit_has_parts_in_each_other(builtin):
    """Both sides of a unit together, and lips that roll in together; mouthClose undoes an open jaw and is none."""
    template, units, plain = builtin
    neutral = template.mesh.vertices_mm
    separation = PartSeparation.of(template.mesh, template.parts, template.landmark_points(neutral))
    opposite = {"jawLeft", "jawRight", "mouthLeft", "mouthRight"}
    stems = {unit.removesuffix("Left").removesuffix("Right") for unit in ARKIT_UNITS if unit not in opposite} | opposite
    for stem in sorted((stems - {"mouthClose", "mouthRollLower", "mouthRollUpper"}) | {"mouthRoll"}):
        members = [n for n, unit in enumerate(ARKIT_UNITS) if unit.startswith(stem)]
        deepest = separation.deepest(neutral + units.offsets_mm[members].sum(axis=0))
        assert max(deepest.values()) < DEEPEST_MM + 0.2, (stem, deepest)
    moved = np.linalg.norm(units.offsets_mm - plain, axis=2)
    assert moved.max() < 3.0
    lips = [n for n, unit in enumerate(ARKIT_UNITS) if unit.startswith("mouth")]
    assert moved[lips][:, template.parts == EYE].max() < 1e-6  # lips drawn apart leave eyes alone


@pytest.mark.parametrize("side", ["Left", "Right"])
def test_a_blink_closes_the_lids_and_no_more(builtin, side):
    """At its full weight they meet; at three quarters they are apart."""
    template, units, _ = builtin
    neutral = template.mesh.vertices_mm
    separation = PartSeparation.of(template.mesh, template.parts, template.landmark_points(neutral))
    lids = (37, 41, 38, 40) if side == "Right" else (43, 47, 44, 46)
    offset = units.offsets_mm[ARKIT_UNITS.index(f"eyeBlink{side}")]

    def opening(weight):
        at = template.landmark_points(neutral + weight * offset)[list(lids)]
        return float(np.linalg.norm(at[::2] - at[1::2], axis=1).mean())

    assert separation.deepest(neutral + offset)["lids"] < DEEPEST_MM
    assert opening(1.0) < 0.3 * opening(0.0)
    assert separation.deepest(neutral + 1.3 * offset)["lids"] > 0.5


def test_units_come_back_from_their_file(tmp_path):
    _, units = small_template()
    write_units(tmp_path / "units.npz", units)
    again = read_units(tmp_path / "units.npz")
    assert np.array_equal(again.offsets_mm, units.offsets_mm)
    assert again.topology == units.topology


def test_units_of_another_topology_are_refused():
    template, units = small_template()
    assert not is_builtin(template)
    with pytest.raises(FaceUnitsError, match="topology"):
        units.require_topology(default_template())
    with pytest.raises(FaceUnitsError):
        builtin_units(template)


def test_a_folder_of_shapes_is_imported(tmp_path):
    template, units = small_template()
    for name in ("jawOpen", "browInnerUp"):
        offset = units.offsets_mm[ARKIT_UNITS.index(name)]
        write_obj(tmp_path / f"{name}.obj", template.mesh.with_vertices(template.mesh.vertices_mm + offset))
    found = import_units(template, tmp_path)
    for number, name in enumerate(ARKIT_UNITS):
        wanted = units.offsets_mm[number] if name in ("jawOpen", "browInnerUp") else 0.0
        assert np.abs(found.offsets_mm[number] - wanted).max() < 1e-3
    write_obj(tmp_path / "grimace.obj", template.mesh)
    with pytest.raises(FaceUnitsError, match="grimace"):
        import_units(template, tmp_path)


@pytest.mark.parametrize("content", [b"", b"PK nothing", None])
def test_what_holds_no_units_is_refused(tmp_path, content):
    path = tmp_path / "units.npz"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(FaceUnitsError):
        read_units(path)
    with pytest.raises(FaceUnitsError):
        import_units(small_template()[0], tmp_path)
