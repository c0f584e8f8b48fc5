"""Scan and landmarks -> the template's topology on this face. Expressions start from the subject's neutral."""

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from processing.mesh_files import read_ply
from processing.registration.landmarks import read_landmarks
from processing.registration.register import register_expression, register_neutral
from processing.registration.template import Template
from processing.stages.base import TEMPLATE, Inputs, Resources, Stage, StageParams
from processing.stages.files import read_vertices, write_json, write_vertices


class Register(Stage):
    """mesh: vertices (V, 3) mm in the template's order; report: what the registration says of itself."""

    name, version = "register", 1
    needs: ClassVar[Mapping[str, str]] = {
        "template": TEMPLATE,
        "scan": "reconstruct",
        "landmarks": "landmarks",
        "neutral": "neutral:register.mesh",
    }
    makes: ClassVar[Mapping[str, str]] = {"mesh": "npz", "report": "json"}
    resources = Resources(ram_gb=2)

    class Params(StageParams):
        expression: str = "neutral"

    def run(self, inputs: Inputs, params: Params, out: Path) -> None:
        template = Template.load(inputs["template"])
        scan = read_ply(inputs["scan"])
        landmarks = read_landmarks(inputs["landmarks"])
        neutral = inputs.get("neutral")
        if neutral is None:
            registration = register_neutral(template, scan, landmarks, progress=inputs.progress)
        else:
            registration = register_expression(
                template, params.expression, read_vertices(neutral), scan, landmarks, progress=inputs.progress
            )
        write_vertices(out / "mesh.npz", registration.vertices_mm)
        write_json(out / "report.json", {"report": registration.report})
