"""Depth fusion: depth maps that agree become oriented points."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from common.array_types import Bools, Gray
from processing.geometry.cameras import Camera
from processing.reconstruction.cell_table import cell_sums
from processing.reconstruction.image_regions import Region
from processing.reconstruction.stereo_matching import ray_terms


@dataclass(frozen=True, eq=False)
class DepthMap:
    """The depth of a rectangle of one view."""

    #: Pinhole, of the whole image.
    camera: Camera
    region: Region
    #: (h, w) mm, NaN where unknown.
    depth: Gray
    #: (h, w) correlation, 0 to 1.
    score: Gray

    def points(self) -> Gray:
        """(h, w, 3) head frame, mm; NaN where unknown."""
        return back_project(self.camera, self.region, self.depth)

    def band(self, rows: slice) -> "DepthMap":
        """Such of its rows; nothing is copied."""
        return DepthMap(self.camera, self.region.band(rows), self.depth[rows], self.score[rows])

    def masked(self, keep: Bools) -> "DepthMap":
        return DepthMap(self.camera, self.region, np.where(keep, self.depth, np.float32(np.nan)), self.score)


@dataclass(frozen=True, eq=False)
class OrientedPoints:
    """A point cloud with normals, head frame."""

    #: (N, 3)
    points_mm: Gray
    #: (N, 3) unit
    normals: Gray
    #: (N,)
    weight: Gray

    def __len__(self) -> int:
        return len(self.points_mm)

    def kept(self, keep: Bools) -> "OrientedPoints":
        return OrientedPoints(self.points_mm[keep], self.normals[keep], self.weight[keep])


NO_POINTS = OrientedPoints(np.zeros((0, 3), np.float32), np.zeros((0, 3), np.float32), np.zeros(0, np.float32))


def back_project(camera: Camera, region: Region, depth: Gray) -> Gray:
    """(h, w, 3) points of a region's depth map in the head frame, mm."""
    M = camera.R.T @ np.linalg.inv(camera.K)
    points = np.empty((*depth.shape, 3), np.float32)
    for k in range(3):
        ray = (M[k, 0] * region.x + (M[k, 1] * region.y + M[k, 2])).astype(np.float32)
        points[..., k] = ray * depth + np.float32(camera.centre[k])
    return points


@dataclass(frozen=True, eq=False)
class Agreement:
    """What others say of a depth map, all (h, w)."""

    #: Averaged with the others that agree, mm, NaN where unknown.
    depth: Gray
    #: How many agree.
    count: Gray
    #: How many see past it to something clearly farther, so that nothing can be there.
    through: Gray

    def confirmed(self, least: float) -> Bools:
        """Where at least so many agree."""
        return np.asarray(self.count >= least)

    def single(self) -> Bools:
        """Where just one agrees and none sees past it: what few views can see, as the inside of a mouth."""
        return np.asarray((self.count == 1) & (self.through == 0))


def agreement(one: DepthMap, others: Sequence[DepthMap], tolerance_mm: float) -> Agreement:
    """One depth map held against others.

    An other agrees where the point of this map, seen by it, lies within tolerance_mm of its own depth there, and sees
    past it where its own depth is farther by three times as much.
    """
    total = one.depth * one.score
    weight = one.score.copy()
    count = np.zeros(one.depth.shape, np.float32)
    through = np.zeros(one.depth.shape, np.float32)
    for other in others:
        (qx, qy, qz), b = ray_terms(one.camera, other.camera, one.region.x, one.region.y)
        z = qz * one.depth + np.float32(b[2])
        inverse = 1 / z
        mx = (qx * one.depth + np.float32(b[0])) * inverse - np.float32(other.region.x0)
        my = (qy * one.depth + np.float32(b[1])) * inverse - np.float32(other.region.y0)
        seen = cv2.remap(
            other.depth, mx, my, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=float("nan")
        )
        difference = seen - z
        agrees = np.abs(difference) < tolerance_mm
        there = cv2.remap(other.score, mx, my, cv2.INTER_NEAREST, borderMode=cv2.BORDER_CONSTANT, borderValue=0)
        share = np.where(agrees, there, 0)
        # A step along the other's ray moves our depth by the cosine between the two optical axes (nearly: long lenses).
        cosine = np.float32(one.camera.R[2] @ other.camera.R[2])
        total += share * (one.depth + cosine * np.where(agrees, difference, 0))
        weight += share
        count += agrees
        through += difference > 3 * tolerance_mm
    return Agreement((total / np.maximum(weight, 1e-6)).astype(np.float32), count, through)


def normals_of(points: Gray, smooth: int, camera: Camera) -> Gray:
    """(h, w, 3) unit normals towards the camera of an organised point map, from differences of smoothed points.

    NaN where a neighbour is unknown.
    """
    known = np.isfinite(points[..., 0]).astype(np.float32)
    filled = np.where(known[..., None] > 0, points - camera.centre.astype(np.float32), 0).astype(np.float32)
    share = cv2.boxFilter(known, -1, (smooth, smooth))
    mean = cv2.boxFilter(filled, -1, (smooth, smooth)) / np.maximum(share, 1e-6)[..., None]
    mean[known == 0] = np.nan
    dx, dy = np.full_like(mean, np.nan), np.full_like(mean, np.nan)
    dx[:, 1:-1] = mean[:, 2:] - mean[:, :-2]
    dy[1:-1] = mean[2:] - mean[:-2]
    normal = np.cross(dy, dx)
    normal /= np.maximum(np.linalg.norm(normal, axis=2, keepdims=True), 1e-12)
    away = (normal * mean).sum(axis=2, keepdims=True) > 0
    return np.asarray(np.where(away, -normal, normal), dtype=np.float32)


def oriented_points(
    one: DepthMap, keeps: Sequence[Bools], smooth: int, least_cosine: float = 0.15
) -> list[OrientedPoints]:
    """For each mask, the kept pixels of a depth map as points with normals, weighted by score and by how squarely they
    are seen.
    """
    points = one.points()
    normals = normals_of(points, smooth, one.camera)
    toward = one.camera.centre.astype(np.float32) - points
    toward /= np.linalg.norm(toward, axis=2, keepdims=True)
    cosine = (normals * toward).sum(axis=2)
    weight = (one.score * cosine * cosine).clip(1e-3).astype(np.float32)
    every = (keep & (cosine > least_cosine) for keep in keeps)
    return [OrientedPoints(points[keep], normals[keep], weight[keep]) for keep in every]


def concatenated(parts: Sequence[OrientedPoints]) -> OrientedPoints:
    """All points of all parts."""
    return OrientedPoints(
        np.concatenate([p.points_mm for p in parts]),
        np.concatenate([p.normals for p in parts]),
        np.concatenate([p.weight for p in parts]),
    )


def merge_points(parts: Sequence[OrientedPoints], cell_mm: float) -> OrientedPoints:
    """One point a cell: the weighted mean of positions and normals. Cells whose normals cancel are dropped.

    The cells are those of a fixed grid, so what was merged before can be merged with more.
    """
    every = concatenated(parts)
    points, normals, weight = every.points_mm, every.normals, every.weight
    if len(points) == 0:
        return every
    sums = cell_sums(points, normals, weight, cell_mm)
    total = sums[:, 6:]
    position, direction = sums[:, :3] / total, sums[:, 3:6] / total
    length = np.linalg.norm(direction, axis=1)
    good = length > 0.5
    return OrientedPoints(
        position[good].astype(np.float32),
        (direction[good] / length[good, None]).astype(np.float32),
        total[good, 0].astype(np.float32),
    )
