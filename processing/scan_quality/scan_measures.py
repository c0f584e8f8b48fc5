"""Quality measures of a scan, against the photographs it was made from."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import cv2
import numpy as np

from common.array_types import Bools, Floats, Floats32, Image, Ints32, Ints64
from common.processors import usable_cpus
from common.progress import Progress, no_progress
from processing.geometry.cameras import Camera
from processing.geometry.compiled_meshes import neighbour_sums
from processing.geometry.mesh import MEASURED, Mesh, Surface
from processing.geometry.opencv_threads import single_threaded_opencv
from processing.scan_quality.head_regions import REGIONS, region_numbers
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
    #: (R, 2) of each region of the head, the pixels it sees and those of them that were estimated; None where the scan
    #: does not say.
    seen_estimated: Ints64 | None = None


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
    #: Share of what the cameras see that was estimated from what lies around it, for want of texture or views; None
    #: where the scan does not say.
    estimated: float | None = None
    estimated_at: Mapping[str, float] = field(default_factory=dict)  # region of the head -> the share of it

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
    surface: Surface | None = None,
    workers: int | None = None,
    progress: Progress = no_progress,
) -> ScanQuality:
    """Hold a coloured scan (mm, head frame) against its photographs (BGR as taken) and against known places (P, 3).

    The scan is pictured from each camera in its own colours; optical flow (Kroeger et al. 2016) from there to the
    photograph tells how far that camera's view is off.  surface: what is pictured, where it is made ready already: the
    scan, or the same with fewer vertices.
    """
    surface = surface or Surface(mesh)
    centre = np.median(mesh.vertices_mm, axis=0)
    footprint = float(np.median([c.depth(centre[None])[0] / c.K[0, 0] for c in cameras]))
    views: list[DepthView] = []
    found: list[CameraResidual] = []
    with single_threaded_opencv(), ThreadPoolExecutor(workers or usable_cpus()) as pool:
        count = len(cameras)
        noise = pool.submit(roughness_mm, mesh)
        sure = surface.mesh.confidence
        look = _Look(surface, _grey(surface.mesh), None if sure is None else sure < MEASURED, centre)
        pictures = pool.map(lambda i: _compare_photograph(look, images[i], cameras[i]), range(count))
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
    holes = float(np.mean([c.hole_share for c in found])) if found else 1.0
    return ScanQuality(
        footprint, coverage, holes, distance, noise.result(), tuple(found), tuple(views), *_estimated(found, mesh)
    )


def _estimated(found: Sequence[CameraResidual], mesh: Mesh) -> tuple[float | None, dict[str, float]]:
    """The share of what the cameras see that was estimated, and of each region of the head, the largest part first."""
    if mesh.confidence is None or not found:
        return None, {}
    counts = sum(
        (c.seen_estimated for c in found if c.seen_estimated is not None), np.zeros((len(REGIONS), 2), np.int64)
    )
    seen, estimated = counts.T
    order = [k for k in np.argsort(-estimated, kind="stable") if estimated[k]]
    return float(estimated.sum() / max(int(seen.sum()), 1)), {REGIONS[k]: float(estimated[k] / seen[k]) for k in order}


def _grey(mesh: Mesh) -> Floats32:
    if mesh.colors is None:
        return np.full(len(mesh.vertices_mm), 128, np.float32)
    return np.asarray(mesh.colors.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32))


def depth_map(surface: Surface, camera: Camera) -> tuple[Floats32, Ints32, Floats]:
    """(h, w) depth along z of the first surface, NaN where there is none; triangle and barycentric of each pixel.

    Where the surface is seen from its inner side, there is none: that is a look through a hole.
    camera: without distortion.
    """
    directions = _rays(camera)
    hit, triangle, weights = surface.cast(
        np.broadcast_to(camera.centre.astype(np.float32), directions.shape), directions
    )
    there = np.flatnonzero(np.isfinite(hit))
    a, b, c = (surface.mesh.vertices_mm[surface.mesh.triangles[triangle[there], k]] for k in range(3))
    outside = np.einsum("nk,nk->n", np.cross(b - a, c - a), directions[there]) < 0
    depth = np.full(len(hit), np.nan, np.float32)
    depth[there[outside]] = hit[there[outside]]
    return depth.reshape(camera.height, camera.width), triangle, weights


def _rays(camera: Camera) -> Floats32:
    """(h w, 3) through the pixels of a camera without distortion; z = 1 in its frame: the distance is the depth."""
    y, x = np.mgrid[: camera.height, : camera.width].astype(np.float32)
    M = camera.R.T @ np.linalg.inv(camera.K)
    rays = [M[k, 0] * x + (M[k, 1] * y + M[k, 2]) for k in range(3)]
    return np.stack(rays, axis=-1).reshape(-1, 3).astype(np.float32)


@dataclass(frozen=True, eq=False)
class _Look:
    """A surface as it is looked at: (V,) grey levels, (V,) whether a place was estimated, the scan's middle."""

    surface: Surface
    colors: Floats32
    unsure: Bools | None
    centre_mm: Floats


