"""What of a model's face is compared with a photograph's pixels: made once a model."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from common.array_types import Bools, Floats, Ints32
from processing.errors import DataError
from processing.face_models.bilinear_shapes import BilinearShapes
from processing.face_models.face_model import FaceModel
from processing.geometry.cameras import Camera
from processing.geometry.mesh import Mesh
from processing.geometry.vertex_rings import dilated
from processing.single_view.appearance.skin_colours import SkinColours
from processing.single_view.appearance.visible_samples import VisibleSamples, visible_samples
from processing.template.template import EYE, MOUTH_INTERIOR, SKIN

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
        """(N,) vertices of the counted triangles, ascending: what rows of equations are asked of."""
        return np.unique(self.model.topology.mesh.triangles[self.counted]).astype(np.int32)

    @cached_property
    def place(self) -> Ints32:
        """(V,) which of `vertices` each vertex of the model is; -1: none."""
        place = np.full(self.model.vertex_count, -1, np.int32)
        place[self.vertices] = np.arange(len(self.vertices), dtype=np.int32)
        return place

    @cached_property
    def shapes(self) -> BilinearShapes:
        """The model at `vertices`."""
        return self.model.subset(self.vertices)

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
