"""Photographs of a take -> scan."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path
from typing import ClassVar

from common.memory_retention import freed_memory_kept
from common.progress import part
from processing.camera_check.settings import CameraCheckSettings
from processing.camera_check.take_check import cameras_used
from processing.files.image_files import write_image
from processing.files.ply import write_ply
from processing.files.stage_files import write_json
from processing.geometry.mesh import Surface
from processing.reconstruction.multi_view_stereo import reconstruct
from processing.reconstruction.settings import ReconstructionSettings
from processing.scan_quality.scan_measures import measure_scan
from processing.scan_quality.scan_picture import quality_picture
from processing.scan_quality.scan_verdict import QualitySettings, judge
from processing.stages.base import TAKE, Inputs, Resources, Stage, StageParams, group
from processing.stages.support.checked_take import check_take


class Reconstruct(Stage):
    """scan: the surface with vertex colours, mm, head frame; report: views used and left out, cameras, points, times.

    cameras: params.json of the views used, as put right.  review: verdict, reasons and figures of the scan's quality;
    quality: the same as a picture.
    """

    name, version = "reconstruct", 5
    needs: ClassVar[Mapping[str, str]] = {"take": TAKE}
    makes: ClassVar[Mapping[str, str]] = {
        "scan": "ply",
        "report": "json",
        "cameras": "json",
        "review": "json",
        "quality": "png",
    }
    resources = Resources(ram_gb=3, gpu=True)
    time_share = 30.0

    class Params(StageParams):
        surface: ReconstructionSettings = group(
            default=ReconstructionSettings(),
            names=("scale", "max_megapixels", "depth_views", "spacing_px", "subdivide", "vertices"),
        )
        watch: bool = True  # hold the cameras against each other
        # refine: put moved cameras right, else leave them out
        cameras: CameraCheckSettings = group(default=CameraCheckSettings(), names=("refine",))
        # the thresholds of the scan's verdict
        quality: QualitySettings = group(
            default=QualitySettings(), pairs=("coverage", "holes", "lost", "offset", "noise", "estimated")
        )

    @freed_memory_kept()
    def run(self, inputs: Inputs, params: Params, out: Path) -> None:
        progress = part(inputs.progress, 0.03, 0.97)
        settings = replace(params.surface, workers=inputs.threads)
        if inputs.memory_gb is not None:
            settings = replace(settings, memory_gb=inputs.memory_gb)
        checked = check_take(inputs, params.cameras if params.watch else None)
        scan = reconstruct(
            checked.images,
            checked.take.cameras,
            settings=settings,
            device=inputs.device,
            progress=part(progress, 0.08, 0.9),
        )
        used = checked.without(scan.report.unused)
        surface = Surface(scan.outline)
        with ThreadPoolExecutor(1) as side:
            written = side.submit(write_ply, out / "scan.ply", scan.mesh)
            measured = measure_scan(
                scan.mesh,
                used.images,
                used.take.cameras,
                used.points_mm,
                surface=surface,
                workers=inputs.threads,
                progress=part(progress, 0.9, 1.0),
            )
            written.result()
        review = judge(measured, taken=len(used.take.views) + len(used.take.skipped), settings=params.quality)
        skipped = {str(view): why for view, why in used.take.skipped.items()}
        write_json(out / "report.json", {"report": scan.report, "skipped": skipped, "cameras": used.report})
        write_json(out / "cameras.json", cameras_used(used.take))
        write_json(out / "review.json", asdict(review))
        picture = quality_picture(surface, measured, review, used.troubles, used.calibrated)
        write_image(out / "quality.png", picture)
