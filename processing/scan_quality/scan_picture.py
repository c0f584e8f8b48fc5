"""Picture of a scan's quality: the surface, how many cameras saw it, how sure it is, and the cameras themselves."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from common.array_types import Bools, Floats32, Image
from processing.geometry import rendering
from processing.geometry.cameras import Camera
from processing.geometry.mesh import MEASURED, Surface
from processing.scan_quality.scan_measures import DepthView, ScanQuality, depth_map
from processing.scan_quality.verdict import QualityReview
from processing.scan_quality.verdict_heading import PAPER_BGR, VERDICT_BGR, verdict_heading

_YAWS_DEG = (-45.0, 0.0, 45.0)
_MANY = 16  # cameras from which on a place is as well seen as it needs to be
_AGREE_FOOTPRINTS = 6.0
_MOST_REASONS = 4
_INK = (40, 40, 40)


def quality_picture(
    surface: Surface,
    quality: ScanQuality,
    review: QualityReview,
    trouble: Mapping[str, str],
    cameras: Sequence[Camera],
    height_px: int = 420,
) -> Image:
    """(h, w, 3) BGR. surface: of the scan.  trouble: camera -> what was wrong with it.  cameras: all of the take, also
    those left out.
    """
    box = rendering.bounds(surface.mesh)
    views = [rendering.portrait_camera(box, yaw_deg=y, height_px=height_px) for y in _YAWS_DEG]
    shaded = rendering.beside([rendering.render(surface, v, supersample=1) for v in views])
    width = shaded.shape[1]
    looks = [_Portrait(surface, v) for v in views]
    rows = [_heading(review, width), shaded, rendering.beside([_view_counts(look, quality) for look in looks])]
    rows.append(_legend(width))
    if surface.mesh.confidence is not None:
        sure = surface.mesh.confidence
        rows += [rendering.beside([_confidences(look, sure) for look in looks]), _confidence_legend(width)]
    return np.concatenate([*rows, _camera_map(quality, trouble, cameras, width, height_px)])


class _Portrait:
    """What a view shows: (n,) rows and columns of the pixels, and of each (n, 3) where it lies, head frame, mm, the
    triangle (n,) and barycentric (n, 3).
    """

    def __init__(self, surface: Surface, view: Camera) -> None:
        depth, triangle, weights = depth_map(surface, view)
        self.shape = depth.shape
        self.y, self.x = np.nonzero(np.isfinite(depth))
        at = self.y * depth.shape[1] + self.x
        self.corners, self.weights = surface.mesh.triangles[triangle[at]], weights[at]
        rays = [(self.x - view.K[0, 2]) / view.K[0, 0], (self.y - view.K[1, 2]) / view.K[1, 1], np.ones(len(self.x))]
        self.points_mm = (np.stack(rays, axis=1) * depth[self.y, self.x][:, None] - view.t) @ view.R

    def painted(self, colors: Image) -> Image:
        """(h, w, 3) with the colours (n, 3) BGR of the pixels."""
        picture = np.full((*self.shape, 3), PAPER_BGR, np.uint8)
        picture[self.y, self.x] = colors
        return picture


def _view_counts(look: _Portrait, quality: ScanQuality) -> Image:
    """How many cameras see each place: red where none or one, then paler to green; open gaps in bright red."""
    count = np.zeros(len(look.x), int)
    points = look.points_mm.astype(np.float32)
    for seen in quality.depth_views:
        count += _sees(seen, points, _AGREE_FOOTPRINTS * quality.footprint_mm)
    return look.painted(_count_colours(count))


def _sees(view: DepthView, points_mm: Floats32, tolerance_mm: float) -> Bools:
    """(N,) whether a view without distortion sees places (N, 3), head frame."""
    camera = view.camera
    at = points_mm @ (camera.K @ camera.R).T.astype(np.float32) + (camera.K @ camera.t).astype(np.float32)
    z = np.maximum(at[:, 2], np.float32(1e-3))
    height, width = view.depth.shape
    column, row = at[:, 0] / z + np.float32(0.5), at[:, 1] / z + np.float32(0.5)
    inside = (at[:, 2] > 0) & (column >= 0) & (row >= 0) & (column < width) & (row < height)
    there = view.depth[row[inside].astype(np.int32), column[inside].astype(np.int32)]
    out = np.zeros(len(points_mm), bool)
    out[inside] = np.abs(there - z[inside]) < tolerance_mm  # not where the depth is NaN
    return out


def _confidences(look: _Portrait, confidence: Floats32) -> Image:
    """How sure each place is: measured from green to pale, estimated from yellow to red."""
    return look.painted(_confidence_colours(np.einsum("nk,nk->n", confidence[look.corners], look.weights)))


def _confidence_colours(confidence: NDArray[np.floating]) -> Image:
    stops = np.array([[60, 40, 230], [60, 110, 240], [80, 190, 250], [190, 225, 200], [150, 205, 150], [110, 170, 80]])
    at = [0.0, 0.25, MEASURED - 1e-6, MEASURED, 0.75, 1.0]
    return np.stack([np.interp(confidence, at, stops[:, k]) for k in range(3)], axis=-1).astype(np.uint8)


def _confidence_legend(width: int) -> Image:
    out = np.full((26, width, 3), PAPER_BGR, np.uint8)
    rendering.text(out, "confidence: estimated", (10, 17))
    for number, value in enumerate((0.0, 0.2, 0.45)):
        _swatch(out, 180 + 30 * number, _confidence_colours(np.array([value]))[0])
    rendering.text(out, "measured", (290, 17))
    for number, value in enumerate((MEASURED, 0.75, 1.0)):
        _swatch(out, 370 + 30 * number, _confidence_colours(np.array([value]))[0])
    return out


def _swatch(picture: Image, x: int, color: Image) -> None:
    cv2.rectangle(picture, (x, 5), (x + 20, 20), tuple(int(c) for c in color), -1)


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
    if f["estimated"] is not None:
        parts.append(f"estimated {100 * f['estimated']:.1f} %")
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
        _swatch(out, x, _count_colours(np.array([count]))[0])
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
