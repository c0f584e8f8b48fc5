"""Deformation transfer: what moves one face into an expression moves another one likewise.

Sumner and Popovic 2004, for meshes of one topology, in the gradient form that Botsch et al. 2006 ("Deformation transfer
for detail-preserving surface editing") show to be the same least-squares problem: V unknowns instead of V + T.
"""

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from common.array_types import Floats, Ints32, Ints64
from processing.errors import ShapeError
from processing.geometry.mesh import Mesh
from processing.geometry.sparse_cholesky import Factor


def triangle_frames(vertices_mm: Floats, triangles: Ints32) -> Floats:
    """(T, 3, 3) columns: two edges and the normal with the length of the root of twice the area (Sumner, eq. 3)."""
    a, b, c = (vertices_mm[triangles[:, k]] for k in range(3))
    normal = np.cross(b - a, c - a)
    length = np.linalg.norm(normal, axis=1, keepdims=True)
    floor = 1e-9 * max(float(np.median(length)), 1e-12)
    return np.stack([b - a, c - a, normal / np.sqrt(length.clip(floor))], axis=2)


def deformation_gradients(rest: Floats, deformed: Floats, triangles: Ints32) -> Floats:
    """(T, 3, 3) the linear map of each triangle; the identity for one that has no area at rest."""
    before, after = triangle_frames(rest, triangles), triangle_frames(deformed, triangles)
    size = np.abs(before).max(axis=(1, 2)).clip(1e-300)
    flat = np.abs(np.linalg.det(before)) < 1e-9 * size**3
    before[flat] = np.eye(3)
    after[flat] = np.eye(3)
    return np.asarray(after @ np.linalg.inv(before))


class DeformationTransfer:
    """Transfers deformations to one target; its linear system is factored once and serves every expression.

    target: the mesh that is to be deformed.
    still: (V,) 0..1, vertices that keep their place, such as a skull's while the face moves; default none.
    Raises NotPositive for vertices that no triangle holds.
    """

    def __init__(self, target: Mesh, still: Floats | None = None) -> None:
        if still is not None and still.shape != (len(target.vertices_mm),):
            raise ShapeError("still", still.shape, f"({len(target.vertices_mm)},)")
        self.target = target
        triangles, count = target.triangles, len(target.vertices_mm)
        a, b, c = (target.vertices_mm[triangles[:, k]] for k in range(3))
        normal = np.cross(b - a, c - a)
        double = np.linalg.norm(normal, axis=1)
        sound = double > 1e-9 * max(float(np.median(double)), 1e-12)
        squared = np.where(sound, double, 1.0)[:, None] ** 2
        # Gradients of the three hat functions: the opposite edge turned by 90 degrees, over twice the area.
        hat = np.stack([np.cross(normal, c - b), np.cross(normal, a - c), np.cross(normal, b - a)], axis=1)
        hat = np.where(sound[:, None, None], hat / squared[:, None], 0.0)
        rows = np.repeat(np.arange(3 * len(triangles)).reshape(-1, 3), 3, axis=0)
        columns = np.repeat(triangles.reshape(-1), 3)
        where = (rows.ravel(), columns)
        self._gradient = sparse.csr_array((hat.ravel(), where), shape=(3 * len(triangles), count))
        self._area = np.where(sound, double / 2, 0.0)
        self._rest_gradients = self.gradients(target.vertices_mm)
        self._weighted = sparse.csr_array(self._gradient.T @ sparse.diags_array(np.repeat(self._area, 3)))
        self._pieces, self._piece = connected_components(target.adjacency(), directed=False)
        matrix = sparse.csr_array(self._weighted @ self._gradient)
        hold = np.zeros(count) if still is None else still
        self._loose = np.bincount(self._piece, hold, self._pieces) <= 0
        first = np.unique(self._piece, return_index=True)[1]
        hold = hold.copy()
        hold[first[self._loose]] = 1.0
        self._factor = Factor(matrix + sparse.diags_array((hold + 1e-12) * matrix.diagonal().mean()))

    def __call__(self, source_mm: Floats, deformed_mm: Floats) -> Floats:
        """The target deformed as `source` was into `deformed`.

        source_mm, deformed_mm: (V, 3), the target's topology, in the target's frame. Returns (V, 3).
        Triangle shapes are the least-squares answer; each connected piece lies where its triangles' affine maps put
        it on average, so that a rigid motion of the source moves the target by exactly the same motion.
        """
        for name, array in (("source_mm", source_mm), ("deformed_mm", deformed_mm)):
            if array.shape != self.target.vertices_mm.shape:
                raise ShapeError(name, array.shape, str(self.target.vertices_mm.shape))
        return self.target.vertices_mm + self._offset(source_mm, deformed_mm, np.arange(len(self.target.triangles)))

    def _offset(self, source_mm: Floats, deformed_mm: Floats, some: Ints64) -> Floats:
        """(V, 3) from the target to the deformed target, where the source deforms the triangles `some` alone."""
        triangles, rest = self.target.triangles, self.target.vertices_mm
        maps = np.zeros((len(triangles), 3, 3))
        maps[some] = deformation_gradients(source_mm, deformed_mm, triangles[some]) - np.eye(3)
        moved = self.integrate(np.einsum("tij,tkj->tki", maps, self._rest_gradients))
        middle = rest[triangles].mean(axis=1)
        source_middle = source_mm[triangles].mean(axis=1)
        placed = np.einsum("tij,tj->ti", maps, middle - source_middle)
        off = placed + (deformed_mm - source_mm)[triangles].mean(axis=1) - moved[triangles].mean(axis=1)
        piece = self._piece[triangles[:, 0]]
        area = np.bincount(piece, self._area, self._pieces).clip(1e-300)
        shift = np.stack([np.bincount(piece, self._area * off[:, k], self._pieces) for k in range(3)], axis=1)
        shift = np.where(self._loose[:, None], shift / area[:, None], 0.0)
        return np.asarray(moved + shift[self._piece])

    def of_units(self, source_mm: Floats, offsets_mm: Floats) -> Floats:
        """The target's own offsets (U, V, 3) where `source` has offsets_mm (U, V, 3): many transfers at once, each for
        the triangles that it moves alone. Where the target is still it stays; a loose piece goes where it is put."""
        out = np.zeros(offsets_mm.shape)
        for number, offset in enumerate(offsets_mm):
            moved = np.abs(offset).max(axis=1) > 1e-9
            if moved.any():
                some = np.flatnonzero(moved[self.target.triangles].any(axis=1))
                out[number] = self._offset(source_mm, source_mm + offset, some)
        return out

    def gradients(self, field: Floats) -> Floats:
        """(V, 3) vectors at the target's vertices -> (T, 3, 3): row k is their derivative along axis k, by triangle."""
        return np.asarray((self._gradient @ field).reshape(-1, 3, 3))

    def integrate(self, gradients: Floats) -> Floats:
        """The (V, 3) vectors whose derivatives are nearest to (T, 3, 3) by area, zero where the target is still.

        A connected piece without still vertices has its first one at zero.
        """
        return self._factor.solve(self._weighted @ gradients.reshape(-1, 3))
