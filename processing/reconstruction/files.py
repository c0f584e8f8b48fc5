"""A take folder becomes a scan file: what `mien reconstruct` does."""

import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path

from processing.cameras import camera_from_params
from processing.errors import TakeError
from processing.mesh_files import write_ply
from processing.progress import Progress, part, silent
from processing.reconstruction.pipeline import reconstruct
from processing.reconstruction.settings import ReconstructionSettings, Scan
from processing.takes import Take, read_photos, read_take


def reconstruct_take(
    take_dir: Path,
    out: Path,
    *,
    rig: Path | None,
    device: str,
    settings: ReconstructionSettings,
    progress: Progress = silent,
) -> tuple[Scan, Mapping[int, str]]:
    """Read a take, reconstruct it, write the PLY whole or not at all. Returns the scan and the views not used.

    rig: a FaceScape params.json whose cameras replace the take's. Raises DataError with what is wrong.
    """
    if out.is_dir() or out.suffix.lower() != ".ply":
        raise TakeError(f"--out {out} is not a file name ending in .ply")
    take, images = read_photos(read_take(take_dir), progress=part(progress, 0.0, 0.05))
    if rig is not None:
        take = with_rig(take, rig)
    scan = reconstruct(images, take.cameras, settings=settings, device=device, progress=part(progress, 0.05, 0.97))
    progress(0.97, f"writing {out.name}")
    write_ply(out, scan.mesh)
    progress(1.0, f"wrote {out}")
    skipped = dict(take.skipped) | {int(name): why for name, why in scan.report.unused.items()}
    return scan, dict(sorted(skipped.items()))


def with_rig(take: Take, path: Path) -> Take:
    """The take with the cameras of a rig file. Raises TakeError and CameraError."""
    try:
        params = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise TakeError(f"the rig {path} cannot be read as JSON: {error}") from None
    if not isinstance(params, dict):
        raise TakeError(
            f"the rig {path} holds a {type(params).__name__}; wanted an object with keys '0_K', '0_Rt', ..."
        )
    views = tuple(replace(view, camera=camera_from_params(params, view.index)) for view in take.views)
    return replace(take, views=views)


def report_json(scan: Scan, skipped: Mapping[int, str]) -> str:
    return json.dumps({**asdict(scan.report), "skipped": {str(view): why for view, why in skipped.items()}}, indent=2)


def report_lines(scan: Scan, out: Path) -> str:
    r = scan.report
    return (
        f"{out}: {r.vertices} vertices, {r.triangles} triangles from {r.depth_views} of {r.views} views in"
        f" {sum(r.seconds.values()):.0f} s\n"
        f"one pixel spans {r.footprint_mm:.2f} mm of the subject; median correlation between views {r.score:.2f}"
    )
