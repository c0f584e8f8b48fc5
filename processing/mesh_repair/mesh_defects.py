"""Mesh defects: triangles turned over, stretched thin, or passing through each other."""

from dataclasses import dataclass

import numpy as np

from common.array_types import Bools, Floats, Ints64
from processing.errors import ShapeError
from processing.geometry.mesh import Mesh
from processing.geometry.open3d_core import o3d

_EDGE_END = 1e-3  # share of an edge at either end, where the triangles around it meet it
_STRETCHED = 4.0  # times longer or thinner than the reference, against the whole mesh


@dataclass(frozen=True, eq=False)
class MeshDefects:
    """Defective triangles of a mesh, each mask (T,)."""

    flipped: Bools  # against the reference
    self_intersecting: Bools  # passing through another one
    stretched: Bools  # beyond what skin does

    def counts(self, among: Bools) -> dict[str, int]:
        """How many of each kind among some triangles (T,)."""
        named = {"flipped": self.flipped, "crossing": self.self_intersecting, "stretched": self.stretched}
        return {name: int((mask & among).sum()) for name, mask in named.items()}


def find_mesh_defects(mesh: Mesh, reference: Mesh) -> MeshDefects:
    """Defects of a mesh; reference: the same topology without them (the template's expression, or the neutral).

    A triangle is flipped when it faces away from the mean of its surroundings, though it did not in the reference.
    Raises ShapeError for another topology.
    """
    if mesh.triangles.shape != reference.triangles.shape:
        raise ShapeError("reference.triangles", reference.triangles.shape, str(mesh.triangles.shape))
    return MeshDefects(
        opposing_triangles(mesh) & ~opposing_triangles(reference), self_intersecting(mesh), _stretched(mesh, reference)
    )


def opposing_triangles(mesh: Mesh) -> Bools:
    """(T,) triangles that face away from the mean of the triangles around their corners.

    Each counts alike, whatever its area: a lid's narrow edge is upright beside the wide eye, and not turned over.
    """
    around = (mesh.vertex_triangles @ mesh.triangle_normals)[mesh.triangles].mean(axis=1)
    return np.asarray(np.einsum("td,td->t", around, mesh.triangle_cross) < 0)


def flipped_triangles(start: Mesh, vertices_mm: Floats) -> Bools:
    """(T,) triangles that face away from where they faced at the start."""
    now = start.with_vertices(vertices_mm).triangle_cross
    return np.asarray(np.einsum("td,td->t", now, start.triangle_cross) < 0)


def _stretched(mesh: Mesh, reference: Mesh) -> Bools:
    """(T,) whose larger or smaller stretch against the reference differs fourfold from the whole mesh's scale."""
    stretch = _principal_stretches(reference, mesh)
    scale = float(np.median(stretch))
    return np.asarray((stretch.max(axis=1) > _STRETCHED * scale) | (stretch.min(axis=1) < scale / _STRETCHED))


def _principal_stretches(rest: Mesh, mesh: Mesh) -> Floats:
    """(T, 2) singular values of each triangle's map from rest to mesh."""
    before, after = (_in_plane(m) for m in (rest, mesh))
    area = before[:, 0, 0] * before[:, 1, 1]
    sound = area > 1e-9
    inverse = np.zeros_like(before)
    inverse[:, 0, 0] = 1 / np.where(sound, before[:, 0, 0], 1)
    inverse[:, 1, 1] = 1 / np.where(sound, before[:, 1, 1], 1)
    inverse[:, 0, 1] = -before[:, 0, 1] * inverse[:, 0, 0] * inverse[:, 1, 1]
    stretch = np.linalg.svd(after @ inverse, compute_uv=False)
    return np.asarray(np.where(sound[:, None], stretch, 1.0))


def _in_plane(mesh: Mesh) -> Floats:
    """(T, 2, 2) upper triangular: the two edges from the first corner in the triangle's own plane, as columns."""
    a, b, c = (mesh.vertices_mm[mesh.triangles[:, k]] for k in range(3))
    first, second = b - a, c - a
    length = np.linalg.norm(first, axis=1)
    along = np.einsum("td,td->t", first, second) / length.clip(1e-12)
    across = np.linalg.norm(mesh.triangle_cross, axis=1) / length.clip(1e-12)
    return np.stack([np.stack([length, along], 1), np.stack([np.zeros_like(length), across], 1)], axis=1)


def self_intersecting(mesh: Mesh) -> Bools:
    """(T,) triangles that an edge of a triangle without a common corner passes through, and those of that edge.

    Two triangles that cross have an edge of one through the inside of the other.
    """
    out = np.zeros(len(mesh.triangles), dtype=np.bool_)
    edges, triangles = self_intersections(mesh)
    out[triangles] = True
    through = np.zeros(len(mesh.edges), dtype=np.bool_)
    through[edges] = True
    keys = mesh.edges[:, 0].astype(np.int64) << 32 | mesh.edges[:, 1]
    for k in range(3):
        i, j = mesh.triangles[:, k].astype(np.int64), mesh.triangles[:, (k + 1) % 3].astype(np.int64)
        edge = np.searchsorted(keys, np.minimum(i, j) << 32 | np.maximum(i, j))
        out |= through[edge]
    return out


def self_intersections(mesh: Mesh, among: Bools | None = None) -> tuple[Ints64, Ints64]:
    """(N,) edges (of `mesh.edges`) and the (N,) triangles, without a common corner, that they pass through.

    among: (V,) vertices whose edges are looked at (default: all).
    """
    looked = np.arange(len(mesh.edges)) if among is None else np.flatnonzero(among[mesh.edges].all(axis=1))
    nothing = np.zeros(0, dtype=np.int64)
    if not len(looked):  # Open3D ends the process when it is given no rays
        return nothing, nothing
    middle = mesh.vertices_mm.mean(axis=0)
    vertices = (mesh.vertices_mm - middle).astype(np.float32)
    scene = o3d.t.geometry.RaycastingScene()
    scene.add_triangles(o3d.core.Tensor(vertices), o3d.core.Tensor(mesh.triangles.astype(np.uint32)))
    ends = mesh.edges[looked]
    rays = np.concatenate([vertices[ends[:, 0]], vertices[ends[:, 1]] - vertices[ends[:, 0]]], axis=1)
    # Whether an edge meets anything is soon told; where, costs a walk to the end of the mesh.
    meets = scene.test_occlusions(o3d.core.Tensor(rays), tnear=_EDGE_END, tfar=1 - _EDGE_END).numpy()
    looked, rays = looked[meets], rays[meets]
    if not len(looked):
        return nothing, nothing
    found = scene.list_intersections(o3d.core.Tensor(rays))
    distance, ray = found["t_hit"].numpy(), found["ray_ids"].numpy().astype(np.int64)
    triangle = found["primitive_ids"].numpy().astype(np.int64)
    inside = (distance > _EDGE_END) & (distance < 1 - _EDGE_END)
    ray, triangle = looked[ray[inside]], triangle[inside]
    corners, ends = mesh.triangles[triangle], mesh.edges[ray]
    apart = (corners[:, :, None] != ends[:, None, :]).all(axis=(1, 2))
    return ray[apart], triangle[apart]
