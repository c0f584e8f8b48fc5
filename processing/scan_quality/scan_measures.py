"""Quality measures of a scan, against the photographs it was made from."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import cv2
import numpy as np

from common.array_types import Bools, Floats, Floats32, Image, Ints32
from common.processors import usable_cpus
from common.progress import Progress, no_progress
from processing.geometry.cameras import Camera
from processing.geometry.mesh import Mesh, Surface
from processing.geometry.opencv_threads import single_threaded_opencv
from processing.texture.optical_flow import normalized_contrast

_MEGAPIXELS = 0.12  # at which the scan is held against each photograph
_GAP_SHARE = 0.04  # gaps up to this share of the picture's height count as holes of the surface
_LEAST_PX = 400  # textured pixels that a camera must share with the scan to be judged
_NEAR_FOOTPRINTS, _NEAR_MM = 3.0, 1.5  # a place of the subject is on the scan within these


@dataclass(frozen=True, eq=False)
class CameraResidual:
    """How one photograph lies on the finished, coloured surface; None where it sees too little of the scan."""

    camera: str  # its name
    offset_mm: float | None  # by which it is off as a whole, across the line of sight
    spread_mm: float | None  # median departure from that
    hole_share: float  # of what it should see, how much is missing


@dataclass(frozen=True, eq=False)
class DepthView:
    """The depth of a scan as one camera sees it."""

    camera: Camera  # small, without distortion
    depth: Floats32  # (h, w) mm along z, NaN where the scan is not


@dataclass(frozen=True, eq=False)
class ScanQuality:
    """Figures of a scan."""

    footprint_mm: float  # a pixel of the photographs on the subject, median
    #: Share of the subject's places known from features that have the scan near them; None with too few of them.
    coverage: float | None
    holes: float  # share of the surface's outline, seen from the cameras, that is open; mean
    distance_mm: float | None  # median distance of the known places from the scan
    noise_mm: float  # departure of vertices from their neighbours, robust standard deviation along the normal
    cameras: tuple[CameraResidual, ...]  # one a photograph
    depth_views: tuple[DepthView, ...]  # one a photograph

    @property
    def offset_mm(self) -> float | None:
        """Median over the cameras."""
        known = [c.offset_mm for c in self.cameras if c.offset_mm is not None]
        return float(np.median(known)) if known else None


def measure_scan(
    mesh: Mesh,
    images: Sequence[Image],
    cameras: Sequence[Camera],
    places_mm: Floats,
    *,
    workers: int | None = None,
    progress: Progress = no_progress,
) -> ScanQuality:
    """Hold a coloured scan (mm, head frame) against its photographs (BGR as taken) and against known places (P, 3).

    The scan is pictured from each camera in its own colours; optical flow (Kroeger et al. 2016) from there to the
    photograph tells how far that camera's view is off.
    """
    surface = Surface(mesh)
    centre = np.median(mesh.vertices_mm, axis=0)
    colors = _grey(mesh)
    footprint = float(np.median([c.depth(centre[None])[0] / c.K[0, 0] for c in cameras]))
    views: list[DepthView] = []
    found: list[CameraResidual] = []
    with single_threaded_opencv(), ThreadPoolExecutor(workers or usable_cpus()) as pool:
        count = len(cameras)
        pictures = pool.map(lambda i: _compare_photograph(surface, colors, images[i], cameras[i]), range(count))
        for number, (view, residual) in enumerate(pictures):
            progress(0.1 + 0.7 * number / count, f"the scan against photograph {number + 1} of {count}")
            views.append(view)
            found.append(residual)
    coverage = distance = None
    if len(places_mm) >= 50:
        away = surface.closest(places_mm).distance_mm
        near = max(_NEAR_MM, _NEAR_FOOTPRINTS * footprint)
        coverage, distance = (
            float((away < near).mean()),
            float(np.median(away[away < near])) if (away < near).any() else 0.0,
        )
    progress(0.9, "noise")
    holes = float(np.mean([c.hole_share for c in found])) if found else 1.0
    return ScanQuality(footprint, coverage, holes, distance, roughness_mm(mesh), tuple(found), tuple(views))


def _grey(mesh: Mesh) -> Floats32:
    if mesh.colors is None:
        return np.full(len(mesh.vertices_mm), 128, np.float32)
    return np.asarray(mesh.colors.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32))


def depth_map(surface: Surface, camera: Camera) -> tuple[Floats32, Ints32, Floats]:
    """(h, w) depth along z of the first surface, NaN where there is none; triangle and barycentric of each pixel.

    Where the surface is seen from its inner side, there is none: that is a look through a hole.
    camera: without distortion.
    """
    x, y = np.meshgrid(np.arange(camera.width, dtype=np.float64), np.arange(camera.height, dtype=np.float64))
    K = camera.K
    v = (y.ravel() - K[1, 2]) / K[1, 1]
    u = (x.ravel() - K[0, 2] - K[0, 1] * v) / K[0, 0]
    directions = np.stack([u, v, np.ones_like(u)], axis=1) @ camera.R  # z = 1: the distance is the depth
    hit, triangle, weights = surface.cast(np.broadcast_to(camera.centre, directions.shape), directions)
    corners = surface.mesh.vertices_mm[surface.mesh.triangles[np.maximum(triangle, 0)]]
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    outside = np.isfinite(hit) & (np.einsum("nk,nk->n", normal, directions) < 0)
    depth = np.where(outside, hit, np.nan).astype(np.float32)
    return depth.reshape(camera.height, camera.width), triangle, weights


def _compare_photograph(
    surface: Surface, colors: Floats32, image: Image, camera: Camera
) -> tuple[DepthView, CameraResidual]:
    factor = min(1.0, float(np.sqrt(_MEGAPIXELS * 1e6 / (camera.width * camera.height))))
    small = camera.pinhole().scaled(factor)
    depth, triangle, weights = depth_map(surface, small)
    seen = np.isfinite(depth)
    holes = _holes(seen)
    corner = surface.mesh.triangles[np.maximum(triangle, 0)]
    drawn = np.einsum("nk,nk->n", colors[corner], weights).reshape(depth.shape).astype(np.float32)
    taken = cv2.cvtColor(camera.undistort(image), cv2.COLOR_BGR2GRAY)
    taken = cv2.resize(taken, (small.width, small.height), interpolation=cv2.INTER_AREA).astype(np.float32)
    flow = _flow(drawn, taken, seen)
    share = float(holes.sum() / max(int(seen.sum() + holes.sum()), 1))
    name = camera.name
    if flow is None:
        return DepthView(small, depth), CameraResidual(name, None, None, share)
    pixel = float(np.nanmedian(depth) / small.K[0, 0])
    middle = np.median(flow, axis=0)
    offset = pixel * float(np.linalg.norm(middle))
    spread = pixel * float(np.median(np.linalg.norm(flow - middle, axis=1)))
    return DepthView(small, depth), CameraResidual(name, offset, spread, share)


def _holes(seen: Bools) -> Bools:
    """Where a surface's picture is open inside its outline."""
    reach = max(3, round(_GAP_SHARE * seen.shape[0])) | 1
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach))
    padded = np.pad(seen.astype(np.uint8), reach)
    closed = cv2.morphologyEx(padded, cv2.MORPH_CLOSE, disc)
    outside = closed.copy()
    cv2.floodFill(outside, None, (0, 0), 1)
    filled = (closed | (1 - outside))[reach:-reach, reach:-reach]
    return np.asarray((filled > 0) & ~seen)


