"""Triangle meshes as plain arrays: adjacency, normals, subdivision, closest points, rays."""

import sys
from dataclasses import dataclass, replace
from functools import cached_property
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from common.array_types import Bools, Floats, Gray, Ints32
from processing.errors import MeshError, ShapeError
from processing.geometry.open3d_core import o3d
from processing.geometry.vertex_normals import area_weighted_normals, triangle_cross

if TYPE_CHECKING:
    from scipy import sparse

Colors = NDArray[np.uint8]
#: `Mesh.confidence` from which on a place was measured by photographs; below it was estimated from what lies around.
MEASURED = 0.5
_COMPILED = "processing.geometry.compiled_meshes"
_FEW = 200_000  # triangles for which loading the compiler takes longer than all that is done with them


@dataclass(frozen=True, eq=False)
class Mesh:
    """A triangle mesh. Raises ShapeError and MeshError for arrays that do not fit together."""

    #: (V, 3) head frame.
    vertices_mm: Floats
    #: (T, 3) counter-clockwise from outside.
    triangles: Ints32
    #: (U, 2) origin at the bottom left as in OBJ; NaN for triangles that have no place in the map.
    uvs: Floats | None = None
    #: (T, 3) into `uvs`.
    uv_triangles: Ints32 | None = None
    #: (V, 3) RGB.
    colors: Colors | None = None
    #: (V,) float32, 0 to 1, None where unknown. 1: several views agree sharply; `MEASURED`: photographs say it, weakly;
    #: below: estimated from what lies around, towards 0 the farther a measurement is.
    confidence: Gray | None = None

    def __post_init__(self) -> None:
        vertices = np.ascontiguousarray(self.vertices_mm, dtype=np.float64)
        triangles = np.ascontiguousarray(self.triangles, dtype=np.int32).reshape(-1, 3)
        if vertices.ndim != 2 or vertices.shape[1] != 3:
            raise ShapeError("vertices_mm", vertices.shape, "(V, 3)")
        if len(triangles) and (triangles.min() < 0 or triangles.max() >= len(vertices)):
            raise MeshError(f"a triangle names vertex {triangles.max()} of {len(vertices)}")
        object.__setattr__(self, "vertices_mm", vertices)
        object.__setattr__(self, "triangles", triangles)
        if (self.uvs is None) != (self.uv_triangles is None):
            raise MeshError("uvs and uv_triangles come together or not at all")
        if self.uvs is not None and self.uv_triangles is not None:
            uvs = np.ascontiguousarray(self.uvs, dtype=np.float64)
            uv_triangles = np.ascontiguousarray(self.uv_triangles, dtype=np.int32).reshape(-1, 3)
            if uvs.ndim != 2 or uvs.shape[1] != 2:
                raise ShapeError("uvs", uvs.shape, "(U, 2)")
            if len(uv_triangles) != len(triangles):
                raise ShapeError("uv_triangles", uv_triangles.shape, f"({len(triangles)}, 3)")
            if len(uv_triangles) and (uv_triangles.min() < 0 or uv_triangles.max() >= len(uvs)):
                raise MeshError(f"a triangle names UV {uv_triangles.max()} of {len(uvs)}")
            object.__setattr__(self, "uvs", uvs)
            object.__setattr__(self, "uv_triangles", uv_triangles)
        if self.colors is not None and self.colors.shape != vertices.shape:
            raise ShapeError("colors", self.colors.shape, f"({len(vertices)}, 3)")
        if self.confidence is not None:
            confidence = np.ascontiguousarray(self.confidence, dtype=np.float32)
            if confidence.shape != vertices.shape[:1]:
                raise ShapeError("confidence", confidence.shape, f"({len(vertices)},)")
            if not ((confidence >= 0) & (confidence <= 1)).all():
                raise MeshError("a vertex's confidence is not within 0 and 1")
            object.__setattr__(self, "confidence", confidence)

    def with_vertices(self, vertices_mm: Floats) -> "Mesh":
        """The same topology and UVs with other positions."""
        if vertices_mm.shape != self.vertices_mm.shape:
            raise ShapeError("vertices_mm", vertices_mm.shape, str(self.vertices_mm.shape))
        other = replace(self, vertices_mm=vertices_mm)
        for name in ("edges", "vertex_triangles", "boundary_vertices"):  # of the topology alone
            if name in self.__dict__:
                other.__dict__[name] = self.__dict__[name]
        return other

    @property
    def without_uvs(self) -> Bools:
        """(T,) triangles that have no place in the map: all of a mesh without UVs."""
        if self.uvs is None or self.uv_triangles is None:
            return np.ones(len(self.triangles), np.bool_)
        return np.asarray(np.isnan(self.uvs[self.uv_triangles]).any(axis=(1, 2)))

    @property
    def _by_numpy(self) -> bool:
        """Whether loops are better not compiled: they are few, and nobody has loaded the compiler yet (0.6 s). What
        comes out is the same to the last bit or two.
        """
        return len(self.triangles) < _FEW and _COMPILED not in sys.modules

    @cached_property
    def triangle_cross(self) -> Floats:
        """(T, 3) normals with the length of twice the area, mm^2."""
        if self._by_numpy:
            return np.asarray(triangle_cross(self.vertices_mm, self.triangles))
        return np.asarray(import_module(_COMPILED).cross_products(self.vertices_mm, self.triangles))

    @cached_property
    def triangle_normals(self) -> Floats:
        """(T, 3) unit; zero for a degenerate triangle."""
        cross = self.triangle_cross
        return np.asarray(cross / np.linalg.norm(cross, axis=1, keepdims=True).clip(1e-20))

    @cached_property
    def vertex_normals(self) -> Floats:
        """(V, 3) unit, weighted by area."""
        if self._by_numpy:
            return area_weighted_normals(self.triangle_cross, self.triangles, len(self.vertices_mm))
        return np.asarray(import_module(_COMPILED).vertex_normals(self.vertices_mm, self.triangles))

    @cached_property
    def vertex_areas(self) -> Floats:
        """(V,) a third of the area of the triangles around each vertex, mm^2."""
        return np.asarray(self.vertex_triangles @ (np.linalg.norm(self.triangle_cross, axis=1) / 6))

    @cached_property
    def vertex_triangles(self) -> "sparse.csr_array":
        """(V, T) incidence."""
        from scipy import sparse  # here, as below: most that is done with meshes does without

        rows, columns = self.triangles.ravel(), np.repeat(np.arange(len(self.triangles)), 3)
        shape = (len(self.vertices_mm), len(self.triangles))
        return sparse.csr_array((np.ones(len(rows)), (rows, columns)), shape=shape)

    @cached_property
    def edges(self) -> Ints32:
        """(E, 2) each edge once, the lower vertex first, sorted."""
        return edge_ends(np.unique(edge_keys(self.triangles)))

    @cached_property
    def boundary_vertices(self) -> Bools:
        """(V,) on an edge that only one triangle has."""
        keys = edge_keys(self.triangles)
        keys.sort()
        single = np.ones(len(keys), dtype=np.bool_)
        again = keys[1:] == keys[:-1]
        single[1:] &= ~again
        single[:-1] &= ~again
        on_boundary = np.zeros(len(self.vertices_mm), dtype=np.bool_)
        on_boundary[edge_ends(keys[single]).ravel()] = True
        return on_boundary

    def adjacency(self) -> "sparse.csr_array":
        """(V, V) 1 where an edge is."""
        from scipy import sparse

        e, n = self.edges, len(self.vertices_mm)
        rows, columns = np.r_[e[:, 0], e[:, 1]], np.r_[e[:, 1], e[:, 0]]
        return sparse.csr_array((np.ones(len(rows)), (rows, columns)), shape=(n, n))


