"""Picture of a registration's quality: the mesh, its distance to the scan, tangential drift, figures."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from common.array_types import Image
from processing.geometry import rendering
from processing.geometry.mesh import Mesh, submesh
from processing.scan_quality.registration_quality import RegistrationMeasures
from processing.scan_quality.verdict import QualityReview
from processing.scan_quality.verdict_heading import PAPER_BGR, verdict_heading
from processing.template.template import SKIN, Template

_YAWS_DEG = (0.0, 45.0)
_ROW_PX = 20
DRIFT_MM = 3.0  # the end of the tangential drift's scale


def registration_picture(
    template: Template,
    mesh: Mesh,
    measured: RegistrationMeasures,
    review: QualityReview,
    *,
    most_mm: float = 0.5,
    height_px: int = 420,
) -> Image:
    """(h, w, 3) BGR. mesh: registered.  most_mm: the end of the heat map's scale.

    Below an expression's distances stands how far skin lay from its vertex before and after the refinement.
    """
    keep = (template.parts == SKIN)[mesh.triangles].all(axis=1)
    skin, number = submesh(mesh, keep)
    views = [rendering.portrait_camera(rendering.bounds(skin), yaw_deg=y, height_px=height_px) for y in _YAWS_DEG]
    colors = rendering.heat_colors(measured.distance_mm[number], most_mm)
    row = [rendering.render(mesh, v, supersample=1) for v in views]
    row += [rendering.render(skin, v, vertex_colors=colors, supersample=1) for v in views]
    rows = [rendering.with_color_bar(rendering.beside(row), most_mm)]
    width = rows[0].shape[1]
    if measured.drift_mm is not None:
        rows += [_caption("skin off its vertex, mm: before, and after comparing it with the neutral", width)]
        shades = [rendering.heat_colors(drift[number], DRIFT_MM) for drift in measured.drift_mm]
        row = [rendering.render(skin, v, vertex_colors=s, supersample=1) for s in shades for v in views]
        rows += [rendering.with_color_bar(rendering.beside(row), DRIFT_MM)]
    heading = verdict_heading(review, width, most_reasons=5, row_px=_ROW_PX, margin_px=40)
    return np.concatenate([heading, *rows, _table(review.figures, width)])


def _caption(words: str, width: int) -> Image:
    out = np.full((_ROW_PX, width, 3), PAPER_BGR, np.uint8)
    rendering.text(out, words, (10, 15))
    return out


def _table(figures: Mapping[str, Any], width: int) -> Image:
    """Distance to the scan by region; openings; tangential drift of the skin before and after."""
    regions: Sequence[tuple[str, Mapping[str, Any]]] = list(figures["regions"].items())
    out = np.full((_ROW_PX * (len(regions) + 2), width, 3), PAPER_BGR, np.uint8)
    half = width // 2
    for x, text in ((10, "distance to the scan, mm"), (210, "mean"), (280, "95 %"), (345, "covered")):
        rendering.text(out, text, (x, 15))
    for number, (name, one) in enumerate(regions):
        y = 15 + _ROW_PX * (number + 1)
        rendering.text(out, name, (10, y))
        for x, text in ((210, _mm(one["mean_mm"])), (280, _mm(one["p95_mm"])), (345, _share(one["covered"]))):
            rendering.text(out, text, (x, y))
    lines = []
    for name, one in figures["apertures"].items():
        lines.append(f"{name.replace('_', ' ')}: {_mm(one['mesh_mm'])} open, photographs {_mm(one['photographs_mm'])}")
    if figures["slip_mm"] is not None:
        (before, after), (far, near) = figures["slip_mm"], figures["slip_p95_mm"]
        lines.append(f"skin off its vertex: {before:.2f} -> {after:.2f} mm, 95 % {far:.2f} -> {near:.2f}")
        lines.append(f"compared: {_share(figures['compared'])} of the skin")
    bad = figures["triangles"]
    lines.append(f"triangles flipped {bad['flipped']}, crossing {bad['crossing']}, stretched {bad['stretched']}")
    for number, line in enumerate(lines):
        rendering.text(out, line, (half, 15 + _ROW_PX * number))
    return out


def _mm(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.0f} %"
