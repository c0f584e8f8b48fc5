"""A rig as files of others: one OBJ a unit, and the weights of each take."""

from pathlib import Path
from typing import Any

import numpy as np

from processing.face_models.blendshapes.rig import Rig, RigError
from processing.files.obj import write_obj
from processing.template.face_units import topology_of
from processing.template.template import Template

NEUTRAL_FILE = "Neutral.obj"


def write_unit_meshes(folder: Path, template: Template, rig: Rig) -> list[Path]:
    """Neutral.obj and <unit>.obj with the template's UVs into `folder`; the files.

    `mien template units --import` reads such a folder. Raises RigError for a template of another topology.
    """
    if topology_of(template) != rig.topology:
        raise RigError(f"the rig is of topology {rig.topology}, template {template.name} of {topology_of(template)}")
    folder.mkdir(parents=True, exist_ok=True)
    shapes = {NEUTRAL_FILE: rig.neutral_mm} | {f"{name}.obj": rig.shapes_mm[n] for n, name in enumerate(rig.names)}
    for name, vertices in shapes.items():
        write_obj(folder / name, template.mesh.with_vertices(np.asarray(vertices, dtype=np.float64)))
    return [folder / name for name in shapes]


def weights_document(rig: Rig) -> dict[str, Any]:
    """The weights of each take as JSON has them: {"units": [...], "takes": {label: {unit: weight above 0}}}."""
    takes = {
        label: {name: round(float(w), 5) for name, w in zip(rig.names, row, strict=True) if w > 5e-6}
        for label, row in zip(rig.examples, rig.weights, strict=True)
    }
    return {"units": list(rig.names), "takes": takes}
