"""A person's low-poly head before a photograph is looked at closely: neutral, 52 units, and what a fit needs of it.

The head is a face model of one identity, so that landmark tables, camera and light of single_view serve it as they are.
"""

from dataclasses import dataclass, replace

import numpy as np
from scipy.spatial import cKDTree

from common.array_types import Floats, Ints32
from processing.face_models.bilinear_shapes import BilinearShapes, shapes_of_slices
from processing.face_models.face_model import FaceModel, ModelTopology
from processing.face_models.low_poly_head import LowPolyHead
from processing.geometry.mesh import Surface, submesh
from processing.geometry.topology import topology_id
from processing.single_view.fitting.carried_places import places_on
from processing.single_view.fitting.landmark_places import LandmarkPlaces, builtin_places
from processing.template.template import SKIN

_STILL_MM = 1e-3  # a unit's offset that is none
_OFF_MM = 1.0  # deviation, a coordinate, of a decoder's head from the model's nearest


@dataclass(frozen=True, eq=False)
class PersonHead:
    """One person's head: a face model of one identity on a low-poly topology."""

    head: LowPolyHead
    model: FaceModel  # one identity parameter, always 1
    places: LandmarkPlaces | None  # of the detector's points; None on a template unlike the house's

    @property
    def units(self) -> tuple[str, ...]:
        return self.model.units

    @property
    def neutral_mm(self) -> Floats:
        """(L, 3)."""
        return self.model.bilinear.neutral(np.ones(1))

    @property
    def offsets_mm(self) -> Floats:
        """(U, L, 3): from the neutral to each unit at weight 1."""
        return self.model.bilinear.offsets(np.ones(1))


def person_head(
    model: FaceModel, head: LowPolyHead, neutral_mm: Floats, own: BilinearShapes | None = None
) -> PersonHead:
    """The head of a neutral (L, 3) mm, that moves as the model's nearest identity does.

    own: `model.subset(head.vertices)`, where it is there already.
    """
    own = own or model.subset(head.vertices)
    offsets = own.offsets(nearest_identity(model, own, neutral_mm))
    slices = np.concatenate([neutral_mm[None], offsets]).astype(np.float32)[..., None]
    one, none = np.ones(1), np.zeros(1)
    topology = head_topology(model.topology, head, neutral_mm)
    return PersonHead(
        head,
        FaceModel(
            model.name, model.version, topology, shapes_of_slices(model.units, slices, _STILL_MM, one, none),
            np.eye(1 + len(model.units)), one, none, None, model.albedo, model.card,
        ),
        head_places(model, head, topology),
    )  # fmt: skip


def nearest_identity(model: FaceModel, own: BilinearShapes, neutral_mm: Floats) -> Floats:
    """(n,) the model's identity parameters whose neutral is nearest to vertices (L, 3), by its members' spread."""
    core = own.neutral_core_mm.reshape(-1, model.identity_count).astype(np.float64)
    matrix = core * model.identity_deviation
    off = neutral_mm.ravel() - core @ model.identity_mean
    square = matrix.T @ matrix / _OFF_MM**2 + np.eye(model.identity_count)
    scores = np.linalg.solve(square, matrix.T @ off / _OFF_MM**2)
    return np.asarray(model.identity_mean + scores * model.identity_deviation)


def head_topology(full: ModelTopology, head: LowPolyHead, neutral_mm: Floats) -> ModelTopology:
    """What a fit knows of the full topology's vertices, of those that the head keeps."""
    place = np.full(head.full, -1, np.int32)
    place[head.vertices] = np.arange(len(head.vertices), dtype=np.int32)
    mean = head.take(full.mesh.vertices_mm)
    mesh = head.mesh(neutral_mm)
    nearest = head.triangles[head.landmark_triangles][np.arange(68), head.landmark_barycentric.argmax(axis=1)]
    contours = []
    for number, contour in enumerate(full.contours):
        kept = place[contour]
        contours.append(np.unique(np.r_[kept[kept >= 0], nearest[number]]).astype(np.int32))
    other = cKDTree(mean).query(full.mesh.vertices_mm[full.symmetry[head.vertices]])[1]
    return ModelTopology(
        full.name, full.version, topology_id(mesh), mesh, head.parts, head.landmark_triangles,
        head.landmark_barycentric, tuple(contours), other.astype(np.int32), full.face[head.vertices],
        full.frontal[head.vertices],
    )  # fmt: skip


def head_places(model: FaceModel, head: LowPolyHead, topology: ModelTopology) -> LandmarkPlaces | None:
    """Where the detector's points lie on the head: the nearest of its skin to where the full topology has them."""
    places = places_on(model, builtin_places())
    if places is None:
        return None
    full = model.topology.mesh
    points = np.einsum("nk,nkd->nd", places.barycentric, full.vertices_mm[full.triangles[places.triangles]])
    mean = head.mesh(head.take(full.vertices_mm))
    keep = (head.parts == SKIN)[head.triangles].all(axis=1)
    found = Surface(submesh(mean, keep)[0]).closest(points)
    shares = found.barycentric.clip(0, 1)
    triangles: Ints32 = np.flatnonzero(keep)[found.triangle].astype(np.int32)
    return replace(
        places, topology=topology.topology, triangles=triangles, barycentric=shares / shares.sum(axis=1, keepdims=True)
    )
