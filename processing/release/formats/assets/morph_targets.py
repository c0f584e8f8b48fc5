"""Morph targets: a neutral face and the positions of its vertices in other expressions, with whose work it is.

What an export format needs of a subject, whatever it was read from.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from common.array_types import Floats32, Ints32
from processing.geometry.vertex_normals import area_weighted_normals, triangle_cross


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
    """A subject's expressions, of one topology, in the release's template frame."""

    #: The release's name.
    release: str
    version: int
    #: The subject's folder in every layout.
    index: int
    topology: TopologyArrays
    #: (V, 3) positions, mm.
    neutral: Floats32
    #: Name -> (V, 3) positions, mm.
    targets: dict[str, Floats32]
    #: A JPEG over the UVs.
    texture: bytes
    rights: Rights


def vertex_normals(vertices: Floats32, triangles: NDArray[np.int32]) -> Floats32:
    """(V, 3) unit, weighted by area; up where a vertex has no area."""
    cross = triangle_cross(vertices.astype(np.float64), triangles)
    normals = area_weighted_normals(cross, triangles, len(vertices))
    return np.where(normals.any(axis=1, keepdims=True), normals, [0.0, 1.0, 0.0]).astype(np.float32)
