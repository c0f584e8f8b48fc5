"""Correspondence: for each vertex of a template its point on a scan, nearest or along the normal, with a weight."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from common.array_types import Bools, Floats, Floats32, Ints32
from processing.geometry.mesh import Mesh, Surface
from processing.geometry.surface_cleaning import edge_triangles


@dataclass(frozen=True, eq=False)
class Matches:
    """A point of the scan for each of N vertices."""

    points_mm: Floats  # (N, 3) on the scan
    weight: Floats  # (N,) in [0, 1], 0 where there is no match


class TargetSurface:
    """A scan made ready to be matched: its ray scene and its edge.

    Matches on a triangle at the scan's edge do not count: beyond it the scan says nothing, and the nearest point of
    everything out there is the edge itself. A seam along which vertices are doubled is no edge.
    """

    def __init__(self, scan: Mesh) -> None:
        self.mesh = scan
        self.surface = Surface(scan)
        self.at_edge: Bools = edge_triangles(scan)

    @classmethod
    def of(cls, scan: "Mesh | TargetSurface") -> "TargetSurface":
        """As it is, if it was made ready before."""
        return scan if isinstance(scan, TargetSurface) else cls(scan)

    def facing(self, triangle: Ints32, directions: NDArray[np.floating]) -> NDArray[np.floating]:
        """(N,) the cosine between some triangles' normals and unit directions (N, 3); 0 for degenerate triangles."""
        a, b, c = (self.mesh.vertices_mm[self.mesh.triangles[triangle, k]] for k in range(3))
        cross = np.cross(b - a, c - a)
        along = np.einsum("nd,nd->n", cross, directions)
        return np.asarray(along / np.sqrt(np.einsum("nd,nd->n", cross, cross)).clip(1e-20))

    def nearest(self, points_mm: Floats, normals: Floats, *, max_mm: float, min_cosine: float) -> Matches:
        """Nearest point of the scan, dropped when too far, turned away or at the scan's edge (Amberg 2007, 4.1)."""
        found = self.surface.closest(points_mm)
        facing = self.facing(found.triangle, normals)
        good = (found.distance_mm <= max_mm) & (facing >= min_cosine) & ~self.at_edge[found.triangle]
        return Matches(found.points_mm, good.astype(np.float64))

    def along_normals(self, points_mm: Floats, normals: Floats, *, max_mm: float, min_cosine: float) -> Matches:
        """First hit along the normal, outwards or inwards, whichever is nearer; dropped as in `nearest`."""
        best = np.full(len(points_mm), np.inf)
        signed = np.zeros(len(points_mm))
        for sign in (1.0, -1.0):
            distance, triangle, _ = self.surface.cast(points_mm, sign * normals)
            hit = (triangle >= 0) & (distance <= max_mm)
            hit[hit] &= ~self.at_edge[triangle[hit]]
            hit[hit] &= self.facing(triangle[hit], normals[hit]) >= min_cosine
            better = hit & (distance < best)
            best[better] = distance[better]
            signed[better] = sign * distance[better]
        return Matches(points_mm + signed[:, None] * normals, np.isfinite(best).astype(np.float64))

    def heights(
        self,
        points_mm: Floats32,
        normals: Floats32,
        expected_mm: Floats32,
        *,
        within_mm: float,
        min_cosine: float,
    ) -> Floats32:
        """(N,) signed distance along each unit normal to the scan's outermost surface within `within_mm` of what is
        expected; NaN without one, or where it is dropped as in `nearest`. One short ray each: for millions of points.
        """
        rays = np.empty((len(points_mm), 6), dtype=np.float32)
        rays[:, :3] = points_mm + (expected_mm + within_mm)[:, None] * normals
        np.negative(normals, out=rays[:, 3:])
        distance, triangle, cosine = self.surface.first_hits(rays)
        met = np.flatnonzero((distance <= 2 * within_mm) & (cosine <= -min_cosine))
        met = met[~self.at_edge[triangle[met]]]
        out = np.full(len(points_mm), np.nan, dtype=np.float32)
        out[met] = expected_mm[met] + within_mm - distance[met]
        return out


def downweight_far(matches: Matches, points_mm: Floats, floor_mm: float) -> Matches:
    """Matches much farther than the others lose weight (Geman-McClure, scale 3 medians, at least floor_mm)."""
    off = np.linalg.norm(matches.points_mm - points_mm, axis=1)
    used = matches.weight > 0
    if not used.any():
        return matches
    sigma = max(floor_mm, 3.0 * float(np.median(off[used])))
    return Matches(matches.points_mm, matches.weight / (1 + np.square(off / sigma)) ** 2)
