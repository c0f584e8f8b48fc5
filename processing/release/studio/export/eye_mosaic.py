"""Eye mosaic: eyes made unrecognisable in photographs, in the texture, in the scan's colours.

The region is fixed on the template by its landmarks, so it is the same places of every face; the registered mesh
carries it into every photograph, whether or not a detector would find eyes there. Shape is left as it is.
"""

import math
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from common.array_types import Bools, Floats, Image, Ints32
from processing.geometry.cameras import Camera
from processing.geometry.mesh import Mesh, Surface, submesh
from processing.release.formats.errors import ReleaseError
from processing.template.template import Template

EYES = (range(36, 42), range(42, 48))  # Multi-PIE, right and left
# Half the region's extent beside the distance of an eye's corners: from the brow's lower edge to the bag below.
ACROSS, ABOVE, DEEP = 0.85, 0.75, 0.8
BLOCKS = 5  # across an eye's whole region: the lids' line and the iris go, that there is an eye stays
GROW = 1.12  # what the registration may be off
OCCLUDED_MM = 4.0
NEAR_SCAN_MM = 5.0
FAR_PX = 30_000  # OpenCV draws no farther


@dataclass(frozen=True, eq=False)
class EyeRegions:
    """Where the eyes are, on a topology."""

    #: One array an eye.
    vertices: tuple[Ints32, ...]
    #: (T,) those of either eye.
    triangles: Bools


def eye_regions(template: Template) -> EyeRegions:
    """The regions around the lids. Raises ReleaseError for a template whose landmarks are no eyes."""
    mesh = template.mesh
    points = template.landmark_points(mesh.vertices_mm)
    found: list[Ints32] = []
    inside = np.zeros(len(mesh.vertices_mm), dtype=np.bool_)
    for eye in EYES:
        lids = points[list(eye)]
        width = float(np.linalg.norm(lids[0] - lids[3]))
        off = np.abs(mesh.vertices_mm - lids.mean(axis=0))
        here = (off <= width * np.array([ACROSS, ABOVE, DEEP])).all(axis=1)
        if width <= 0 or here.sum() < 3:
            raise ReleaseError(
                f"template {template.name}: its landmarks 36 to 47 mark no eyes, so eyes cannot be mosaicked; mend its "
                "landmarks, or leave out the subjects who asked for it"
            )
        found.append(np.flatnonzero(here).astype(np.int32))
        inside |= here
    return EyeRegions(tuple(found), np.asarray(inside[mesh.triangles].all(axis=1)))


def mosaic_photograph(image: Image, camera: Camera, mesh: Mesh, surface: Surface, regions: EyeRegions) -> Image:
    """A copy of the photograph with each eye that it can see in coarse blocks.

    image: (H, W, 3) as `camera` took it, distortion and all.  mesh: the registered face; surface: the same.
    """
    image = image.copy()
    focal_px = float(np.sqrt(camera.K[0, 0] * camera.K[1, 1]))
    for vertices in regions.vertices:
        points = mesh.vertices_mm[vertices]
        pixels = camera.project(points)
        known = np.isfinite(pixels).all(axis=1)
        if known.sum() < 3 or not seen(points[known], camera, surface, OCCLUDED_MM).any():
            continue
        hull = cv2.convexHull(pixels[known].astype(np.float32)).reshape(-1, 2)
        middle = hull.mean(axis=0)
        outline = np.rint(middle + GROW * (hull - middle)).clip(-FAR_PX, FAR_PX).astype(np.int32)
        mask = np.zeros(image.shape[:2], dtype=np.uint8)
        cv2.fillConvexPoly(mask, outline, 255)
        depth_mm = float((points[known] @ camera.R.T + camera.t)[:, 2].min())
        _blocks(image, mask, _block_mm(points) * focal_px / depth_mm)
    return image


