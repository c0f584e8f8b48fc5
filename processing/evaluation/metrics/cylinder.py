"""Surfaces seen from a vertical axis through the head: radius and normal at 256 x 256 angles and heights.

The grid of the public FaceScape evaluator (Zhu et al., FaceScape, section 6.3; `map_cyl`): rows from 150 mm above the
centre to 150 mm below, columns in steps of 2 pi / 255 from the back of the head (column 0), so that the last repeats
the first. Of several surfaces on a ray the outermost counts. Head frame: y up, z out of the face.
"""

from dataclasses import dataclass

import numpy as np

from common.array_types import Bools, Floats, Ints32
from processing.geometry.mesh import Mesh, Surface

SIDE = 256
HALF_HEIGHT_MM = 150.0
STEP = 2 * np.pi / (SIDE - 1)
_LEAST_COSINE = 1e-5  # between ray and normal: a triangle seen edge on has no place on a ray


@dataclass(frozen=True, eq=False)
class Placing:
    """Where a surface lies: x = scale y + shift brings its points y into the cylinder's frame, mm from the centre."""

    scale: float
    shift: Floats  # (3,)

    def __call__(self, points: Floats) -> Floats:
        return np.asarray(self.scale * points + self.shift)


@dataclass(frozen=True, eq=False)
class CylinderMap:
    """The outermost surface on each ray."""

    #: (256, 256) mm from the axis; 0: none.
    radius_mm: Floats
    #: (256, 256, 3) unit, of the triangle hit; 0: none.
    normals: Floats

    @property
    def known(self) -> Bools:
        """(256, 256) rays that meet a surface."""
        return np.asarray(self.radius_mm != 0)


def ray_directions() -> Floats:
    """(256, 3) unit, of each column."""
    angle = np.arange(SIDE) * STEP
    return np.stack([-np.sin(angle), np.zeros(SIDE), -np.cos(angle)], axis=1)


def heights_mm() -> Floats:
    """(256,) of each row."""
    return np.linspace(HALF_HEIGHT_MM, -HALF_HEIGHT_MM, SIDE)


def cylinder_map(surface: Surface, placing: Placing, wanted: Bools | None = None) -> CylinderMap:
    """A surface as the axis sees it. Rays are cast from outside, so that the outermost is the first to be met.

    wanted: (256, 256) rays that are cast; None: all.
    """
    mesh = surface.mesh
    rays = np.arange(SIDE * SIDE) if wanted is None else np.flatnonzero(wanted)
    directions = ray_directions()[rays % SIDE]
    axis = np.zeros((len(rays), 3))
    axis[:, 1] = heights_mm()[rays // SIDE]
    # In the surface's own frame: what is there was read once, and is placed many times.
    origins = (axis - placing.shift) / placing.scale
    used = (
        mesh.vertices_mm[mesh.triangles.ravel()]
        if len(mesh.vertices_mm) > 3 * len(mesh.triangles)
        else mesh.vertices_mm
    )
    across = used[:, [0, 2]] + placing.shift[[0, 2]] / placing.scale
    far = 1.01 * float(np.sqrt(np.square(across).sum(axis=1).max())) + 1e-9
    distance, triangle, _ = surface.cast(origins + far * directions, -directions)
    # The far side of a ray belongs to another column.
    hit = np.flatnonzero((triangle >= 0) & (distance < far))
    rays, origins, directions = rays[hit], origins[hit], directions[hit]
    # Rays are cast in single precision; where they meet the triangle's plane is worked out in double.
    corners, normals = planes_of(mesh, triangle[hit])
    cosine = np.einsum("nd,nd->n", normals, directions)
    with np.errstate(divide="ignore", invalid="ignore"):
        along = np.einsum("nd,nd->n", normals, corners - origins) / cosine * placing.scale
    sure = (np.abs(cosine) > _LEAST_COSINE) & (along > 0)
    radius, facing = np.zeros(SIDE * SIDE), np.zeros((SIDE * SIDE, 3))
    radius[rays[sure]] = along[sure]
    facing[rays[sure]] = normals[sure]
    return CylinderMap(radius.reshape(SIDE, SIDE), facing.reshape(SIDE, SIDE, 3))


def planes_of(mesh: Mesh, triangles: Ints32) -> tuple[Floats, Floats]:
    """(N, 3) a corner and (N, 3) the unit normal of triangles by their numbers; zero for one without area."""
    corners = mesh.vertices_mm[mesh.triangles[triangles]]
    first = corners[:, 0]
    a, b = corners[:, 1] - first, corners[:, 2] - first
    cross = np.stack(
        [
            a[:, 1] * b[:, 2] - a[:, 2] * b[:, 1],
            a[:, 2] * b[:, 0] - a[:, 0] * b[:, 2],
            a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0],
        ],
        axis=1,
    )
    return first, cross / np.sqrt(np.einsum("nd,nd->n", cross, cross)).clip(1e-300)[:, None]


def points_of(radius_mm: Floats) -> Floats:
    """(256, C, 3) mm: where the rays of the first C columns meet the surface."""
    directions = ray_directions()[: radius_mm.shape[1]]
    points = radius_mm[..., None] * directions[None]
    points[..., 1] = heights_mm()[:, None]
    return np.asarray(points)
