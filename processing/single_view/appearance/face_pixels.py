"""What of a model's face is compared with a photograph's pixels: made once a model."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.spatial import Delaunay, cKDTree

from common.array_types import Bools, Floats, Ints32
from processing.errors import DataError
from processing.face_models.bilinear_shapes import BilinearShapes
from processing.face_models.face_model import FaceModel
from processing.face_models.fitting.vertex_sampling import spread_vertices
from processing.geometry.cameras import Camera
from processing.geometry.mesh import Mesh
from processing.geometry.vertex_rings import dilated
from processing.single_view.appearance.skin_colours import SkinColours
from processing.single_view.appearance.visible_samples import VisibleSamples, visible_samples
from processing.template.template import EYE, MOUTH_INTERIOR, SKIN

CONTROL_MM = 5.0
_AXIS_MM = 100.0  # behind the face's foremost point
_EDGE_RINGS = 1  # around eyes and the mouth's inside, where lids and lips turn inwards


@dataclass(frozen=True, eq=False)
class FacePixels:
    """The triangles of a face that show skin, what may hide them, and their colours.

    Raises DataError for a model without a face.
    """

    model: FaceModel

    def __post_init__(self) -> None:
        if not self.counted.any():
            raise DataError(f"model {self.model.name} marks no vertex as its face: its pixels cannot be told")

    @cached_property
    def counted(self) -> Bools:
        """(T,) triangles of the model whose pixels are compared."""
        topology = self.model.topology
        mesh = topology.mesh
        edge = dilated(mesh.adjacency(), np.isin(topology.parts, (EYE, MOUTH_INTERIOR)), _EDGE_RINGS)
        good = topology.face & (topology.parts == SKIN) & ~edge
        return np.asarray(good[mesh.triangles].all(axis=1))

    @cached_property
    def before(self) -> Ints32:
        """(B,) triangles of the model that are cast: the front of the head with the eyes, the counted ones first."""
        topology = self.model.topology
        front = topology.frontal | topology.face | (topology.parts == EYE)
        other = front[topology.mesh.triangles].all(axis=1) & ~self.counted
        return np.concatenate([np.flatnonzero(self.counted), np.flatnonzero(other)]).astype(np.int32)

    @cached_property
    def vertices(self) -> Ints32:
        """(N,) vertices of the face, ascending, CONTROL_MM apart: how its places move is told by these alone.

        A model's shapes are smooth; to ask all its vertices would be six times the work.
        """
        mesh = self.model.topology.mesh
        inside = np.zeros(len(mesh.vertices_mm), np.bool_)
        inside[mesh.triangles[self.counted]] = True
        return spread_vertices(mesh.vertices_mm, inside, CONTROL_MM)

    @cached_property
    def shapes(self) -> BilinearShapes:
        """The model at `vertices`."""
        return self.model.subset(self.vertices)

    @cached_property
    def _triangulation(self) -> Delaunay:
        """Triangles between `vertices`, around an axis through the head."""
        return Delaunay(self._unrolled(self.model.topology.mesh.vertices_mm[self.vertices]))

    def _unrolled(self, points_mm: Floats) -> Floats:
        """(N, 3) of the mean face -> (N, 2) mm: around the head's axis, and up."""
        x, y, z = points_mm.T
        middle = self.model.topology.mesh.vertices_mm[self.model.topology.face]
        depth = float(middle[:, 2].max()) - _AXIS_MM
        return np.stack([_AXIS_MM * np.arctan2(x - middle[:, 0].mean(), np.maximum(z - depth, 1.0)), y], axis=1)

    def between(self, triangle: Ints32, barycentric: Floats) -> tuple[Ints32, Floats]:
        """(M, 3) rows of `vertices` between which places of the mesh lie, and how much of each."""
        mesh, triangulation = self.model.topology.mesh, self._triangulation
        places = np.einsum("nk,nkd->nd", barycentric, mesh.vertices_mm[mesh.triangles[triangle]])
        flat = self._unrolled(places)
        found = triangulation.find_simplex(flat)
        outside = np.flatnonzero(found < 0)
        if len(outside):  # beyond the outermost vertices: the triangle whose middle is nearest
            middles = triangulation.points[triangulation.simplices].mean(axis=1)
            found[outside] = cKDTree(middles).query(flat[outside])[1]
        transform = triangulation.transform[found]
        two = np.einsum("nij,nj->ni", transform[:, :2], flat - transform[:, 2])
        shares = np.c_[two, 1 - two.sum(axis=1)].clip(-0.5, 1.5)
        corners = triangulation.simplices[found].astype(np.int32)
        return corners, shares / shares.sum(axis=1, keepdims=True)

    @cached_property
    def colours(self) -> SkinColours:
        return SkinColours(self.model, self.counted)

    def samples(
        self, mesh: Mesh, camera: Camera, *, count: int, rng: np.random.Generator, margin_mm: float = 0.0
    ) -> VisibleSamples:
        """`visible_samples` of the face in the topology of the model: `mesh` (V vertices, any frame)."""
        front = Mesh(mesh.vertices_mm, mesh.triangles[self.before])
        counted = np.arange(len(self.before)) < self.counted.sum()
        seen = visible_samples(front, camera, counted, count=count, rng=rng, margin_mm=margin_mm)
        number = self.before[seen.triangle]
        return VisibleSamples(number, seen.barycentric, seen.pixel, seen.cosine, seen.step_px, seen.area_mm2)


def smooth_normals(mesh: Mesh, samples: VisibleSamples) -> Floats:
    """(M, 3) unit normals at samples, between those of the vertices."""
    corners = mesh.triangles[samples.triangle]
    normals = np.einsum("nk,nkd->nd", samples.barycentric, mesh.vertex_normals[corners])
    return np.asarray(normals / np.linalg.norm(normals, axis=1, keepdims=True).clip(1e-9))
