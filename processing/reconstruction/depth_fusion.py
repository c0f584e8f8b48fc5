"""Depth fusion: depth maps that agree become oriented points."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from common.array_types import Bools, Floats, Gray
from processing.geometry.cameras import Camera
from processing.reconstruction.cell_table import cell_sums
from processing.reconstruction.compiled_kernels.depth_agreement import add_agreement
from processing.reconstruction.compiled_kernels.pixel_points import find_oriented, from_centre
from processing.reconstruction.image_regions import Region
from processing.reconstruction.stereo_matching import projection


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

    def box(self, rows: slice, columns: slice) -> "DepthMap":
        """Such a rectangle of it; nothing is copied."""
        r = self.region
        inner = Region(r.y0 + rows.start, r.y0 + rows.stop, r.x0 + columns.start, r.x0 + columns.stop)
        return DepthMap(self.camera, inner, self.depth[rows, columns], self.score[rows, columns])

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


def ray_matrix(camera: Camera) -> Floats:
    """(3, 3) the ray of depth 1, head frame, of a pixel (x, y, 1)."""
    return np.asarray(camera.R.T @ np.linalg.inv(camera.K))


def back_project(camera: Camera, region: Region, depth: Gray) -> Gray:
    """(h, w, 3) points of a region's depth map in the head frame, mm."""
    M = ray_matrix(camera)
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
    depth = np.ascontiguousarray(one.depth)
    sums = np.stack([depth * one.score, one.score, np.zeros_like(depth), np.zeros_like(depth)])
    for other in others:
        M, b = projection(one.camera, other.camera)
        # A step along the other's ray moves our depth by the cosine between the two optical axes (nearly: long lenses).
        cosine = float(one.camera.R[2] @ other.camera.R[2])
        add_agreement(
            depth,
            np.c_[M, b],
            (one.region.y0, one.region.x0, other.region.y0, other.region.x0),
            np.ascontiguousarray(other.depth),
            np.ascontiguousarray(other.score),
            (tolerance_mm, 3 * tolerance_mm, cosine),
            sums,
        )
    total, weight, count, through = sums
    return Agreement(total / np.maximum(weight, np.float32(1e-6)), count, through)


def oriented_points(
    one: DepthMap, keeps: Sequence[Bools], smooth: int, least_cosine: float = 0.15
) -> list[OrientedPoints]:
    """For each mask, the kept pixels of a depth map as points with normals, weighted by score and by how squarely they
    are seen.

    Normals are from differences of points averaged over smooth x smooth pixels; a pixel beside an unknown one has none.
    """
    camera = one.camera
    points = np.empty((*one.depth.shape, 4), np.float32)
    from_centre(np.ascontiguousarray(one.depth), ray_matrix(camera), (one.region.y0, one.region.x0), points)
    sums = cv2.boxFilter(points, -1, (smooth, smooth), normalize=False)
    centre, score = camera.centre.astype(np.float32), np.ascontiguousarray(one.score)
    found = []
    for keep in keeps:
        rows = np.empty((np.count_nonzero(keep), 7), np.float32)
        count = find_oriented(points, sums, score, np.ascontiguousarray(keep).view(np.uint8), least_cosine, rows)
        rows = rows[:count]
        found.append(OrientedPoints(rows[:, :3] + centre, rows[:, 3:6].copy(), rows[:, 6].copy()))
    return found


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
