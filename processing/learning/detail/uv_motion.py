"""How a face's surface moves and stretches from one expression to another, vertex by vertex, and over its UVs.

The deforming map of FaceScape (TPAMI), section 4.2, is the motion of each place from the source expression to the
target, over the UVs, mm. Skin wrinkles where it is squeezed, which a motion says only by its derivatives: what they are
is given beside it, measured from the face at rest, which the rig knows.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from common.array_types import Floats, Floats32, Ints32
from processing.errors import MeshError, ShapeError
from processing.geometry.mesh import Mesh
from processing.geometry.uv_rasterization import Texels

STRETCHES = ("area", "along u", "along v")  # logarithms of ratios
MOST_STRETCH = 1.5  # logarithm: beyond it a mesh folds
_TINY = 1e-12


@dataclass(frozen=True, eq=False)
class StretchMeter:
    """Measures how a mesh's surface is stretched from one place of its vertices to another. Raises MeshError."""

    mesh: Mesh  # topology with UVs

    def __post_init__(self) -> None:
        if self.mesh.uvs is None or self.mesh.uv_triangles is None:
            raise MeshError("the mesh has no UVs: a deforming map is drawn over them")

    @cached_property
    def _to_uv(self) -> tuple[Floats, Floats]:
        """(T, 2, 2) of each triangle: its edges' change by u and v; and its weight, zero where its UVs are a line."""
        assert self.mesh.uvs is not None
        assert self.mesh.uv_triangles is not None
        a, b, c = (self.mesh.uvs[self.mesh.uv_triangles[:, k]] for k in range(3))
        e, f = b - a, c - a
        determinant = e[:, 0] * f[:, 1] - e[:, 1] * f[:, 0]
        good = np.abs(np.nan_to_num(determinant)) > _TINY
        scale = np.where(good, 1 / np.where(good, determinant, 1.0), 0.0)
        inverse = np.stack([np.stack([f[:, 1], -f[:, 0]], 1), np.stack([-e[:, 1], e[:, 0]], 1)], 1)
        return np.nan_to_num(inverse) * scale[:, None, None], good.astype(np.float64)

    def _lengths(self, vertices_mm: Floats) -> Floats:
        """(T, 2) mm a unit of u, and of v."""
        a, b, c = (vertices_mm[self.mesh.triangles[:, k]] for k in range(3))
        edges = np.stack([b - a, c - a], axis=2)  # (T, 3, 2)
        return np.asarray(np.linalg.norm(edges @ self._to_uv[0], axis=1))

    def stretch(self, from_mm: Floats, to_mm: Floats) -> Floats32:
        """(V, 3): logarithms of the ratios of area, and of length along u and along v, at each vertex.

        from_mm, to_mm: (V, 3).  Squeezed skin is negative. Raises ShapeError.
        """
        shape = self.mesh.vertices_mm.shape
        for vertices in (from_mm, to_mm):
            if vertices.shape != shape:
                raise ShapeError("vertices_mm", vertices.shape, str(shape))
        before, after = self.mesh.with_vertices(from_mm), self.mesh.with_vertices(to_mm)
        area = np.log(after.vertex_areas.clip(_TINY) / before.vertex_areas.clip(_TINY))
        weight = np.linalg.norm(before.triangle_cross, axis=1) * self._to_uv[1]
        ratio = np.log(self._lengths(to_mm).clip(_TINY) / self._lengths(from_mm).clip(_TINY))
        around = self.mesh.vertex_triangles
        total = (around @ weight).clip(_TINY)
        along = (around @ (weight[:, None] * ratio)) / total[:, None]
        return np.asarray(np.c_[area, along].clip(-MOST_STRETCH, MOST_STRETCH), np.float32)


@dataclass(frozen=True, eq=False)
class TexelGrid:
    """For each texel of a map: the vertices that it lies between, and their shares."""

    corners: Ints32  # (S, S, 3)
    shares: Floats32  # (S, S, 3); zeros where the mesh has no texel

    @staticmethod
    def of(mesh: Mesh, texels: Texels) -> "TexelGrid":
        return TexelGrid(
            np.asarray(texels.image(mesh.triangles[texels.triangle]), np.int32),
            np.asarray(texels.image(texels.barycentric), np.float32),
        )

    @property
    def size_px(self) -> int:
        return len(self.corners)

    def window(self, top: int, left: int, height: int, width: int) -> "TexelGrid":
        rows, columns = slice(top, top + height), slice(left, left + width)
        return TexelGrid(self.corners[rows, columns], self.shares[rows, columns])

    def drawn(self, values: Floats32) -> Floats32:
        """(V, K) values of the vertices -> (K, H, W) over the UVs."""
        out = np.zeros((values.shape[1], *self.corners.shape[:2]), np.float32)
        for corner in range(3):
            out += np.moveaxis(values[self.corners[..., corner]], 2, 0) * self.shares[..., corner]
        return out


def deforming_map(grid: TexelGrid, source_mm: Floats, target_mm: Floats) -> Floats32:
    """(3, H, W) mm: where each place goes from the source to the target expression (section 4.2)."""
    if source_mm.shape != target_mm.shape:
        raise ShapeError("target_mm", target_mm.shape, str(source_mm.shape))
    return grid.drawn((target_mm - source_mm).astype(np.float32))