def _compare_photograph(look: _Look, image: Image, camera: Camera) -> tuple[DepthView, CameraResidual]:
    factor = min(1.0, float(np.sqrt(_MEGAPIXELS * 1e6 / (camera.width * camera.height))))
    small = camera.scaled(factor)
    pinhole = small.pinhole()
    depth, triangle, weights = depth_map(look.surface, pinhole)
    seen = np.isfinite(depth)
    holes = _holes(seen)
    share = float(holes.sum() / max(int(seen.sum() + holes.sum()), 1))
    shown = np.flatnonzero(seen)
    corner = look.surface.mesh.triangles[triangle[shown]]
    drawn = np.zeros(depth.shape, np.float32)
    drawn[seen] = np.einsum("nk,nk->n", look.colors[corner], weights[shown])
    grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
    taken = small.undistort(cv2.resize(grey, (small.width, small.height), interpolation=cv2.INTER_AREA))
    flow = _flow(drawn, taken.astype(np.float32), seen)
    estimated = _seen_estimated(look, pinhole, depth, corner, weights[shown])
    if flow is None:
        return DepthView(pinhole, depth), CameraResidual(camera.name, None, None, share, estimated)
    pixel = float(np.nanmedian(depth) / pinhole.K[0, 0])
    middle = np.median(flow, axis=0)
    offset = pixel * float(np.linalg.norm(middle))
    spread = pixel * float(np.median(np.linalg.norm(flow - middle, axis=1)))
    return DepthView(pinhole, depth), CameraResidual(camera.name, offset, spread, share, estimated)


def _seen_estimated(look: _Look, camera: Camera, depth: Floats32, corner: Ints32, weights: Floats) -> Ints64 | None:
    """(R, 2) as CameraResidual has it. corner, weights: (n, 3) of the pixels that show the surface."""
    if look.unsure is None:
        return None
    unsure = np.einsum("nk,nk->n", look.unsure[corner], weights) > 0.5
    known = depth.ravel()[np.isfinite(depth.ravel())]
    places = _rays(camera)[np.isfinite(depth.ravel())] * known[:, None] + camera.centre
    region = region_numbers(places - look.centre_mm)
    count = len(REGIONS)
    return np.stack([np.bincount(region, minlength=count), np.bincount(region[unsure], minlength=count)], axis=1)


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
    total, degree = neighbour_sums(mesh.vertices_mm, mesh.triangles)
    inner = degree >= 6
    off = mesh.vertices_mm[inner] - total[inner] / degree[inner, None]
    along = np.einsum("nk,nk->n", off, mesh.vertex_normals[inner])
    return float(1.4826 * np.median(np.abs(along - np.median(along)))) if len(along) else 0.0
