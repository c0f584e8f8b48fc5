"""Registered expressions of a subject -> its rig: a neutral, ARKit's 52 blendshapes, the weights of each take."""

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from common.progress import part
from processing.face_models.blendshapes.build_rig import build_rig, example_residuals
from processing.face_models.blendshapes.rig import write_rig
from processing.face_models.blendshapes.rig_figures import review_rig
from processing.face_models.blendshapes.rig_picture import rig_picture
from processing.face_models.blendshapes.take_weights import weights_document
from processing.files.image_files import write_image
from processing.files.stage_files import read_vertices, write_json
from processing.stages.base import FACE_UNITS, TEMPLATE, Inputs, Resources, Scope, Stage, StageParams
from processing.template.face_units import read_units
from processing.template.template_file import read_template


class Blendshapes(Stage):
    """rig: neutral and shapes (V, 3) mm, head motion removed; weights: of each take; report: what is known of units
    and examples.  review: verdict, reasons, figures; quality: the units as a sheet, the examples' residuals.
    """

    name, version = "blendshapes", 1
    scope: ClassVar[Scope] = Scope.SUBJECT
    fewest: ClassVar[int] = 2  # the neutral and one expression
    needs: ClassVar[Mapping[str, str]] = {
        "template": TEMPLATE,
        "units": FACE_UNITS,
        "meshes": "each:register.mesh",
    }
    makes: ClassVar[Mapping[str, str]] = {
        "rig": "npz",
        "weights": "json",
        "report": "json",
        "review": "json",
        "quality": "png",
    }
    resources = Resources(ram_gb=2)
    time_share = 2.0

    class Params(StageParams):
        """No parameters."""

    def run(self, inputs: Inputs, params: Params, out: Path) -> None:  # noqa: ARG002
        template, units = read_template(inputs["template"]), read_units(inputs["units"])
        meshes = {label: read_vertices(path) for label, path in inputs.each("meshes").items()}
        rig = build_rig(template, units, meshes, progress=part(inputs.progress, 0.0, 0.85))
        review = review_rig(template, rig)
        write_rig(out / "rig.npz", rig)
        write_json(out / "weights.json", weights_document(rig))
        write_json(out / "report.json", rig.figures)
        write_json(out / "review.json", {k: getattr(review, k) for k in ("verdict", "reasons", "figures")})
        residual = example_residuals(template, units, meshes, rig)
        write_image(out / "quality.png", rig_picture(template, rig, residual, review))
