"""Picture of a scan's quality: the surface, how many cameras saw it, and the cameras themselves."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from common.array_types import Bools, Floats, Image
from processing.geometry import rendering
from processing.geometry.cameras import Camera
from processing.geometry.mesh import Mesh, Surface
from processing.scan_quality.scan_measures import DepthView, ScanQuality, depth_map
from processing.scan_quality.verdict import QualityReview
from processing.scan_quality.verdict_heading import PAPER_BGR, VERDICT_BGR, verdict_heading

_YAWS_DEG = (-45.0, 0.0, 45.0)
_MANY = 16  # cameras from which on a place is as well seen as it needs to be
_AGREE_FOOTPRINTS = 6.0
_MOST_REASONS = 4
_INK = (40, 40, 40)


def quality_picture(
    mesh: Mesh,
    quality: ScanQuality,
    review: QualityReview,
    trouble: Mapping[str, str],
    cameras: Sequence[Camera],
    height_px: int = 420,
) -> Image:
    """(h, w, 3) BGR. trouble: camera -> what was wrong with it.  cameras: all of the take, also those left out."""
    views = [rendering.portrait_camera(rendering.bounds(mesh), yaw_deg=y, height_px=height_px) for y in _YAWS_DEG]
    shaded = rendering.beside([rendering.render(mesh, v, supersample=1) for v in views])
    surface = Surface(mesh)
    seen = rendering.beside([_view_counts(surface, v, quality) for v in views])
    plan = _camera_map(quality, trouble, cameras, shaded.shape[1], height_px)
    return np.concatenate([_heading(review, shaded.shape[1]), shaded, seen, _legend(shaded.shape[1]), plan])


def _view_counts(surface: Surface, view: Camera, quality: ScanQuality) -> Image:
    """How many cameras see each place: red where none or one, then paler to green; open gaps in bright red."""
    depth, _, _ = depth_map(surface, view)
    y, x = np.nonzero(np.isfinite(depth))
    rays = np.stack([(x - view.K[0, 2]) / view.K[0, 0], (y - view.K[1, 2]) / view.K[1, 1], np.ones(len(x))], axis=1)
    points = (rays * depth[y, x][:, None] - view.t) @ view.R
    count = np.zeros(len(points), int)
    for seen in quality.depth_views:
        count += _sees(seen, points, _AGREE_FOOTPRINTS * quality.footprint_mm)
    picture = np.full((*depth.shape, 3), PAPER_BGR, np.uint8)
    picture[y, x] = _count_colours(count)
    return picture


def _sees(view: DepthView, points: Floats, tolerance_mm: float) -> Bools:
    at = np.nan_to_num(view.camera.project(points), nan=-1e6)
    column, row = np.rint(at).astype(int).T
    height, width = view.depth.shape
    inside = (column >= 0) & (row >= 0) & (column < width) & (row < height)
    out = np.zeros(len(points), bool)
    there = view.depth[row[inside], column[inside]]
    with np.errstate(invalid="ignore"):
        out[inside] = np.abs(there - view.camera.depth(points[inside])) < tolerance_mm
    return out


def _count_colours(count: NDArray[np.int_]) -> Image:
    stops = np.array([[60, 40, 230], [60, 40, 230], [80, 140, 240], [140, 220, 245], [150, 215, 160], [110, 170, 80]])
    at = np.interp(np.minimum(count, _MANY), [0, 1, 2, 4, 8, _MANY], np.arange(len(stops)))
    low = np.floor(at).astype(int)
    part = (at - low)[:, None]
    high = np.minimum(low + 1, len(stops) - 1)
    return np.asarray(stops[low] * (1 - part) + stops[high] * part, dtype=np.uint8)


def _heading(review: QualityReview, width: int) -> Image:
    f = review.figures
    parts = [f"{f['photographs_used']} of {f['photographs']} photographs", f"open {100 * f['holes']:.1f} %"]
    if f["coverage"] is not None:
        parts.append(f"covered {100 * f['coverage']:.1f} %")
    parts.append(f"roughness {f['noise_mm']:.3f} mm")
    beyond = len(review.reasons) - _MOST_REASONS
    reasons = list(review.reasons[:_MOST_REASONS])
    if beyond > 0:
        reasons[-1] += f" (and {beyond} more)"
    return verdict_heading(
        replace(review, reasons=tuple(reasons)), width, most_reasons=_MOST_REASONS, row_px=18, margin_px=44,
        note="   ".join(parts),
    )  # fmt: skip


def _legend(width: int) -> Image:
    out = np.full((26, width, 3), PAPER_BGR, np.uint8)
    rendering.text(out, "seen by cameras:", (10, 17))
    for number, count in enumerate((1, 2, 4, 8, _MANY)):
        x = 150 + 62 * number
        color = tuple(int(c) for c in _count_colours(np.array([count]))[0])
        cv2.rectangle(out, (x, 5), (x + 20, 20), color, -1)
        rendering.text(out, f"{count}+" if count == _MANY else str(count), (x + 25, 17))
    return out


def _camera_map(
    quality: ScanQuality, trouble: Mapping[str, str], cameras: Sequence[Camera], width: int, height: int
) -> Image:
    """The cameras by azimuth and elevation around the subject, with how far each one's view is off."""
    height = max(160, height // 2)
    out = np.full((height, width, 3), PAPER_BGR, np.uint8)
    centre = np.median(np.stack([c.centre + 1000 * c.viewing_direction for c in cameras]), axis=0)
    residual = {c.camera: c for c in quality.cameras}
    rays = np.stack([c.centre - centre for c in cameras])
    azimuth = np.degrees(np.arctan2(rays[:, 0], rays[:, 2]))
    elevation = np.degrees(np.arctan2(rays[:, 1], np.linalg.norm(rays[:, [0, 2]], axis=1)))
    low, high = float(elevation.min()) - 8, float(elevation.max()) + 8
    rendering.text(
        out, "cameras around the subject (front in the middle), mm by which each one's view is off", (10, 16)
    )
    for k, camera in enumerate(cameras):
        x = round((azimuth[k] + 185) / 370 * (width - 1))
        y = round(26 + (high - elevation[k]) / (high - low) * (height - 46))
        found = residual.get(camera.name)
        bad = camera.name in trouble
        color = VERDICT_BGR["redo"] if found is None else VERDICT_BGR["review"] if bad else VERDICT_BGR["accept"]
        cv2.circle(out, (x, y), 5, color, -1, cv2.LINE_AA)
        label = camera.name if found is None or found.offset_mm is None else f"{found.offset_mm:.2f}"
        cv2.putText(out, label, (x - 10, y + 17), cv2.FONT_HERSHEY_SIMPLEX, 0.3, _INK, 1, cv2.LINE_AA)
        if bad or found is None:
            cv2.putText(out, camera.name, (x - 8, y - 8), cv2.FONT_HERSHEY_SIMPLEX, 0.34, color, 1, cv2.LINE_AA)
    return out
