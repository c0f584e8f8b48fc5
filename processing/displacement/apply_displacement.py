"""Displacement applied to a registered mesh: the detailed face again."""

from dataclasses import replace

import numpy as np
from scipy.ndimage import map_coordinates

from common.array_types import Floats
from processing.errors import MeshError
from processing.files.displacement_map import DisplacementMap
from processing.geometry.mesh import Mesh, subdivide
from processing.geometry.uv_charts import in_first_tile

ROUNDING = 1e-4  # what programs leave of 1 as a UV


def sample_displacement(displacement: DisplacementMap, uvs: Floats) -> Floats:
    """(N, 2) UVs -> (N,) heights in mm, bilinear between texel centres."""
    size = displacement.height_mm.shape[0]
    rows, columns = (1 - uvs[:, 1]) * size - 0.5, uvs[:, 0] * size - 0.5
    return np.asarray(
        map_coordinates(displacement.height_mm.astype(np.float64), [rows, columns], order=1, mode="nearest")
    )


def displace(mesh: Mesh, displacement: DisplacementMap, *, subdivisions: int = 2) -> Mesh:
    """The mesh subdivided at its edges' middles and moved along its normals by the map.

    subdivisions: each makes four triangles of one (2: 26,000 vertices become 0.4 million).  The normals are those of
    `mesh`, interpolated, as `bake` used them; a vertex on a UV seam takes the mean of its sides, so nothing tears.
    Vertices of triangles that have no UVs (NaN) alone stay where they are; charts beside the unit square, as of other
    tiles (UDIM), see the map as if it were there too.  Raises MeshError for a mesh without UVs.
    """
    if mesh.uvs is None:
        raise MeshError("the mesh has no UVs: a displacement map cannot be applied")
    if not 0 <= subdivisions <= 5:
        raise MeshError(f"{subdivisions} subdivisions; use 0 to 5 (each makes the mesh four times larger)")
    fine = subdivide(_in_the_map(mesh), subdivisions)
    normals = subdivide(mesh.with_vertices(mesh.vertex_normals), subdivisions).vertices_mm
    normals = normals / np.linalg.norm(normals, axis=1, keepdims=True).clip(1e-12)
    if fine.uvs is None or fine.uv_triangles is None:
        raise MeshError("the mesh has no UVs: a displacement map cannot be applied")
    count = len(fine.vertices_mm)
    pairs = np.unique(fine.triangles.ravel().astype(np.int64) << 32 | fine.uv_triangles.ravel())
    vertex, uv = pairs >> 32, pairs & 0xFFFFFFFF
    there = np.isfinite(fine.uvs[uv]).all(axis=1)
    vertex, uv = vertex[there], uv[there]
    sides = np.bincount(vertex, minlength=count).clip(1)
    height = np.bincount(vertex, sample_displacement(displacement, fine.uvs[uv]), count) / sides
    return fine.with_vertices(fine.vertices_mm + height[:, None] * normals)


def _in_the_map(mesh: Mesh) -> Mesh:
    """The mesh with every chart in the unit square; what of one reaches beyond goes on at the other side, as textures
    repeat.
    """
    if mesh.uvs is None or mesh.uv_triangles is None or not ((mesh.uvs < 0) | (mesh.uvs > 1)).any():
        return mesh
    uvs = in_first_tile(mesh.uvs, mesh.uv_triangles)
    beyond = (uvs < -ROUNDING) | (uvs > 1 + ROUNDING)
    return replace(mesh, uvs=np.where(beyond, uvs - np.floor(uvs), uvs))
