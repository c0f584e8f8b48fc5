"""Photographs of a take -> scan."""

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from processing.mesh_files import write_ply
from processing.progress import part
from processing.reconstruction import ReconstructionSettings, reconstruct
from processing.stages.base import TAKE, Inputs, Resources, Stage, StageParams
from processing.stages.files import write_json
from processing.takes import read_photos, read_take


class Reconstruct(Stage):
    """scan: the surface with vertex colours, mm, head frame; report: views used and left out, points, times."""

    name, version = "reconstruct", 1
    needs: ClassVar[Mapping[str, str]] = {"take": TAKE}
    makes: ClassVar[Mapping[str, str]] = {"scan": "ply", "report": "json"}
    resources = Resources(ram_gb=3)

    class Params(StageParams):
        scale: float = 1.0
        max_megapixels: float = 6.0
        depth_views: int | None = None
        spacing_px: float = 1.2

    def run(self, inputs: Inputs, params: Params, out: Path) -> None:
        take, images = read_photos(read_take(inputs["take"]), progress=part(inputs.progress, 0, 0.03))
        settings = ReconstructionSettings(
            scale=params.scale,
            max_megapixels=params.max_megapixels,
            depth_views=params.depth_views,
            spacing_px=params.spacing_px,
            workers=inputs.threads,
        )
        scan = reconstruct(
            images,
            take.cameras,
            settings=settings,
            device=inputs.device,
            progress=part(inputs.progress, 0.03, 0.97),
        )
        write_ply(out / "scan.ply", scan.mesh)
        write_json(out / "report.json", {"report": scan.report, "skipped": dict(take.skipped)})
