"""Registered mesh and scan -> displacement map: what the base mesh lost, along its normals."""

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from processing.displacement.displacement_bake import bake
from processing.files.displacement_exr import write_displacement_exr
from processing.files.displacement_png import write_displacement_png
from processing.files.ply import read_ply
from processing.files.stage_files import read_vertices
from processing.stages.base import TEMPLATE, Inputs, Resources, Stage, StageParams
from processing.template.template import SKIN, Template


class Bake(Stage):
    """displacement: 16-bit PNG over the template's UVs, its scale written inside.  exr: the same heights in mm."""

    name, version = "bake", 5
    needs: ClassVar[Mapping[str, str]] = {"template": TEMPLATE, "mesh": "register", "scan": "reconstruct"}
    makes: ClassVar[Mapping[str, str]] = {"displacement": "png", "exr": "exr"}
    resources = Resources(ram_gb=2)
    time_share = 3.0

    class Params(StageParams):
        size_px: int = 2048

    def run(self, inputs: Inputs, params: Params, out: Path) -> None:
        template = Template.load(inputs["template"])
        mesh = template.mesh.with_vertices(read_vertices(inputs["mesh"]))
        scan = read_ply(inputs["scan"])
        relief = bake(mesh, scan, size_px=params.size_px, skin=template.parts == SKIN, progress=inputs.progress)
        write_displacement_png(out / "displacement.png", relief)
        write_displacement_exr(out / "exr.exr", relief)
