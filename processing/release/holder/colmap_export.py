"""COLMAP export: takes as models for splatting and radiance fields, with photographs, cameras, points of the scan.

<out>/<id>/<k>_<name>/images/<view>.jpg       the photographs, hard links where that can be
<out>/<id>/<k>_<name>/sparse/0/*.txt          cameras, images, points3D (of the scan, coloured, without tracks), mm
<out>/<id>/<k>_<name>/LICENCE.txt, CREDITS.txt

Format: https://colmap.github.io/format.html. Lengths stay millimetres, the frame the rig's.
"""

import json
from pathlib import Path

import numpy as np

from common.files.atomic_write import atomic_write
from common.files.hard_links import link_or_copy
from processing.files.camera_models import camera_from_params
from processing.files.colmap import write_colmap
from processing.files.morph_targets.morph_target_model import Rights
from processing.release.formats.assets.ply_vertices import read_scan_points
from processing.release.formats.released_files import CAMERAS, SCAN
from processing.release.reader import ReleaseFolder, TakeEntry

POINTS = 100_000
GREY = 128


def write_colmap_take(release: ReleaseFolder, take: TakeEntry, target: Path, rights: Rights) -> bool:
    """A take's model under `target`; False where the take has no photographs."""
    views = [view for view in release.views(take) if view.valid]
    if not views:
        return False
    (target / "images").mkdir(parents=True, exist_ok=True)
    for view in views:
        photograph = target / "images" / view.photograph.name
        if not photograph.exists():
            link_or_copy(view.photograph, photograph)
    model = target / "sparse" / "0"
    params = json.loads((release.folder / CAMERAS.at(take.index, take.label)).read_text(encoding="utf-8"))
    write_colmap(model, {view.index: camera_from_params(params, view.index) for view in views})
    for name in ("cameras.txt", "images.txt"):
        _noted(model / name, rights)
    _write_points(model / "points3D.txt", release.folder / SCAN.at(take.index, take.label), rights)
    return True


def _write_points(path: Path, scan: Path, rights: Rights) -> None:
    """Points of the scan, evenly over its vertices, in its colours; a file without points where there is no scan."""
    lines = [f"# {rights.notice}", "# POINT3D_ID, X, Y, Z (mm), R, G, B, ERROR, TRACK[] as (IMAGE_ID, POINT2D_IDX)"]
    if scan.is_file():
        points_mm, read_colours = read_scan_points(scan)
        count = len(points_mm)
        chosen = np.unique(np.linspace(0, count - 1, min(POINTS, count)).astype(np.int64))
        colours = np.full((count, 3), GREY) if read_colours is None else read_colours
        for number, (point, colour) in enumerate(zip(points_mm[chosen], colours[chosen], strict=True), start=1):
            x, y, z = point.tolist()
            lines.append(f"{number} {x:.4f} {y:.4f} {z:.4f} {colour[0]} {colour[1]} {colour[2]} 0")
    with atomic_write(path) as temporary:
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _noted(path: Path, rights: Rights) -> None:
    """Put the rights above what a file says, as a comment."""
    text = path.read_text(encoding="utf-8")
    with atomic_write(path) as temporary:
        temporary.write_text(f"# {rights.notice}\n{text}", encoding="utf-8")
