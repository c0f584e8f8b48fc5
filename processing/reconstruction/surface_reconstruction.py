"""Surface reconstruction: oriented points become a surface, and a surface becomes depth maps."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from common.array_types import Bools, Floats, Gray, Ints32
from processing.errors import ReconstructionError
from processing.geometry.cameras import Camera
from processing.geometry.compiled_meshes import vertex_normals
from processing.geometry.loop_subdivision import loop_subdivided
from processing.geometry.mesh import Mesh
from processing.geometry.open3d_core import o3d
from processing.reconstruction.compiled_kernels.rasterization import draw_depth
from processing.reconstruction.depth_fusion import OrientedPoints, merge_points
from processing.reconstruction.image_regions import Region
from processing.reconstruction.point_cells import PointCells, displacements
from processing.reconstruction.surface_holes import enclosed_faces

SOLVED_CELLS = 2.0  # side of the octree's finest cells, in cells of the points
MOVED_CELLS = 2.0  # points so near a vertex, in their cells, say where it belongs


def poisson(points: OrientedPoints, cell_mm: float, depth: int | None) -> Mesh:
    """Screened Poisson surface (Kazhdan and Hoppe 2013, Open3D's); closed, untrimmed.

    cell_mm: side of the finest octree cells, met by the size of the cube around the points; `depth` overrides it.
    One thread: the result is the same each time, and the threads of this solver spin while they wait (two took 33 CPU
    seconds for the work of 28 on an idle machine and several times as many on a busy one).
    """
    extent = float(np.ptp(points.points_mm, axis=0).max())
    scale = 1.1
    if depth is None:
        depth = int(np.clip(np.ceil(np.log2(1.05 * extent / cell_mm)), 5, 13))
        scale = max(cell_mm * 2**depth / extent, 1.05)
    cloud = o3d.geometry.PointCloud(o3d.utility.Vector3dVector(points.points_mm.astype(np.float64)))
    cloud.normals = o3d.utility.Vector3dVector(points.normals.astype(np.float64))
    with o3d.utility.VerbosityContextManager(o3d.utility.VerbosityLevel.Error):
        mesh, _ = o3d.geometry.TriangleMesh.create_from_point_cloud_poisson(
            cloud, depth=depth, scale=scale, linear_fit=True, n_threads=1
        )
    return Mesh(np.asarray(mesh.vertices), np.asarray(mesh.triangles))


@dataclass(frozen=True, eq=False)
class SolvedSurface:
    """A surface, and triangles between the first of its vertices that show the same, a quarter as many."""

    mesh: Mesh
    #: (T, 3); those of the mesh where it was not subdivided.
    coarse: Ints32


def surface_through(
    points: OrientedPoints, cell_mm: float, farthest_mm: float, *, subdivide: bool, poisson_depth: int | None = None
) -> SolvedSurface:
    """The surface of a point cloud, open where nothing lies within about farthest_mm.

    Solved in cells of twice the side, which takes a quarter of the time and closes what is open; then each triangle
    becomes four and its corners go onto the moving least-squares surface of the points themselves, which have what the
    solution is too coarse for.  subdivide: once more.  poisson_depth: solved at this depth of the octree instead.
    Raises ReconstructionError where nothing is left.
    """
    if poisson_depth is not None:
        mesh = trim_far_faces(poisson(points, cell_mm, poisson_depth), points, farthest_mm)
    else:
        coarse_mm = SOLVED_CELLS * cell_mm
        few = merge_points([points], coarse_mm)
        mesh = loop_subdivided(trim_far_faces(poisson(few, coarse_mm, None), points, farthest_mm))
        mesh = onto_points(mesh, points, MOVED_CELLS * cell_mm)
    return SolvedSurface(loop_subdivided(mesh) if subdivide else mesh, mesh.triangles)


def onto_points(mesh: Mesh, points: OrientedPoints, reach_mm: float) -> Mesh:
    """The mesh with its vertices on the surface through the points within reach, as far as there are some."""
    vertices = SurfaceVertices.of(mesh)
    cells = PointCells.of(points.points_mm, reach_mm)
    moved = displacements(vertices.positions, vertices.normals, points, cells)
    return mesh.with_vertices(mesh.vertices_mm + moved[:, None] * vertices.normals.astype(np.float64))


def trim_far_faces(mesh: Mesh, points: OrientedPoints, farthest_mm: float) -> Mesh:
    """The largest connected piece of what lies near a measured point or spans a hole between such places.

    Near: as `near_points` has it.  Holes: `enclosed_faces`.
    Raises ReconstructionError where nothing is left.
    """
    near = near_points(mesh.vertices_mm, points.points_mm, farthest_mm)
    measured = np.asarray(near[mesh.triangles].all(axis=1), dtype=np.bool_)
    triangles = mesh.triangles[measured | enclosed_faces(mesh, measured)]
    if len(triangles) == 0:
        raise ReconstructionError("no surface was reconstructed: nothing lies near a measured point")
    count = len(mesh.vertices_mm)
    rows, columns = triangles[:, :2].ravel(), triangles[:, 1:].ravel()
    graph = sparse.coo_array((np.ones(len(rows), np.int8), (rows, columns)), shape=(count, count)).tocsr()
    _, piece = connected_components(graph, directed=False)
    label = piece[triangles[:, 0]]
    return _compact(mesh.vertices_mm, triangles[label == np.bincount(label).argmax()])


def _compact(vertices_mm: Floats, triangles: NDArray[np.int32]) -> Mesh:
    used = np.zeros(len(vertices_mm), np.bool_)
    used[triangles.ravel()] = True
    number = np.cumsum(used, dtype=np.int32) - 1
    return Mesh(vertices_mm[used], number[triangles].astype(np.int32))


def near_points(queries_mm: Floats | Gray, points_mm: Gray, farthest_mm: float) -> Bools:
    """(Q,) whether a query's cell, of half of farthest_mm, or one of the 26 around it holds a point."""
    return PointCells.of(points_mm, farthest_mm / 2).near(queries_mm)


class RenderedSurface:
    """A mesh whose depth is wanted in many cameras."""

    def __init__(self, mesh: Mesh) -> None:
        self._mesh = mesh
        self._vertices = mesh.vertices_mm.astype(np.float32)
        self._triangles = np.ascontiguousarray(mesh.triangles, dtype=np.int32)

    @property
    def area_mm2(self) -> float:
        return float(np.linalg.norm(self._mesh.triangle_cross, axis=1).sum() / 2)

    def region(self, camera: Camera, margin: int) -> Region | None:
        """The rectangle of a pinhole camera's image that the surface and a margin fill; None where it is not seen."""
        at = self._vertices @ (camera.K @ camera.R).T.astype(np.float32) + (camera.K @ camera.t).astype(np.float32)
        at = at[at[:, 2] > 0]
        if len(at) == 0:
            return None
        x, y = at[:, 0] / at[:, 2], at[:, 1] / at[:, 2]
        return clipped_region(
            (float(y.min()), float(y.max()), float(x.min()), float(x.max())), margin, camera.height, camera.width
        )

    def depth(self, camera: Camera, region: Region | None = None) -> Gray:
        """(h, w) depth of a region of a pinhole camera's image (None: all of it), mm.

        NaN where a pixel's ray meets nothing, inf where it meets a surface from behind (through a hole).
        """
        region = region or Region(0, camera.height, 0, camera.width)
        P = camera.K @ np.c_[camera.R, camera.t]
        inverse, behind = np.zeros(region.shape, np.float32), np.zeros(region.shape, np.uint8)
        corner, room = (region.y0, region.x0), np.empty_like(self._vertices)
        draw_depth(self._vertices, self._triangles, P, corner, room, inverse, behind)
        with np.errstate(divide="ignore"):
            depth = 1 / inverse
        depth[inverse == 0] = np.nan
        depth[behind > 0] = np.inf
        return np.asarray(depth, dtype=np.float32)


@dataclass(frozen=True, eq=False)
class SurfaceVertices:
    """Vertices of a surface made ready for many views, float32."""

    #: (V, 3) mm
    positions: Gray
    #: (V, 3) unit
    normals: Gray
    #: (V,) their scalar products, mm.
    lever: Gray

    @staticmethod
    def of(mesh: Mesh) -> "SurfaceVertices":
        positions = mesh.vertices_mm.astype(np.float32)
        normals = vertex_normals(positions, mesh.triangles).astype(np.float32)
        return SurfaceVertices(positions, normals, np.einsum("nk,nk->n", positions, normals))

    def facing(self, camera: Camera, least_cosine: float) -> tuple[NDArray[np.intp], Gray, Gray]:
        """Index (n,) of the vertices that face a camera, their rays' lengths along their normals (n,) and depths (n,).

        Facing: where the cosine between the normal and the ray is above least_cosine, or nearly, towards the corners of
        the picture.
        """
        along = self.lever - self.normals @ camera.centre.astype(np.float32)
        z = self.positions @ camera.R[2].astype(np.float32) + np.float32(camera.t[2])
        front = np.flatnonzero(along < -np.float32(least_cosine) * z)
        return front, along[front], z[front]

    def at(self, pick: NDArray[np.intp]) -> "SurfaceVertices":
        return SurfaceVertices(self.positions[pick], self.normals[pick], self.lever[pick])


def clipped_region(bounds: tuple[float, float, float, float], margin: int, height: int, width: int) -> Region | None:
    """The rectangle between such first and last rows and columns (y0, y1, x0, x1), a margin around it, as far as the
    image goes; None where it lies outside.
    """
    y0, y1, x0, x1 = bounds
    region = Region(
        max(int(np.floor(y0)) - margin, 0),
        min(int(np.ceil(y1)) + 1 + margin, height),
        max(int(np.floor(x0)) - margin, 0),
        min(int(np.ceil(x1)) + 1 + margin, width),
    )
    return region if region.y0 < region.y1 and region.x0 < region.x1 else None


def known_bounds(values: Gray) -> tuple[int, int, int, int] | None:
    """First and last row, first and last column that hold a finite value."""
    finite = np.isfinite(values)
    rows, columns = np.flatnonzero(finite.any(axis=1)), np.flatnonzero(finite.any(axis=0))
    return (int(rows[0]), int(rows[-1]), int(columns[0]), int(columns[-1])) if len(rows) else None


def filled(depth: Gray) -> Gray:
    """Unknown pixels take the nearest known depth, so that windows across the edge have something to follow."""
    unknown = ~np.isfinite(depth)
    if not unknown.any() or unknown.all():
        return depth
    _, label = cv2.distanceTransformWithLabels(unknown.astype(np.uint8), cv2.DIST_L2, 3, labelType=cv2.DIST_LABEL_PIXEL)
    lookup = np.zeros(int(label.max()) + 1, np.float32)
    lookup[label[~unknown]] = depth[~unknown]
    return np.asarray(lookup[label], dtype=np.float32)
