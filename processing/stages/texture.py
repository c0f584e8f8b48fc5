"""Registered mesh and photographs -> texture in the template's UVs."""

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import numpy as np

from common.progress import part
from processing.camera_check.take_check import with_cameras_used
from processing.files.image_files import write_image
from processing.files.stage_files import read_json, read_vertices, write_json
from processing.files.take_folder import read_photos, read_take
from processing.stages.base import TAKE, TEMPLATE, Inputs, Resources, Stage, StageParams
from processing.template.template_file import read_template
from processing.texture.texture_projection import project_texture


class Texture(Stage):
    """texture: square picture, filled where no camera saw the skin; seen: which texels were seen; report."""

    name, version = "texture", 5
    needs: ClassVar[Mapping[str, str]] = {
        "template": TEMPLATE,
        "take": TAKE,
        "cameras": "reconstruct",
        "mesh": "register",
    }
    makes: ClassVar[Mapping[str, str]] = {"texture": "jpg", "seen": "png", "report": "json"}
    resources = Resources(ram_gb=2)
    time_share = 4.0

    class Params(StageParams):
        size_px: int = 2048
        quality: int = 95

    def run(self, inputs: Inputs, params: Params, out: Path) -> None:
        mesh = read_template(inputs["template"]).mesh.with_vertices(read_vertices(inputs["mesh"]))
        take = with_cameras_used(read_take(inputs["take"]), read_json(inputs["cameras"]))
        # The scan was made of these views; how many are left was judged there.
        take, images = read_photos(
            take, max_missing=len(take.views) + len(take.skipped), progress=part(inputs.progress, 0, 0.1)
        )
        texture = project_texture(
            mesh, images, take.cameras, size_px=params.size_px, progress=part(inputs.progress, 0.1, 0.95)
        )
        write_image(out / "texture.jpg", texture.image, jpeg_quality=params.quality)
        write_image(out / "seen.png", texture.seen.astype(np.uint8) * 255)
        write_json(out / "report.json", {"size_px": params.size_px, "seen_share": float(texture.seen.mean())})
