"""A take folder becomes a scan file: what `mien reconstruct` does."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from common.array_types import Image
from common.files.json_object import read_json_object
from common.progress import Progress, no_progress, part
from processing.camera_check.report import CameraCheckReport
from processing.camera_check.settings import CameraCheckSettings
from processing.camera_check.take_check import check_take_cameras
from processing.errors import TakeError
from processing.files.camera_models import camera_from_params
from processing.files.colour_profiles import Profile, read_profiles
from processing.files.image_files import write_image
from processing.files.photograph_sequence import selected_photographs
from processing.files.ply import write_ply
from processing.files.take_folder import HELD_BYTES, Take, read_photos, read_take
from processing.geometry.cameras import Camera
from processing.photometry.colour_correction import apply_profile
from processing.reconstruction.multi_view_stereo import reconstruct
from processing.reconstruction.settings import ReconstructionSettings, Scan
from processing.scan_quality.scan_measures import ScanQuality, measure_scan
from processing.scan_quality.scan_picture import quality_picture
from processing.scan_quality.scan_verdict import QualitySettings, judge
from processing.scan_quality.verdict import QualityReview


@dataclass(frozen=True, eq=False)
class TakeScan:
    """A scan of a take, and what was found on the way.

    take: the views used, their cameras as put right; the rest in `skipped` with the reason.  watch: the drift watch's
    findings; None where it was not asked.  quality, review: how good the scan is, and what follows.
    """

    scan: Scan
    take: Take
    watch: CameraCheckReport | None
    quality: ScanQuality
    review: QualityReview
    cameras: tuple[Camera, ...]

    @property
    def skipped(self) -> Mapping[int, str]:
        """View -> why it gave nothing."""
        return self.take.skipped

    @property
    def trouble(self) -> dict[str, str]:
        """Camera -> what was wrong with it."""
        found = {f.camera: f.text for f in self.watch.troubles} if self.watch else {}
        return {str(view): why for view, why in self.skipped.items()} | found

    def picture(self) -> Image:
        """(h, w, 3) BGR of the scan's quality, for a person."""
        return quality_picture(self.scan.mesh, self.quality, self.review, self.trouble, self.cameras)


def scan_take(
    take: Take,
    images: Sequence[Image],
    *,
    settings: ReconstructionSettings,
    device: str = "cpu",
    drift: CameraCheckSettings | None = None,
    watched: bool = True,
    thresholds: QualitySettings | None = None,
    profiles: Mapping[int, Profile] | None = None,
    progress: Progress = no_progress,
) -> TakeScan:
    """Watch the cameras, reconstruct, and judge the scan.

    images: as `read_photos` gives them, one a view.  profiles: view -> colour profile, applied first.
    watched: whether cameras are held against each other.  Raises DataError with what is wrong.
    """
    cameras, taken = tuple(take.cameras), len(take.views) + len(take.skipped)
    given = dict(profiles or {})

    def in_profile(at: int, image: Image) -> Image:
        profile = given.get(indices[at])
        return image if profile is None else apply_profile(image, profile)

    indices = [view.index for view in take.views]
    kept = selected_photographs(images, range(len(indices)))
    if given:
        kept = kept.changed(in_profile).held(HELD_BYTES)
    report, places = None, np.zeros((0, 3))
    if watched:
        take, kept, seen = check_take_cameras(
            take, kept, settings=drift, workers=settings.workers, progress=part(progress, 0.0, 0.08)
        )
        report, places = seen.report, seen.points_mm
    scan = reconstruct(kept, take.cameras, settings=settings, device=device, progress=part(progress, 0.08, 0.9))
    unused = {int(name): why for name, why in scan.report.unused.items()}
    used = [k for k, view in enumerate(take.views) if view.index not in unused]
    kept = selected_photographs(kept, used)
    take = replace(
        take, views=tuple(take.views[k] for k in used), skipped=dict(sorted((dict(take.skipped) | unused).items()))
    )
    quality = measure_scan(
        scan.mesh, kept, take.cameras, places, workers=settings.workers, progress=part(progress, 0.9, 1.0)
    )
    return TakeScan(scan, take, report, quality, judge(quality, taken=taken, settings=thresholds), cameras)


def reconstruct_take(
    take_dir: Path,
    out: Path,
    *,
    rig: Path | None,
    device: str,
    settings: ReconstructionSettings,
    watched: bool = True,
    colours: Path | None = None,
    picture: Path | None = None,
    progress: Progress = no_progress,
) -> TakeScan:
    """Read a take, reconstruct it, write the PLY whole or not at all.

    rig: a FaceScape params.json whose cameras replace the take's.  colours: a file with the views' colour profiles, in
    place of those that the rig or the take's params.json may have.  picture: a PNG of the scan's quality.
    Raises DataError with what is wrong.
    """
    if out.is_dir() or out.suffix.lower() != ".ply":
        raise TakeError(f"--out {out} is not a file name ending in .ply")
    if picture is not None and picture.suffix.lower() != ".png":
        raise TakeError(f"--picture {picture} is not a file name ending in .png")
    take, images = read_photos(read_take(take_dir), progress=part(progress, 0.0, 0.05))
    if rig is not None:
        take = with_rig(take, rig)
    profiles = read_profiles(colours or rig or take.folder / "params.json", [v.index for v in take.views])
    made = scan_take(
        take,
        images,
        settings=settings,
        device=device,
        watched=watched,
        profiles=profiles,
        progress=part(progress, 0.05, 0.97),
    )
    progress(0.97, f"writing {out.name}")
    write_ply(out, made.scan.mesh)
    if picture is not None:
        write_image(picture, made.picture())
    progress(1.0, f"wrote {out}")
    return made


def with_rig(take: Take, path: Path) -> Take:
    """The take with the cameras of a rig file. Raises TakeError and CameraError."""
    params = read_json_object(path, TakeError, what="the rig", keys="'0_K', '0_Rt', ...")
    views = tuple(replace(view, camera=camera_from_params(params, view.index)) for view in take.views)
    return replace(take, views=views)


def report_dict(made: TakeScan) -> dict[str, Any]:
    """All that was found, as plain values: what `--json` prints and the farm records."""
    watch = asdict(made.watch) if made.watch is not None else None
    return {
        **asdict(made.scan.report),
        "skipped": {str(view): why for view, why in made.skipped.items()},
        "cameras": watch,
        "review": asdict(made.review),
    }


def report_json(made: TakeScan) -> str:
    return json.dumps(report_dict(made), indent=2)


def report_lines(made: TakeScan, out: Path) -> str:
    r, f = made.scan.report, made.review.figures
    lines = [
        f"{out}: {r.vertices} vertices, {r.triangles} triangles from {r.depth_views} of {r.views} views in"
        f" {sum(r.seconds.values()):.0f} s",
        f"one pixel spans {r.footprint_mm:.2f} mm of the subject; median correlation between views {r.score:.2f}",
    ]
    parts = [f"open {100 * f['holes']:.1f} %", f"roughness {f['noise_mm']:.3f} mm"]
    if f["coverage"] is not None:
        parts.insert(0, f"covers {100 * f['coverage']:.1f} % of the subject's known places")
    if f["offset_mm"] is not None:
        parts.append(f"cameras' views of it off by {f['offset_mm']:.2f} mm")
    said = {
        "accept": "accepted",
        "review": "look at it: " + "; ".join(made.review.reasons),
        "redo": "to be done again: " + "; ".join(made.review.reasons),
    }[made.review.verdict]
    return "\n".join([*lines, "; ".join(parts), said])
