"""The bilinear model's numbers: identity parameters to a neutral and 52 units, each over the vertices that it moves.

The core tensor is kept turned into the units (core x expression basis): a dense part for the neutral and, for each
unit, offsets from it at the vertices that move. That is the same model as the core of Vlasic et al. 2005 and Cao et al.
2013 with all expression parameters kept, in a fifth of its bytes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.array_types import Floats, Floats32, Ints32, Ints64
from processing.errors import DataError, ShapeError

WITHIN = 3.0  # deviations of identity parameters for which a stored model holds
Parameters = NDArray[np.floating[Any]]


class ModelError(DataError):
    """A face model cannot be made, read or used."""


@dataclass(frozen=True, eq=False)
class BilinearShapes:
    """Shapes of V vertices by n identity parameters and U units; mm, head frame."""

    units: tuple[str, ...]
    neutral_core_mm: Floats32  # (V, 3, n): the neutral a unit of identity parameter
    #: Unit j's rows are starts[j]:starts[j + 1]: which vertices it moves, ascending, and how a unit of each identity
    #: parameter moves them.
    unit_starts: Ints64  # (U + 1,)
    unit_vertices: Ints32  # (R,)
    unit_core_mm: Floats32  # (R, 3, n)
    #: Whether somebody else sees to it that the units' numbers are finite: they are many.
    finite_elsewhere: bool = False

    def __post_init__(self) -> None:
        count, identities = self.vertex_count, self.identity_count
        rows = len(self.unit_vertices)
        wanted: dict[str, tuple[int, ...]] = {
            "neutral_core_mm": (count, 3, identities), "unit_starts": (len(self.units) + 1,),
            "unit_vertices": (rows,), "unit_core_mm": (rows, 3, identities),
        }  # fmt: skip
        for key, shape in wanted.items():
            if getattr(self, key).shape != shape:
                raise ShapeError(f"model: {key}", getattr(self, key).shape, str(shape))
        if len(set(self.units)) != len(self.units):
            raise ModelError("a face model names a unit twice")
        steps = np.diff(self.unit_starts)
        if self.unit_starts[0] != 0 or self.unit_starts[-1] != rows or (steps < 0).any():
            raise ModelError("a face model's unit_starts do not run through its rows")
        if rows and (self.unit_vertices.min() < 0 or self.unit_vertices.max() >= count):
            raise ModelError(f"a unit of a face model moves a vertex that is not among its {count}")
        again = np.diff(self.unit_vertices.astype(np.int64)) <= 0
        last = self.unit_starts[1:-1] - 1
        again[last[(last >= 0) & (last < len(again))]] = False
        if again.any():
            raise ModelError("a unit of a face model names its vertices out of order, or one twice")
        units_finite = self.finite_elsewhere or np.isfinite(self.unit_core_mm).all()
        if not (units_finite and np.isfinite(self.neutral_core_mm).all()):
            raise ModelError("a face model holds what is not a finite number")

    @property
    def vertex_count(self) -> int:
        return int(self.neutral_core_mm.shape[0])

    @property
    def identity_count(self) -> int:
        return int(self.neutral_core_mm.shape[-1])

    def rows(self, unit: int) -> slice:
        """Where the rows of a unit lie in `unit_vertices` and `unit_core_mm`."""
        return slice(int(self.unit_starts[unit]), int(self.unit_starts[unit + 1]))

    def neutral(self, identity: Parameters) -> Floats:
        """(V, 3) mm: the neutral face of identity parameters (n,)."""
        return np.asarray(self.neutral_core_mm @ self._identity(identity), dtype=np.float64)

    def offsets(self, identity: Parameters) -> Floats:
        """(U, V, 3) mm: from the neutral to each unit at weight 1."""
        # As one matrix: a small product for each row takes longer.
        moved = (self.unit_core_mm.reshape(-1, self.identity_count) @ self._identity(identity)).reshape(-1, 3)
        offsets = np.zeros((len(self.units), self.vertex_count, 3))
        unit = np.repeat(np.arange(len(self.units)), np.diff(self.unit_starts))
        offsets[unit, self.unit_vertices] = moved
        return offsets

    def shapes(self, identity: Parameters) -> Floats:
        """(1 + U, V, 3) mm: the neutral and each unit at weight 1, absolute."""
        neutral = self.neutral(identity)
        shapes = np.empty((1 + len(self.units), *neutral.shape))
        shapes[0] = neutral
        np.add(self.offsets(identity), neutral, out=shapes[1:])
        return shapes

    def face(self, identity: Parameters, weights: Parameters) -> Floats:
        """(V, 3) mm: neutral + sum of w_j (shape_j - neutral), weights (U,)."""
        weights, identity = self._weights(weights), self._identity(identity)
        face = self.neutral(identity)
        for unit in np.flatnonzero(weights):
            rows = self.rows(int(unit))
            face[self.unit_vertices[rows]] += float(weights[unit]) * (self.unit_core_mm[rows] @ identity)
        return face

    def identity_matrix(self, weights: Parameters) -> Floats32:
        """(V, 3, n): faces of these weights (U,) are linear in the identity parameters; this is the matrix."""
        weights = self._weights(weights)
        matrix = self.neutral_core_mm.copy()
        for unit in np.flatnonzero(weights):
            rows = self.rows(int(unit))
            matrix[self.unit_vertices[rows]] += np.float32(weights[unit]) * self.unit_core_mm[rows]
        return matrix

    def dense(self) -> Floats32:
        """(1 + U, V, 3, n): the neutral's part, then each unit's offsets with the zeros; large for whole heads."""
        whole = np.zeros((1 + len(self.units), *self.neutral_core_mm.shape), dtype=np.float32)
        whole[0] = self.neutral_core_mm
        unit = np.repeat(np.arange(1, 1 + len(self.units)), np.diff(self.unit_starts))
        whole[unit, self.unit_vertices] = self.unit_core_mm
        return whole

    def subset(self, vertices: NDArray[np.integer[Any]]) -> "BilinearShapes":
        """The model of some vertices (M,), in this order. Raises ModelError for one named twice."""
        vertices = np.asarray(vertices, dtype=np.int64)
        if vertices.ndim != 1:
            raise ShapeError("vertices", vertices.shape, "(M,)")
        if len(vertices) and (vertices.min() < 0 or vertices.max() >= self.vertex_count):
            raise ModelError(f"the model has vertices 0..{self.vertex_count - 1}; asked for {vertices.max()}")
        place = np.full(self.vertex_count, -1, dtype=np.int32)
        place[vertices] = np.arange(len(vertices), dtype=np.int32)
        if (place[vertices] != np.arange(len(vertices))).any():
            raise ModelError("a subset of a model names a vertex twice")
        there = place[self.unit_vertices]
        unit = np.repeat(np.arange(len(self.units)), np.diff(self.unit_starts))
        kept = np.flatnonzero(there >= 0)
        kept = kept[np.lexsort((there[kept], unit[kept]))]
        counts = np.bincount(unit[kept], minlength=len(self.units))
        return BilinearShapes(
            self.units,
            self.neutral_core_mm[vertices],
            np.r_[0, np.cumsum(counts)].astype(np.int64),
            there[kept],
            self.unit_core_mm[kept],
        )

    def of_identities(self, count: int) -> "BilinearShapes":
        """The model of the first identity parameters alone."""
        if not 1 <= count <= self.identity_count:
            raise ModelError(f"the model has {self.identity_count} identity parameters; asked for {count}")
        return BilinearShapes(
            self.units, self.neutral_core_mm[..., :count].copy(), self.unit_starts, self.unit_vertices,
            self.unit_core_mm[..., :count].copy(),
        )  # fmt: skip

    def _identity(self, identity: Parameters) -> Floats32:
        identity = np.asarray(identity, dtype=np.float32)
        if identity.shape != (self.identity_count,):
            raise ShapeError("identity", identity.shape, f"({self.identity_count},)")
        return identity

    def _weights(self, weights: Parameters) -> Floats:
        weights = np.asarray(weights, dtype=np.float64)
        if weights.shape != (len(self.units),):
            raise ShapeError("weights", weights.shape, f"({len(self.units)},)")
        return np.asarray(weights, dtype=np.float64)


def shapes_of_slices(
    units: tuple[str, ...], slices_mm: Floats32, tolerance_mm: float, mean: Floats, deviation: Floats
) -> BilinearShapes:
    """The model of dense slices (1 + U, V, 3, n): neutral, then each unit's offsets, without what moves nobody.

    mean, deviation: (n,) of identity parameters. A row is left out where it moves nobody within WITHIN deviations of
    the mean farther than tolerance_mm along any axis: |offset . mean| + WITHIN |offset x deviation|.
    """
    neutral, offsets = slices_mm[0], slices_mm[1:]
    starts, vertices, rows = [0], [], []
    for offset in offsets:
        spread = np.sqrt(np.square(offset) @ np.square(deviation).astype(np.float32))
        reach = (np.abs(offset @ mean.astype(np.float32)) + WITHIN * spread).max(axis=1)
        moved = np.flatnonzero(reach > tolerance_mm)
        vertices.append(moved.astype(np.int32))
        rows.append(offset[moved])
        starts.append(starts[-1] + len(moved))
    return BilinearShapes(
        units, np.ascontiguousarray(neutral), np.array(starts, dtype=np.int64), np.concatenate(vertices),
        np.ascontiguousarray(np.concatenate(rows)),
    )  # fmt: skip


def joined(slabs: Sequence[BilinearShapes]) -> BilinearShapes:
    """The model of slabs of vertices that follow one another."""
    units = slabs[0].units
    firsts = np.cumsum([0, *(slab.vertex_count for slab in slabs[:-1])])
    vertices, rows, starts = [], [], [0]
    for unit in range(len(units)):
        for first, slab in zip(firsts, slabs, strict=True):
            vertices.append(slab.unit_vertices[slab.rows(unit)] + np.int32(first))
            rows.append(slab.unit_core_mm[slab.rows(unit)])
        starts.append(starts[-1] + sum(len(v) for v in vertices[-len(slabs) :]))
    return BilinearShapes(
        units, np.concatenate([slab.neutral_core_mm for slab in slabs]), np.array(starts, dtype=np.int64),
        np.concatenate(vertices), np.concatenate(rows),
    )  # fmt: skip
