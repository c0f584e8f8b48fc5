"""Photographs of a take -> scan."""

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from common.progress import part
from processing.camera_check.settings import CameraCheckSettings
from processing.camera_check.take_check import cameras_used
from processing.files.colour_profiles import read_profiles
from processing.files.image_files import write_image
from processing.files.ply import write_ply
from processing.files.stage_files import write_json
from processing.files.take_folder import read_photos, read_take
from processing.reconstruction.settings import ReconstructionSettings
from processing.scan_quality.scan_verdict import QualitySettings
from processing.stages.base import TAKE, Inputs, Resources, Stage, StageParams
from processing.stages.support.take_scan import report_dict, scan_take


class Reconstruct(Stage):
    """scan: the surface with vertex colours, mm, head frame; report: views used and left out, cameras, points, times.

    cameras: params.json of the views used, as put right.  review: verdict, reasons and figures of the scan's quality;
    quality: the same as a picture.
    """

    name, version = "reconstruct", 4
    needs: ClassVar[Mapping[str, str]] = {"take": TAKE}
    makes: ClassVar[Mapping[str, str]] = {
        "scan": "ply",
        "report": "json",
        "cameras": "json",
        "review": "json",
        "quality": "png",
    }
    resources = Resources(ram_gb=3, gpu=True)

    class Params(StageParams):
        """watch: hold the cameras against each other. refine: put moved ones right, else leave them out.

        review_*, redo_*: thresholds of the scan's quality, as QualitySettings has them.
        """

        scale: float = 1.0
        max_megapixels: float = 6.0
        depth_views: int | None = None
        spacing_px: float = 1.2
        subdivide: bool = True
        vertices: int | None = 2_000_000
        watch: bool = True
        refine: bool = True
        review_coverage: float = QualitySettings.coverage[0]
        redo_coverage: float = QualitySettings.coverage[1]
        review_holes: float = QualitySettings.holes[0]
        redo_holes: float = QualitySettings.holes[1]
        review_lost: float = QualitySettings.lost[0]
        redo_lost: float = QualitySettings.lost[1]
        review_offset: float = QualitySettings.offset[0]
        redo_offset: float = QualitySettings.offset[1]
        review_noise: float = QualitySettings.noise[0]
        redo_noise: float = QualitySettings.noise[1]

    def run(self, inputs: Inputs, params: Params, out: Path) -> None:
        thresholds = QualitySettings(
            coverage=(params.review_coverage, params.redo_coverage),
            holes=(params.review_holes, params.redo_holes),
            lost=(params.review_lost, params.redo_lost),
            offset=(params.review_offset, params.redo_offset),
            noise=(params.review_noise, params.redo_noise),
        )
        take, images = read_photos(read_take(inputs["take"]), progress=part(inputs.progress, 0, 0.03))
        settings = ReconstructionSettings(
            scale=params.scale,
            max_megapixels=params.max_megapixels,
            depth_views=params.depth_views,
            spacing_px=params.spacing_px,
            subdivide=params.subdivide,
            vertices=params.vertices,
            workers=inputs.threads,
        )
        made = scan_take(
            take,
            images,
            settings=settings,
            device=inputs.device,
            drift=CameraCheckSettings(refine=params.refine),
            watched=params.watch,
            thresholds=thresholds,
            profiles=read_profiles(inputs["take"] / "params.json", [v.index for v in take.views]),
            progress=part(inputs.progress, 0.03, 0.97),
        )
        found = report_dict(made)
        write_ply(out / "scan.ply", made.scan.mesh)
        write_json(out / "report.json", {"report": made.scan.report, **{k: found[k] for k in ("skipped", "cameras")}})
        write_json(out / "cameras.json", cameras_used(made.take))
        write_json(out / "review.json", found["review"])
        write_image(out / "quality.png", made.picture())