def edge_keys(triangles: NDArray[np.integer]) -> NDArray[np.int64]:
    """(3 T,) one number an edge of each triangle, equal for both directions; numbers sort like vertex pairs."""
    t = triangles.astype(np.int64)
    a, b = np.concatenate([t[:, 0], t[:, 1], t[:, 2]]), np.concatenate([t[:, 1], t[:, 2], t[:, 0]])
    return np.asarray(np.minimum(a, b) << 32 | np.maximum(a, b))


def edge_ends(keys: NDArray[np.int64]) -> Ints32:
    """(N, 2) the vertices of edges by their `edge_keys`, the lower first."""
    return np.stack([keys >> 32, keys & 0xFFFFFFFF], axis=1).astype(np.int32)


def _split(triangles: Ints32, count: int) -> tuple[Ints32, Ints32]:
    """Edges to halve (E, 2) and the four-fold triangles, in the order (corner a, b, c, middle) of each."""
    keys, inverse = np.unique(edge_keys(triangles), return_inverse=True)
    edges = edge_ends(keys)
    a, b, c = (count + inverse.reshape(-1)[k * len(triangles) : (k + 1) * len(triangles)] for k in range(3))
    t = triangles
    four = np.stack([np.c_[t[:, 0], a, c], np.c_[a, t[:, 1], b], np.c_[c, b, t[:, 2]], np.c_[a, b, c]], axis=1)
    return edges, four.reshape(-1, 3).astype(np.int32)


def subdivide(mesh: Mesh, times: int = 1) -> Mesh:
    """Each triangle becomes four by its edges' middles, with all that corners have; old vertices keep their numbers."""
    for _ in range(times):
        edges, triangles = _split(mesh.triangles, len(mesh.vertices_mm))
        middle = mesh.vertices_mm[edges].mean(axis=1)
        uvs, uv_triangles, colors, confidence = mesh.uvs, mesh.uv_triangles, mesh.colors, mesh.confidence
        if uvs is not None and uv_triangles is not None:
            uv_edges, uv_four = _split(uv_triangles, len(uvs))
            uvs, uv_triangles = np.concatenate([uvs, uvs[uv_edges].mean(axis=1)]), uv_four
        if colors is not None:
            colors = np.concatenate([colors, colors[edges].mean(axis=1).round().astype(np.uint8)])
        if confidence is not None:
            confidence = np.concatenate([confidence, confidence[edges].mean(axis=1)])
        mesh = Mesh(np.concatenate([mesh.vertices_mm, middle]), triangles, uvs, uv_triangles, colors, confidence)
    return mesh


