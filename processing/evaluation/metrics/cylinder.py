"""Surfaces seen from a vertical axis through the head: radius and normal at 256 x 256 angles and heights.

The grid of the public FaceScape evaluator (Zhu et al., FaceScape, section 6.3; `map_cyl`): rows from 150 mm above the
centre to 150 mm below, columns in steps of 2 pi / 255 from the back of the head (column 0), so that the last repeats
the first. Of several surfaces on a ray the outermost counts. Head frame: y up, z out of the face.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from common.array_types import Bools, Floats, Ints32
from processing.geometry.mesh import Mesh, Surface

SIDE = 256
HALF_HEIGHT_MM = 150.0
#: Faces with longer edges span what was not seen.
LONGEST_EDGE_MM = 15.0
_STEP = 2 * np.pi / (SIDE - 1)
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
    angle = np.arange(SIDE) * _STEP
    return np.stack([-np.sin(angle), np.zeros(SIDE), -np.cos(angle)], axis=1)


def heights_mm() -> Floats:
    """(256,) of each row."""
    return np.linspace(HALF_HEIGHT_MM, -HALF_HEIGHT_MM, SIDE)


def cylinder_map(surface: Surface, placing: Placing) -> CylinderMap:
    """A surface as the axis sees it. Rays are cast from outside, so that the outermost is the first to be met."""
    mesh = surface.mesh
    directions = np.broadcast_to(ray_directions()[None], (SIDE, SIDE, 3)).reshape(-1, 3)
    axis = np.zeros((SIDE, SIDE, 3))
    axis[..., 1] = heights_mm()[:, None]
    # In the surface's own frame: what is there was read once, and is placed many times.
    origins = (axis.reshape(-1, 3) - placing.shift) / placing.scale
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
    normals = mesh.triangle_normals[triangle[hit]]
    cosine = np.einsum("nd,nd->n", normals, directions[hit])
    corners = mesh.vertices_mm[mesh.triangles[triangle[hit], 0]]
    # Rays are cast in single precision; where they meet the triangle's plane is worked out in double.
    with np.errstate(divide="ignore", invalid="ignore"):
        along = np.einsum("nd,nd->n", normals, corners - origins[hit]) / cosine * placing.scale
    sure = (np.abs(cosine) > _LEAST_COSINE) & (along > 0)
    radius, facing = np.zeros(SIDE * SIDE), np.zeros((SIDE * SIDE, 3))
    radius[hit[sure]] = along[sure]
    facing[hit[sure]] = normals[sure]
    return CylinderMap(radius.reshape(SIDE, SIDE), facing.reshape(SIDE, SIDE, 3))


def points_of(radius_mm: Floats) -> Floats:
    """(256, C, 3) mm: where the rays of the first C columns meet the surface."""
    directions = ray_directions()[: radius_mm.shape[1]]
    points = radius_mm[..., None] * directions[None]
    points[..., 1] = heights_mm()[:, None]
    return np.asarray(points)


@dataclass(frozen=True, eq=False)
class CylinderSurface:
    """A map as a mesh; vertices without a face are left out."""

    mesh: Mesh
    #: (V,) of which pixel each vertex is: row x columns + column.
    pixel: Ints32


def published_surface(radius_mm: Floats) -> CylinderSurface | None:
    """The map (256, 256) as the public evaluator's `cylinder2mesh` joins it; None where no face is left.

    A pixel's two triangles are kept if its radius is within 15 mm of those to the right, below and right below, with
    rows and columns rolled over. So triangles after the last column name the next row's first vertex, and near the axis
    (radius under 15 mm) they reach pixels without surface, which lie on the axis. Triangles beyond the last row, with
    which the evaluator stops in an IndexError, are left out.
    """
    right, below = np.roll(radius_mm, -1, axis=1), np.roll(radius_mm, -1, axis=0)
    jump = np.abs([radius_mm - below, radius_mm - right, radius_mm - np.roll(below, -1, axis=1)]).max(axis=0)
    pixel = np.flatnonzero((jump < LONGEST_EDGE_MM) & (radius_mm != 0)).astype(np.int32)
    first = np.stack([pixel, pixel + 1, pixel + SIDE], axis=1)
    second = np.stack([pixel + SIDE + 1, pixel + SIDE, pixel + 1], axis=1)
    triangles = np.stack([first, second], axis=1).reshape(-1, 3)
    return _joined(points_of(radius_mm), triangles[triangles.max(axis=1, initial=0) < SIDE * SIDE])


def exact_surface(radius_mm: Floats) -> CylinderSurface | None:
    """The map (256, 255), each angle once, with every triangle of known corners and edges of at most 15 mm."""
    rows, columns = radius_mm.shape
    pixel = np.arange((rows - 1) * columns, dtype=np.int32).reshape(rows - 1, columns)
    right = np.roll(pixel, -1, axis=1)
    first = np.stack([pixel, right, pixel + columns], axis=-1)
    second = np.stack([right + columns, pixel + columns, right], axis=-1)
    triangles = np.stack([first, second], axis=2).reshape(-1, 3)
    triangles = triangles[(radius_mm.ravel()[triangles] != 0).all(axis=1)]
    points = points_of(radius_mm)
    corners = points.reshape(-1, 3)[triangles]
    edges = np.square(corners - np.roll(corners, -1, axis=1)).sum(axis=2)
    return _joined(points, triangles[(edges <= LONGEST_EDGE_MM**2).all(axis=1)])


def _joined(points: Floats, triangles: NDArray[np.int32]) -> CylinderSurface | None:
    if not len(triangles):
        return None
    vertices = points.reshape(-1, 3)
    used = np.zeros(len(vertices), np.bool_)
    used[triangles.ravel()] = True
    number = np.cumsum(used, dtype=np.int32) - 1
    return CylinderSurface(Mesh(vertices[used], number[triangles]), np.flatnonzero(used).astype(np.int32))
