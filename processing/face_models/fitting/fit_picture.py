"""Picture of a fit: the scan, the model's face on it, and how far they are apart, with the verdict and figures."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from common.array_types import Bools, Floats, Image
from processing.face_models.face_model import FaceModel
from processing.geometry import rendering
from processing.geometry.mesh import Mesh, Surface, submesh
from processing.scan_quality.verdict import QualityReview
from processing.scan_quality.verdict_heading import PAPER_BGR, verdict_heading
from processing.template.template import SKIN

_YAWS_DEG = (0.0, 45.0)
_ROW_PX = 20
_BEYOND_MM = 20.0  # skin farther from the scan than this has no scan


def fit_picture(
    model: FaceModel,
    scan: Mesh,
    vertices_mm: Floats,
    review: QualityReview,
    weights: Floats,
    *,
    most_mm: float = 3.0,
    height_px: int = 420,
) -> Image:
    """(h, w, 3) BGR. scan, vertices_mm: both in the model's frame.  most_mm: the end of the heat map's scale."""
    mesh = Mesh(vertices_mm, model.topology.mesh.triangles)
    skin, number = submesh(mesh, (model.topology.parts == SKIN)[mesh.triangles].all(axis=1))
    box = rendering.bounds(skin)
    views = [rendering.portrait_camera(box, yaw_deg=yaw, height_px=height_px) for yaw in _YAWS_DEG]
    seen, fitted = Surface(scan), Surface(mesh)
    apart = seen.closest(vertices_mm[number]).distance_mm
    apart = np.where(apart < _BEYOND_MM, apart, np.nan)
    heat = Surface(skin)
    colors = rendering.heat_colors(apart, most_mm)
    own = None if scan.colors is None else np.ascontiguousarray(scan.colors[:, ::-1])
    row = [rendering.render(seen, view, vertex_colors=own, supersample=1) for view in views]
    row += [rendering.render(fitted, view, supersample=1) for view in views]
    row += [rendering.render(heat, view, vertex_colors=colors, supersample=1) for view in views]
    picture = rendering.with_color_bar(rendering.beside(row), most_mm)
    heading = verdict_heading(review, picture.shape[1], most_reasons=5, row_px=_ROW_PX, margin_px=40)
    active: Bools = weights > 0.02
    units = {model.units[k]: float(weights[k]) for k in np.argsort(-weights) if active[k]}
    return np.concatenate([heading, picture, _table(review.figures, units, picture.shape[1])])


def _table(figures: Mapping[str, Any], units: Mapping[str, float], width: int) -> Image:
    """Distances by region; the weights that are not nothing."""
    rows = {
        "face": figures["face"],
        "scan to face": figures["scan_to_face"],
        **figures["regions"],
        "head": figures["head"],
    }
    names = list(units.items())
    out = np.full((_ROW_PX * (len(rows) + 2), width, 3), PAPER_BGR, np.uint8)
    for x, words in ((10, "distance to the scan, mm"), (230, "mean"), (300, "median"), (370, "95 %"), (440, "covered")):
        rendering.text(out, words, (x, 15))
    for number, (name, one) in enumerate(rows.items(), 1):
        y = 15 + _ROW_PX * number
        rendering.text(out, name, (10, y))
        for x, key in ((230, "mean_mm"), (300, "median_mm"), (370, "p95_mm")):
            rendering.text(out, "-" if one[key] is None else f"{one[key]:.2f}", (x, y))
        rendering.text(out, "-" if one["covered"] is None else f"{100 * one['covered']:.0f} %", (440, y))
    known = f"{figures['identity_rms']:.1f} deviations from the mean, {100 * figures['identity_known']:.0f} % known"
    rendering.text(out, f"identity: {known}", (560, 15))
    per_column = len(rows)
    for number, (name, weight) in enumerate(names[: 3 * per_column]):
        x, y = 560 + 190 * (number // per_column), 15 + _ROW_PX * (1 + number % per_column)
        rendering.text(out, f"{name} {weight:.2f}", (x, y), 0.4)
    return out