def submesh(mesh: Mesh, keep: Bools) -> tuple[Mesh, Ints32]:
    """The triangles marked in keep (T,), unused vertices dropped; and (V',) the old number of each vertex."""
    used, triangles = _renumbered(mesh.triangles[keep], len(mesh.vertices_mm))
    uvs, uv_triangles = mesh.uvs, mesh.uv_triangles
    if uvs is not None and uv_triangles is not None:
        used_uvs, uv_triangles = _renumbered(uv_triangles[keep], len(uvs))
        uvs = uvs[used_uvs]
    colors = None if mesh.colors is None else mesh.colors[used]
    confidence = None if mesh.confidence is None else mesh.confidence[used]
    kept = Mesh(mesh.vertices_mm[used], triangles, uvs, uv_triangles, colors, confidence)
    return kept, used


def _renumbered(triangles: Ints32, count: int) -> tuple[Ints32, Ints32]:
    """Of `count` vertices those that triangles (T, 3) name, ascending, and the triangles in numbers of these."""
    named = np.zeros(count, np.bool_)
    named[triangles] = True
    return np.flatnonzero(named).astype(np.int32), (np.cumsum(named, dtype=np.int32) - 1)[triangles]


def triangle_components(mesh: Mesh) -> Ints32:
    """(T,) the number of the connected piece that each triangle belongs to."""
    from scipy.sparse.csgraph import connected_components

    _, label = connected_components(mesh.adjacency(), directed=False)
    return np.asarray(label[mesh.triangles[:, 0]], dtype=np.int32)


def largest_component(mesh: Mesh) -> Mesh:
    """The connected piece with the most triangles."""
    label = triangle_components(mesh)
    return submesh(mesh, label == np.bincount(label).argmax())[0]


@dataclass(frozen=True)
class Closest:
    """The nearest points of a surface."""

    #: (N, 3) on the surface.
    points_mm: Floats
    #: (N,) in which they lie,
    triangle: Ints32
    #: (N, 3) and where.
    barycentric: Floats
    #: (N,)
    distance_mm: Floats


def _tensor(array: NDArray[Any]) -> Any:
    return o3d.core.Tensor.from_numpy(np.ascontiguousarray(array))


class Surface:
    """A mesh made ready for closest-point and ray queries (Open3D's Embree scene, float32)."""

    def __init__(self, mesh: Mesh) -> None:
        if len(mesh.triangles) == 0:
            raise MeshError("a mesh without triangles has no surface")
        self.mesh = mesh
        self._scene = o3d.t.geometry.RaycastingScene()
        vertices, triangles = mesh.vertices_mm.astype(np.float32), mesh.triangles.astype(np.uint32)
        self._scene.add_triangles(_tensor(vertices), _tensor(triangles))

    def closest(self, points_mm: Floats) -> Closest:
        """The nearest surface point of each of (N, 3) points."""
        answer = self._scene.compute_closest_points(_tensor(np.asarray(points_mm, dtype=np.float32)))
        triangle = answer["primitive_ids"].numpy().astype(np.int32)
        uv = answer["primitive_uvs"].numpy().astype(np.float64)
        barycentric = np.c_[1 - uv.sum(axis=1), uv]
        nearest = np.einsum("nk,nkd->nd", barycentric, self.mesh.vertices_mm[self.mesh.triangles[triangle]])
        return Closest(nearest, triangle, barycentric, np.linalg.norm(nearest - points_mm, axis=1))

    def cast(self, origins_mm: NDArray[np.floating], directions: NDArray[np.floating]) -> tuple[Floats, Ints32, Floats]:
        """First hits of (N, 3) rays: distance in direction lengths (inf: none), triangle (-1), barycentric (N, 3)."""
        rays = np.concatenate([origins_mm, directions], axis=1).astype(np.float32)
        answer = self._scene.cast_rays(_tensor(rays))
        uv = answer["primitive_uvs"].numpy().astype(np.float64)
        distance = answer["t_hit"].numpy().astype(np.float64)
        triangle = answer["primitive_ids"].numpy().astype(np.int64)
        triangle[~np.isfinite(distance)] = -1
        return distance, triangle.astype(np.int32), np.c_[1 - uv.sum(axis=1), uv]

    def first_hits(
        self, rays: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[np.uint32], NDArray[np.float32]]:
        """`cast` for millions of (N, 6) rays (origin, unit direction): distance (inf: none), triangle (meaningless
        there), cosine between the ray and the triangle's normal. All (N,), nothing else is computed.
        """
        answer = self._scene.cast_rays(_tensor(rays))
        cosine = np.einsum("nd,nd->n", answer["primitive_normals"].numpy(), rays[:, 3:])
        return answer["t_hit"].numpy(), answer["primitive_ids"].numpy(), cosine
