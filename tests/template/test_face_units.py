"""Face units: those of the built-in head fit its template, and files are refused by name."""

import numpy as np
import pytest
from small_template import small_template

from processing.files.obj import write_obj
from processing.template.builtin_template import default_template
from processing.template.expression_recipes import EXPRESSION_RECIPES
from processing.template.face_units import (
    ARKIT_UNITS,
    FaceUnitsError,
    builtin_units,
    import_units,
    is_builtin,
    read_units,
    write_units,
)


def test_the_built_in_units_make_the_templates_expressions():
    """Offsets add up to the posed head where no eyelid slides over an eyeball."""
    template = default_template()
    units = builtin_units(template)
    units.require_topology(template)
    skin = template.parts == 0
    for name, recipe in EXPRESSION_RECIPES.items():
        weights = np.array([recipe.get(unit, 0.0) for unit in ARKIT_UNITS])
        sum_mm = template.mesh.vertices_mm + np.tensordot(weights, units.offsets_mm, axes=1)
        assert np.linalg.norm(sum_mm - template.expressions[name], axis=1)[skin].max() < 0.2, name


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
