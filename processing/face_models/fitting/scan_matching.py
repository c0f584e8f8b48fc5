"""Where points of the model lie on a scan: the plane nearest to each, dropped where it says nothing."""

from dataclasses import dataclass

import numpy as np

from common.array_types import Bools, Floats
from processing.registration.correspondence import TargetSurface


@dataclass(frozen=True, eq=False)
class PlaneMatches:
    """For each of N points the plane of the scan nearest to it."""

    points_mm: Floats  # (N, 3) on the scan
    normals: Floats  # (N, 3) unit
    good: Bools  # (N,) neither far, nor turned away, nor at the scan's edge


def match_planes(
    scan: TargetSurface, points_mm: Floats, normals: Floats, *, max_mm: float, min_cosine: float
) -> PlaneMatches:
    """The nearest point of the scan for each of (N, 3) points with unit normals, and the scan's smooth normal there."""
    found = scan.surface.closest(points_mm)
    corners = scan.mesh.triangles[found.triangle]
    across = np.einsum("nk,nkd->nd", found.barycentric, scan.mesh.vertex_normals[corners])
    across /= np.linalg.norm(across, axis=1, keepdims=True).clip(1e-12)
    facing = np.einsum("nd,nd->n", across, normals)
    good = (found.distance_mm <= max_mm) & (facing >= min_cosine) & ~scan.at_edge[found.triangle]
    return PlaneMatches(found.points_mm, across, good)