def _flow(drawn: Floats32, taken: Floats32, seen: Bools) -> Floats | None:
    """(n, 2) px from the drawn to the taken picture at n textured pixels well inside the surface; None with too few."""
    inside = cv2.erode(seen.astype(np.uint8), np.ones((13, 13), np.uint8), borderValue=0) > 0
    if inside.sum() < _LEAST_PX:
        return None
    a, b = (_pattern(p, seen) for p in (drawn, taken))
    flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM).calc(a, b, None)
    detail = cv2.boxFilter((a.astype(np.float32) - 128) ** 2, -1, (9, 9))
    like = _correlation(a.astype(np.float32), cv2.remap(b, *_flow_targets(flow), cv2.INTER_LINEAR).astype(np.float32))
    good = inside & (detail > 60) & (like > 0.5)
    return np.asarray(flow[good], dtype=np.float64) if good.sum() >= _LEAST_PX else None


def _pattern(picture: Floats32, seen: Bools) -> Image:
    """Local mean and contrast taken out: light that falls otherwise in each view does not count."""
    filled = np.where(seen, picture, np.median(picture[seen])).astype(np.float32)
    return normalized_contrast(filled, radius_px=6, gain=40, floor=1.5)


def _flow_targets(flow: Floats32) -> tuple[Floats32, Floats32]:
    y, x = np.mgrid[: flow.shape[0], : flow.shape[1]].astype(np.float32)
    return x + flow[..., 0], y + flow[..., 1]


def _correlation(a: Floats32, b: Floats32) -> Floats32:
    """(h, w) zero-mean normalised correlation in windows of 11 px."""

    def mean(p: Floats32) -> Floats32:
        return np.asarray(cv2.boxFilter(p, -1, (11, 11)), dtype=np.float32)

    ma, mb = mean(a), mean(b)
    va, vb = mean(a * a) - ma * ma, mean(b * b) - mb * mb
    return np.asarray((mean(a * b) - ma * mb) / np.sqrt(np.maximum(va * vb, 1.0)), dtype=np.float32)


def roughness_mm(mesh: Mesh) -> float:
    """How far vertices lie from the mean of their neighbours along the normal: robust standard deviation, mm.

    Noise that is independent from vertex to vertex shows whole; what the surface smoothed together, and real pores,
    show in part.
    """
    t = mesh.triangles
    count = len(mesh.vertices_mm)
    total, degree = np.zeros((count, 3)), np.bincount(t.ravel(), minlength=count) * 2.0
    for a, b in ((0, 1), (1, 2), (2, 0)):
        for k in range(3):
            total[:, k] += np.bincount(t[:, a], weights=mesh.vertices_mm[t[:, b], k], minlength=count)
            total[:, k] += np.bincount(t[:, b], weights=mesh.vertices_mm[t[:, a], k], minlength=count)
    inner = degree >= 6
    off = mesh.vertices_mm[inner] - total[inner] / degree[inner, None]
    along = np.einsum("nk,nk->n", off, mesh.vertex_normals[inner])
    return float(1.4826 * np.median(np.abs(along - np.median(along)))) if len(along) else 0.0
