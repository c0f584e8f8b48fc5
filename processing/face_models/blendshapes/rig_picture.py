"""Picture of a rig: the neutral and its units as a sheet, and how far each example is from what the rig makes of it."""

from collections.abc import Mapping

import numpy as np

from common.array_types import Floats, Image
from processing.face_models.blendshapes.rig import Rig
from processing.geometry import rendering
from processing.geometry.cameras import Camera
from processing.geometry.mesh import Mesh
from processing.scan_quality.verdict import QualityReview
from processing.scan_quality.verdict_heading import PAPER_BGR, verdict_heading
from processing.template.template import SKIN, Template

_COLUMNS, _TILE_PX = 9, 172
_YAW_DEG = 20.0
_TURNED_DEG = {"jawForward": 60.0, "tongueOut": 60.0}  # what the front does not show
_NAME_PX = 18
_CLAY = (178, 190, 205)
_EYE_BGR, _FADED = (225, 225, 225), 0.55
RESIDUAL_MM = 1.0  # the end of the heat maps' scale


def unit_sheet(template: Template, neutral_mm: Floats, shapes_mm: Mapping[str, Floats], faded: set[str]) -> Image:
    """(h, w, 3) BGR: the neutral and shapes (name -> (V, 3) mm), small; names of the faded ones in grey."""
    tiles = [_tile(template, neutral_mm, "neutral", False)]
    tiles += [_tile(template, vertices, name, name in faded) for name, vertices in shapes_mm.items()]
    return _rows(tiles)


def rig_picture(template: Template, rig: Rig, residual_mm: Floats, review: QualityReview) -> Image:
    """(h, w, 3) BGR. residual_mm: (E, V) of each example (rig_figures.residuals)."""
    units = rig.figures["units"]
    faded = {name for name in rig.names if not units[name]["learned"]}
    shapes = {name: rig.shapes_mm[number].astype(np.float64) for number, name in enumerate(rig.names)}
    sheet = unit_sheet(template, rig.neutral_mm.astype(np.float64), shapes, faded)
    parts = [sheet, _caption("in grey: no expression shows them, they are as transferred from the template", sheet)]
    if rig.examples:
        skin = (template.parts == SKIN) & (template.weights > 0.5)
        heats = []
        for number, label in enumerate(rig.examples):
            distance = np.where(skin, residual_mm[number], np.nan)
            colors = rendering.heat_colors(distance, RESIDUAL_MM)
            mean = rig.figures["examples"][label]["mean_mm"]
            heats.append(_tile(template, rig.face(rig.weights[number]), f"{label}: {mean:.2f}", False, colors))
        parts += [_caption("distance of the examples to the rig at their weights, mm", sheet)]
        parts += [rendering.with_color_bar(_rows(heats), RESIDUAL_MM)]
    heading = verdict_heading(review, sheet.shape[1], most_reasons=5, row_px=20, margin_px=40)
    width = max(part.shape[1] for part in (heading, *parts))
    padded = []
    for part in (heading, *parts):
        paper = np.full((part.shape[0], width, 3), PAPER_BGR, np.uint8)
        paper[:, : part.shape[1]] = part
        padded.append(paper)
    return np.concatenate(padded)


def _camera(template: Template, vertices_mm: Floats, yaw_deg: float) -> Camera:
    """One that sees the face, from the brows to below the chin."""
    points = template.landmark_points(vertices_mm)
    low, high = points.min(axis=0), points.max(axis=0)
    margin = 0.16 * float(high[1] - low[1])
    box = np.stack([low - np.array([0.3, 1.0, 0.0]) * margin, high + np.array([0.3, 1.5, 1.0]) * margin])
    return rendering.portrait_camera(box, yaw_deg=yaw_deg, height_px=_TILE_PX)


def _tile(template: Template, vertices_mm: Floats, name: str, faded: bool, colors: Image | None = None) -> Image:
    camera = _camera(template, template.mesh.vertices_mm, _TURNED_DEG.get(name, _YAW_DEG))
    if colors is None:
        colors = np.where((template.parts == SKIN)[:, None], _CLAY, _EYE_BGR).astype(np.uint8)
    seen = rendering.render(Mesh(vertices_mm, template.mesh.triangles), camera, vertex_colors=colors, supersample=2)
    tile = np.full((_TILE_PX + _NAME_PX, _TILE_PX, 3), PAPER_BGR, np.uint8)
    seen = seen[:, max(0, (seen.shape[1] - _TILE_PX) // 2) :][:, :_TILE_PX]
    left = (_TILE_PX - seen.shape[1]) // 2
    tile[:_TILE_PX, left : left + seen.shape[1]] = seen
    rendering.text(tile, name, (4, _TILE_PX + 13), 0.4)
    if faded:
        band = tile[_TILE_PX:].astype(np.float64)
        tile[_TILE_PX:] = (band + _FADED * (np.array(PAPER_BGR) - band)).astype(np.uint8)
    return tile


def _rows(tiles: list[Image]) -> Image:
    blank = np.full_like(tiles[0], 250)
    tiles = tiles + [blank] * (-len(tiles) % _COLUMNS)
    return np.concatenate([np.concatenate(tiles[k : k + _COLUMNS], axis=1) for k in range(0, len(tiles), _COLUMNS)])


def _caption(words: str, beside: Image) -> Image:
    out = np.full((24, beside.shape[1], 3), PAPER_BGR, np.uint8)
    rendering.text(out, words, (10, 17))
    return out