def mosaic_texture(image: Image, mesh: Mesh, regions: EyeRegions) -> Image:
    """A copy of the texture with every island of the eyes' regions in coarse blocks. image: (S, S, 3) over the UVs."""
    if mesh.uvs is None or mesh.uv_triangles is None:
        raise ReleaseError("the template has no UVs: its texture cannot be mosaicked")
    size = image.shape[0]
    corners = mesh.uvs[mesh.uv_triangles[regions.triangles]]
    pixels = np.stack([corners[..., 0] * size - 0.5, (1 - corners[..., 1]) * size - 0.5], axis=-1)
    block_mm = max(_block_mm(mesh.vertices_mm[vertices]) for vertices in regions.vertices)
    area_mm2 = _areas(mesh.vertices_mm[mesh.triangles[regions.triangles]])
    area_px = _areas(np.concatenate([pixels, np.zeros((*pixels.shape[:2], 1))], axis=-1))
    middles = np.rint(pixels.mean(axis=1)).astype(np.int64).clip(0, size - 1)
    mask = np.zeros(image.shape[:2], dtype=np.uint8)
    for polygon in np.rint(pixels).astype(np.int32):
        cv2.fillConvexPoly(mask, polygon, 255)
    mask = cv2.dilate(mask, np.ones((3, 3), np.uint8), iterations=max(2, size // 400))
    image = image.copy()
    count, labels = cv2.connectedComponents(mask)
    owner = labels[middles[:, 1], middles[:, 0]]
    for label in range(1, count):
        here = owner == label  # an eyeball's small island is as coarse as the lids' large one
        px_a_mm = float(np.sqrt(area_px[here].sum() / max(area_mm2[here].sum(), 1e-9)))
        _blocks(image, np.where(labels == label, np.uint8(255), np.uint8(0)), block_mm * px_a_mm)
    return image


def mosaic_scan(scan: Mesh, mesh: Mesh, regions: EyeRegions) -> Mesh:
    """The scan with the colours around the eyes made coarse; its shape stays as it is, a scan without any too."""
    if scan.colors is None:
        return scan
    around, _ = submesh(Mesh(mesh.vertices_mm, mesh.triangles), regions.triangles)
    low, high = around.vertices_mm.min(axis=0) - NEAR_SCAN_MM, around.vertices_mm.max(axis=0) + NEAR_SCAN_MM
    close = np.flatnonzero(((scan.vertices_mm >= low) & (scan.vertices_mm <= high)).all(axis=1))
    if len(close) == 0:
        return scan
    distance = Surface(around).closest(scan.vertices_mm[close]).distance_mm
    close = close[distance <= NEAR_SCAN_MM]
    if len(close) == 0:
        return scan
    block_mm = max(_block_mm(mesh.vertices_mm[vertices]) for vertices in regions.vertices)
    cells = np.floor(scan.vertices_mm[close] / max(block_mm, 1e-6)).astype(np.int64)
    _, cell = np.unique(cells, axis=0, return_inverse=True)
    cell = cell.reshape(-1)
    counts = np.bincount(cell)
    colors = scan.colors.copy()
    for channel in range(3):
        mean = np.bincount(cell, scan.colors[close, channel]) / counts
        colors[close, channel] = np.rint(mean).astype(np.uint8)[cell]
    return replace(scan, colors=colors)


def seen(points_mm: Floats, camera: Camera, surface: Surface, before_mm: float) -> NDArray[np.bool_]:
    """(N,) whether a camera sees each of these points: in the picture, nothing of the face before it by `before_mm`."""
    towards = points_mm - camera.centre
    distance = np.linalg.norm(towards, axis=1)
    pixels = camera.project(points_mm)
    within = (pixels > -0.5).all(axis=1) & (pixels < [camera.width - 0.5, camera.height - 0.5]).all(axis=1)
    found = np.zeros(len(points_mm), dtype=np.bool_)
    inside = np.flatnonzero(within)
    if len(inside):
        origins = np.broadcast_to(camera.centre, (len(inside), 3))
        hit, _, _ = surface.cast(origins, towards[inside] / distance[inside, None])
        found[inside] = hit >= distance[inside] - before_mm
    return found


def _block_mm(points_mm: Floats) -> float:
    """The side of a block for an eye with this region, (N, 3)."""
    return GROW * float(np.ptp(points_mm, axis=0).max()) / BLOCKS


def _areas(corners: Floats) -> Floats:
    """(T,) areas of (T, 3, 3) triangles."""
    cross = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    return np.asarray(np.linalg.norm(cross, axis=1) / 2)


def _blocks(image: Image, mask: NDArray[np.uint8], side_px: float) -> None:
    """Replace what the mask covers by the means of square blocks of at least this side, in place."""
    x, y, width, height = cv2.boundingRect(mask)
    if width == 0 or height == 0:
        return
    step = max(2, math.ceil(side_px))
    for top in range(y, y + height, step):
        for left in range(x, x + width, step):
            part = image[top : top + step, left : left + step]
            covered = mask[top : top + step, left : left + step] > 0
            if covered.any():
                part[covered] = np.rint(part[covered].mean(axis=0)).astype(np.uint8)
