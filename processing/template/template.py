"""The template: the one topology that every scan is brought into, with its landmarks, weights and expressions."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from common.array_types import Bools, Floats, Ints32
from processing.errors import DataError, ShapeError
from processing.geometry.mesh import Mesh, Surface

Labels = NDArray[np.int8]
# Part of each vertex. AnnyHead goes on with its own: teeth and tongue.
SKIN, EYE, MOUTH_INTERIOR = 0, 1, 2
PART_NAMES = ("skin", "eye", "mouth_interior")


class TemplateError(DataError):
    """A template file cannot be used."""


@dataclass(frozen=True, eq=False)
class Template:
    """A head in the head frame (mm, y up, z out of the face) that scans are registered to."""

    name: str
    version: int
    mesh: Mesh  # V vertices and T triangles, neutral, with UVs in the unit square
    parts: Labels  # (V,) SKIN, EYE (the surface between the lids), MOUTH_INTERIOR
    weights: Floats  # (V,) 0..1, the weight of a vertex's distance to the scan
    boundary: Bools  # (V,) True on the mesh's rim
    #: (68,) triangles and (68, 3) barycentric coordinates in them: the Multi-PIE landmarks, fixed on the surface.
    landmark_triangles: Ints32
    landmark_barycentric: Floats
    #: Name -> (V, 3) mm, the template performing it ("neutral" is the mesh itself).
    expressions: Mapping[str, Floats] = field(default_factory=dict)

    def __post_init__(self) -> None:
        count = len(self.mesh.vertices_mm)
        wanted: dict[str, tuple[int, ...]] = {
            "parts": (count,), "weights": (count,), "boundary": (count,),
            "landmark_triangles": (68,), "landmark_barycentric": (68, 3),
        }  # fmt: skip
        for key, shape in wanted.items():
            array = getattr(self, key)
            if array.shape != shape:
                raise ShapeError(f"template {self.name}: {key}", array.shape, str(shape))
        for expression, vertices in self.expressions.items():
            if vertices.shape != (count, 3):
                raise ShapeError(f"template {self.name}: expression {expression}", vertices.shape, f"({count}, 3)")
        if self.landmark_triangles.min() < 0 or self.landmark_triangles.max() >= len(self.mesh.triangles):
            raise TemplateError(f"template {self.name}: a landmark lies on a triangle that is not there")

    def landmark_points(self, vertices_mm: Floats) -> Floats:
        """(V, 3) vertices of this topology -> the (68, 3) landmarks on them, Multi-PIE order."""
        if vertices_mm.shape != self.mesh.vertices_mm.shape:
            raise ShapeError("vertices_mm", vertices_mm.shape, str(self.mesh.vertices_mm.shape))
        corners = vertices_mm[self.mesh.triangles[self.landmark_triangles]]
        return np.asarray(np.einsum("nk,nkd->nd", self.landmark_barycentric, corners))

    def expression(self, name: str) -> Floats:
        """(V, 3) mm of an expression; the neutral one where the template does not know the name."""
        return self.expressions.get(name, self.mesh.vertices_mm)


def from_mesh(
    name: str,
    mesh: Mesh,
    landmark_triangles: Ints32,
    landmark_barycentric: Floats,
    *,
    parts: Labels | None = None,
    expressions: Mapping[str, Floats] | None = None,
    version: int = 1,
) -> Template:
    """A template with the usual weights: skin 1, eyes 0.2, the mouth's inside 0.02, the open rim 0.2."""
    if parts is None:
        parts = np.zeros(len(mesh.vertices_mm), np.int8)
    weights = np.select([parts == SKIN, parts == EYE], [1.0, 0.2], 0.02)
    rim = mesh.boundary_vertices
    weights[rim] = np.minimum(weights[rim], 0.2)
    return Template(
        name, version, mesh, parts, weights, rim, landmark_triangles, landmark_barycentric, dict(expressions or {})
    )


def place_landmarks(mesh: Mesh, points_mm: Floats, allowed: Bools | None = None) -> tuple[Ints32, Floats]:
    """The nearest surface point of each of (68, 3): triangles (68,) and barycentric (68, 3).

    allowed: (T,) triangles that may carry a landmark.
    """
    which = np.arange(len(mesh.triangles)) if allowed is None else np.flatnonzero(allowed)
    closest = Surface(Mesh(mesh.vertices_mm, mesh.triangles[which])).closest(points_mm)
    barycentric = closest.barycentric.clip(0, 1)
    return which[closest.triangle].astype(np.int32), barycentric / barycentric.sum(1, keepdims=True)
