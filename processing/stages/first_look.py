"""Photographs of a take -> a scan for a look while the subject sits: frontal views at a quarter of their size."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import numpy as np

from common.memory_retention import freed_memory_kept
from common.view_counts import FEWEST_VIEWS
from processing.files.glb import write_mesh_glb
from processing.files.ply import write_ply
from processing.files.stage_files import write_json
from processing.files.take_folder import Take, read_photos, read_take
from processing.reconstruction.multi_view_stereo import reconstruct
from processing.reconstruction.settings import ReconstructionSettings
from processing.stages.base import TAKE, Inputs, Resources, Stage, StageParams

QUARTER = 0.25  # of the photographs' size
LEAST_MEGAPIXELS = 0.2  # smaller ones are not made
QUICK = ReconstructionSettings(
    depth_views=None,
    neighbours=4,
    min_consistent=1,
    min_score=0.4,
    spacing_px=1.6,
    subdivide=False,
    vertices=60_000,
    wider_search=False,
    detail_passes=0,
)


class FirstLook(Stage):
    """scan, mesh: the surface with vertex colours, head frame, as PLY (mm) and GLB (m); report: views, points, times.

    The cameras are taken as calibrated. Nothing else is made of it.
    """

    name, version = "first_look", 1
    urgent = True
    needs: ClassVar[Mapping[str, str]] = {"take": TAKE}
    makes: ClassVar[Mapping[str, str]] = {"scan": "ply", "mesh": "glb", "report": "json"}

    resources = Resources(ram_gb=1, gpu=True)
    time_share = 3.0

    class Params(StageParams):
        within_deg: float = 50.0  # of the face's front; such views are used
        views: int = 24  # at most so many of them, the most frontal ones

    @freed_memory_kept()
    def run(self, inputs: Inputs, params: Params, out: Path) -> None:
        take = frontal_views(read_take(inputs[TAKE]), params.within_deg, params.views)
        take, images = read_photos(take)
        megapixels = float(np.median([camera.width * camera.height / 1e6 for camera in take.cameras]))
        scale = min(1.0, max(QUARTER, float(np.sqrt(LEAST_MEGAPIXELS / megapixels))))
        settings = replace(QUICK, scale=scale, workers=inputs.threads)
        scan = reconstruct(images, take.cameras, settings=settings, device=inputs.device, progress=inputs.progress)
        write_ply(out / "scan.ply", scan.mesh)
        write_mesh_glb(out / "mesh.glb", scan.mesh)
        write_json(out / "report.json", {"report": scan.report, "views": [view.index for view in take.views]})


def frontal_views(take: Take, within_deg: float, most: int) -> Take:
    """The take with the views that look at the face from the front, the most frontal first; six where fewer do."""
    cosines = {view.index: -float(view.camera.viewing_direction[2]) for view in take.views}
    order = sorted(take.views, key=lambda view: -cosines[view.index])
    count = sum(cosine >= np.cos(np.radians(within_deg)) for cosine in cosines.values())
    chosen = order[: min(most, max(count, FEWEST_VIEWS))]
    return replace(take, views=tuple(sorted(chosen, key=lambda view: view.index)))
