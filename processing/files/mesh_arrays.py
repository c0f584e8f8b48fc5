"""What has been read of a mesh file, and what is made of it: a topology with all its vertices, or a scan's surface."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.array_types import Bools, Floats, Gray, Ints32, Ints64
from common.bounded.limits import MAX_COORDINATE_MM, MAX_FACES
from processing.errors import MeshError
from processing.files.polygon_fans import fan_corners
from processing.geometry.mesh import Mesh
from processing.geometry.surface_cleaning import cleaned_surface


@dataclass(frozen=True, eq=False)
class MeshArrays:
    """A mesh file's content, in its order."""

    path: Path
    #: (V, 3) as they stand there, not finite ones too.
    vertices: Floats
    #: (T, 3)
    triangles: Ints32
    #: Where a vertex stands, for messages: 'line 12'.
    vertex_place: Callable[[int], str]
    uvs: Floats | None = None
    uv_triangles: Ints32 | None = None
    colors: NDArray[np.uint8] | None = None
    confidence: Gray | None = None

    def topology(self) -> Mesh:
        """Vertex k is the file's. Raises MeshError for one that is not finite, whether or not a face names it."""
        self._require_finite(np.ones(len(self.vertices), np.bool_))
        return self._mesh()

    def scan(self, thin: Callable[[Mesh], Mesh] = lambda mesh: mesh) -> Mesh:
        """The surface alone: without what no face names, triangles without area and crumbs far away.

        thin: makes a dense mesh a coarser one first; of what no face names it takes no notice.
        Raises MeshError for a vertex of a face that is not finite.
        """
        used = np.zeros(len(self.vertices), np.bool_)
        used[self.triangles.ravel()] = True
        self._require_finite(used)
        surface = cleaned_surface(thin(replace(self, uvs=None, uv_triangles=None)._mesh()))
        if not len(surface.triangles):
            raise MeshError(f"{self.path}: none of its {len(self.triangles):,} triangles has an area: not a mesh")
        return surface

    def _mesh(self) -> Mesh:
        return Mesh(self.vertices, self.triangles, self.uvs, self.uv_triangles, self.colors, self.confidence)

    def _require_finite(self, which: Bools) -> None:
        far = np.abs(np.nan_to_num(self.vertices)).max(axis=1, initial=0) > MAX_COORDINATE_MM
        bad = which & (~np.isfinite(self.vertices).all(axis=1) | far)
        if bad.any():
            first, what = int(bad.argmax()), "not finite, or beyond a thousand kilometres"
            count = f"{int(bad.sum()):,} vertices with a coordinate that is {what}"
            raise MeshError(f"{self.path}, {self.vertex_place(first)}: it has {count}; repair the scan")


def fanned(
    path: Path,
    corner_counts: Ints64,
    corners: NDArray[Any],
    vertices: int,
    place: Callable[[int], str],
    *,
    first_number: int = 0,
) -> tuple[Ints32, Ints64, Ints64]:
    """Triangles (T, 3) of F polygons, their corners' places among all (T, 3), and the polygon of each (T,).

    corners: of one polygon after another, numbers of `vertices` vertices from 0.  place: where a polygon stands.
    first_number: the first vertex's in the file.
    Raises MeshError, with the place, for a corner that is not there; and for too many triangles.
    """
    if int((corner_counts - 2).sum()) > MAX_FACES:
        raise MeshError(f"{path}: its polygons are more than {MAX_FACES:,} triangles; no more are read")
    wrong = (corners < 0) | (corners >= vertices)
    if wrong.any():
        first = int(wrong.argmax())
        face = int(np.searchsorted(np.cumsum(corner_counts), first, side="right"))
        number = int(corners[first]) + first_number
        what = f"a face names vertex {number:,}, counted from {first_number}; {vertices:,} are there"
        raise MeshError(f"{path}, {place(face)}: {what}")
    places, polygon = fan_corners(corner_counts)
    return corners[places].astype(np.int32), places, polygon
