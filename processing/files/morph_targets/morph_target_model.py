"""Morph targets: a neutral face and the positions of its vertices in other expressions, with whose work it is.

What an export format needs of a subject, whatever it was read from: the 20 expressions of a release, a rig's 52 units.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from common.array_types import Floats32, Ints32
from processing.errors import DataError
from processing.geometry.vertex_normals import area_weighted_normals, triangle_cross

# A vertex that a target moves by less stays where it is: a fiftieth of a millimetre, and of a normal's length.
STILL_MM = 0.02
STILL_NORMAL = 0.02
MOST = 0.75


class ExportError(DataError):
    """A face cannot be written in this format."""


@dataclass(frozen=True, eq=False)
class TopologyArrays:
    """Triangles and UVs that all meshes of a topology share."""

    #: (T, 3) vertices.
    triangles: Ints32
    #: (U, 2), origin at the bottom left.
    uvs: Floats32
    #: (T, 3) UVs.
    uv_triangles: Ints32


@dataclass(frozen=True)
class Rights:
    """What goes with every exported file: under which terms, whose work, how it is cited, out of which release."""

    #: The licence's address or name.
    licence: str
    #: LICENCE.txt.
    licence_text: str
    creators: tuple[str, ...]
    citation: str
    #: Name and version, as in 'faces 3'.
    release: str

    @property
    def notice(self) -> str:
        """All of it in a line."""
        whose = ", ".join(self.creators) or "the studio that made it"
        return f"{whose}. From release {self.release}. Licence: {self.licence}. Cite as: {self.citation}"


@dataclass(frozen=True, eq=False)
class MorphTargetModel:
    """A face's expressions, of one topology, upright in the head frame: mm, y up, z out of the face."""

    #: What programs list it as; a letter, then letters, digits and '_': 'subject_12'.
    name: str
    topology: TopologyArrays
    #: (V, 3) positions, mm.
    neutral: Floats32
    #: Name -> (V, 3) positions, mm.
    targets: Mapping[str, Floats32]
    #: A JPEG over the UVs; None: the face is grey.
    texture: bytes | None = None
    #: None where it never left the studio that made it.
    rights: Rights | None = None
    #: What else the file says of itself: {'release': 'faces', 'version': 3, 'subject': 12}.
    facts: Mapping[str, str | int] = field(default_factory=dict)
    #: Whether the file plays: one target after another, there and back, in turn.
    plays: bool = False


@dataclass(frozen=True, eq=False)
class MorphAnimation:
    """Weights of all targets over time, and how the head turns. Between keyframes both go evenly."""

    name: str
    #: (T,) ascending from 0, and (T, targets) 0..1.
    times_s: Floats32
    weights: Floats32
    #: (R,) and (R, 4) quaternions x, y, z, w about `pivot_mm`; none: the head stays.
    turn_times_s: Floats32 | None = None
    turns: Floats32 | None = None
    #: (3,) mm.
    pivot_mm: tuple[float, float, float] = (0.0, 0.0, 0.0)


class MovedVertices(NamedTuple):
    """What a target moves or turns."""

    #: (M,) ascending.
    vertices: Ints32
    #: (M, 3) mm.
    offsets: Floats32
    #: (M, 3) differences of unit normals.
    normals: Floats32


def moved_vertices(model: MorphTargetModel, target: str, normals: Floats32) -> MovedVertices:
    """The vertices of a target that are not where the neutral face has them, or whose normals turn.

    All where that is most of them: their numbers would cost more than they save.  normals: (V, 3) of the neutral face.
    """
    offsets = model.targets[target] - model.neutral
    turned = vertex_normals(model.targets[target], model.topology.triangles) - normals
    moves = (np.linalg.norm(offsets, axis=1) > STILL_MM) | (np.linalg.norm(turned, axis=1) > STILL_NORMAL)
    vertices = np.flatnonzero(moves | (moves.mean() > MOST)).astype(np.int32)
    return MovedVertices(vertices, offsets[vertices], turned[vertices])


def vertex_normals(vertices: Floats32, triangles: Ints32) -> Floats32:
    """(V, 3) unit, weighted by area; up where a vertex has no area."""
    cross = triangle_cross(vertices.astype(np.float64), triangles)
    normals = area_weighted_normals(cross, triangles, len(vertices))
    return np.where(normals.any(axis=1, keepdims=True), normals, [0.0, 1.0, 0.0]).astype(np.float32)
