"""How a person's units differ from the transferred ones: a few smooth deviations first, then place by place.

Smooth ones are a unit's gain, its own offsets modulated over the face, and offsets in any direction as large as its
motion there. Because all are bound to the unit's own motion, weights and shapes can be told apart; what is left of the
examples is then shared out among the units that move a place, by how much each moves it (Li et al. 2010, the omega of
equation 7, in vertices' offsets rather than in triangles' gradients).
"""

from dataclasses import dataclass

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from common.array_types import Bools, Floats, Ints64
from processing.face_models.blendshapes.settings import RigSettings
from processing.template.template import SKIN, Template

_MOVED_MM = 0.3  # places that some unit moves farther carry the smooth deviations
_MOST_SAMPLES = 1200  # of them
_MODULATION_CENTRES, _OFFSET_CENTRES = 14, 24
_REACH = 0.8  # of the distance between centres
_LEAST_SHARE = 0.01  # of a unit's motion, that a deviation must reach to count
_SAMPLES = 100.0  # independent measurements that the whole face is worth for the shapes
_LEAST_WEIGHT = 1e-3
_CHUNK = 4000  # vertices at once


@dataclass(frozen=True, eq=False)
class SmoothFields:
    """Fields that change slowly over the template's face, a partition of unity each; mirror images come in pairs."""

    modulation: Floats  # (V, M)
    offset: Floats  # (V, K)


def smooth_fields(template: Template, offsets_mm: Floats) -> SmoothFields:
    """offsets_mm: (U, V, 3) of the template's units."""
    moved = (np.square(offsets_mm).sum(axis=2).max(axis=0) > _MOVED_MM**2) & (template.parts == SKIN)
    points = template.mesh.vertices_mm
    return SmoothFields(*(_fields(points, moved, count) for count in (_MODULATION_CENTRES, _OFFSET_CENTRES)))


def _fields(points: Floats, moved: Bools, count: int) -> Floats:
    """(V, about count) normalised Gaussians around places far from each other, mirrored at x = 0."""
    half = np.abs(points[moved]) * [1, 0, 0] + points[moved] * [0, 1, 1]
    first = half[np.argmin(np.round(np.square(half - half.mean(axis=0)).sum(axis=1), 3))]
    centres = [first, first * [-1, 1, 1]]
    far = np.square(half - first).sum(axis=1)
    while len(centres) < count:
        new = half[int(np.round(far, 3).argmax())]
        centres += [new, new * [-1, 1, 1]]
        far = np.minimum(far, np.square(half - new).sum(axis=1))
    at = np.array(centres)
    between = np.linalg.norm(at[:, None] - at, axis=2)
    step = float(np.median(np.sort(np.where(between < 1.0, np.inf, between), axis=1)[:, 0]))
    near = np.exp(-np.square(points[:, None] - at).sum(axis=2) / (2 * (_REACH * step) ** 2)) + 1e-9
    return np.asarray(near / near.sum(axis=1, keepdims=True))


@dataclass(frozen=True, eq=False)
class _Block:
    """One unit's deviations among all."""

    unit: int
    used: Bools  # (D,) of its gain, modulations and offsets, those that count
    at: slice  # where they are among the coefficients


class SmoothDeviations:
    """The units' smooth deviations, found from the examples for given weights: a linear system in their coefficients.

    offsets_mm: (U, V, 3) transferred.  areas: (V,) of what the examples show.  learn: (U,) units that may deviate.
    """

    def __init__(
        self, offsets_mm: Floats, fields: SmoothFields, areas: Floats, learn: Bools, settings: RigSettings
    ) -> None:
        moved = (np.square(offsets_mm).sum(axis=2).max(axis=0) > _MOVED_MM**2) & (areas > 0)
        which = np.flatnonzero(moved)
        self.samples: Ints64 = which[:: max(1, -(-len(which) // _MOST_SAMPLES))]
        share = areas[self.samples]
        self.share: Floats = share / max(float(share.sum()), 1e-300)  # (n,) each sample's part of the face
        self._offsets, self._fields = offsets_mm, fields
        self._root = np.sqrt(self.share)[:, None]
        self._blocks: list[_Block] = []
        columns, spreads = [], []
        start = 0
        for unit in np.flatnonzero(learn):
            block, spread = self._deviations(int(unit), settings)
            size = np.square(block).sum(axis=(1, 2))
            used = (size > _LEAST_SHARE * size[0]) & (size[0] > 1e-6)
            start, before = start + int(used.sum()), start
            self._blocks.append(_Block(int(unit), used, slice(before, start)))
            columns.append(block[used].reshape(start - before, -1))
            spreads.append(spread[used])
        n = 3 * len(self.samples)
        self._basis = np.concatenate([np.zeros((0, n)), *columns])
        self._precision = 1 / np.square(np.concatenate([np.zeros(0), *spreads]))
        self._unit = np.repeat([b.unit for b in self._blocks], [b.at.stop - b.at.start for b in self._blocks]).astype(
            int
        )
        self._gram = self._basis @ self._basis.T
        self._plain = self.sampled(offsets_mm)

    @property
    def plain_mm(self) -> Floats:
        """(U, n, 3) the transferred units at the samples."""
        return self._offsets[:, self.samples]

    @property
    def count(self) -> int:
        """B, of coefficients."""
        return len(self._unit)

    def sampled(self, vectors: Floats) -> Floats:
        """(X, V, 3) -> (X, 3n) at the samples, times the roots of their shares."""
        return np.asarray((vectors[:, self.samples] * self._root).reshape(len(vectors), -1))

    def system(self, examples: Floats, weights: Floats, residual_mm: Floats) -> tuple[Floats, Floats]:
        """What `sampled` examples (E, 3n) with weights (E, U) say of the coefficients: matrix (B, B) and right side
        (B,) of their normal equations, which add up over examples; `solved` adds the prior.

        residual_mm: (E,) what each may be off."""
        scale = np.sqrt(_SAMPLES) / residual_mm[:, None]
        scaled = weights * scale
        both = (scaled.T @ scaled)[np.ix_(self._unit, self._unit)]
        rest = self._basis @ ((examples - weights @ self._plain) * scale).T
        return self._gram * both, np.einsum("be,eb->b", rest, scaled[:, self._unit])

    def solved(self, matrix: Floats, right: Floats) -> Floats:
        """The likeliest coefficients (B,)."""
        return np.asarray(cho_solve(self.factored(matrix), right)) if len(right) else right

    def factored(self, matrix: Floats) -> tuple[Floats, bool]:
        """The Cholesky factor of a system's matrix with the prior's precision: the inverse of the covariance."""
        whole = matrix.copy()
        whole[np.diag_indices(len(whole))] += self._precision
        factor: tuple[Floats, bool] = cho_factor(whole, lower=True, overwrite_a=True)
        return factor

    def deviating(self, weights: Floats) -> tuple[Ints64, Floats]:
        """Which coefficients change a face of weights (U,), and how: (b,) and (b, 3n)."""
        by = weights[self._unit]
        which = np.flatnonzero(by > _LEAST_WEIGHT)
        return which, self._basis[which] * by[which, None]

    def sampled_units(self, coefficients: Floats) -> Floats:
        """(U, 3n) the units with these deviations, as `sampled` has them."""
        out = self._plain.copy()
        for block in self._blocks:
            out[block.unit] += coefficients[block.at] @ self._basis[block.at]
        return out

    def units(self, coefficients: Floats) -> Floats:
        """(U, V, 3) mm: all vertices of the units with these deviations."""
        out = self._offsets.copy()
        modulations, fields = self._fields.modulation.shape[1], self._fields.offset.shape[1]
        for block in self._blocks:
            full = np.zeros(len(block.used))
            full[block.used] = coefficients[block.at]
            offset = self._offsets[block.unit]
            scaled = full[0] + self._fields.modulation @ full[1 : 1 + modulations]
            moved = self._fields.offset @ full[1 + modulations :].reshape(fields, 3)
            out[block.unit] += offset * scaled[:, None] + np.linalg.norm(offset, axis=1, keepdims=True) * moved
        return out

    def _deviations(self, unit: int, settings: RigSettings) -> tuple[Floats, Floats]:
        """(1 + M + 3 K, n, 3) a unit's gain, modulations and offsets at the samples, and their spreads."""
        offset = self._offsets[unit, self.samples] * self._root
        modulations = self._fields.modulation[self.samples].T[:, :, None] * offset
        size = np.linalg.norm(offset, axis=1)
        fields = self._fields.offset[self.samples].T * size
        along = np.einsum("kn,xd->kxnd", fields, np.eye(3)).reshape(-1, *offset.shape)
        block = np.concatenate([offset[None], modulations, along])
        spread = np.full(len(block), settings.field_spread)
        spread[0] = settings.gain_spread
        return block, spread


def shared_out(
    rest_mm: Floats,
    weights: Floats,
    motion_mm: Floats,
    noise_mm: Floats,
    settings: RigSettings,
    *,
    least_mm: float = 0.02,
) -> Floats:
    """What is left of the examples, shared out among the units place by place: (U, V, 3) mm.

    rest_mm: (E, V, 3).  weights: (E, U).  motion_mm: (U, V) how far each unit moves a place; zero where it takes
    nothing.  noise_mm: (E,) of each example's mesh.
    A unit's share has a spread proportional to its motion; what is left over is noise. Of all solutions the likeliest:
    E equations a place rather than U (Woodbury).
    """
    out = np.zeros((motion_mm.shape[0], *rest_mm.shape[1:]))
    noise = np.diag(settings.noise_mm**2 + np.square(noise_mm))
    places = np.flatnonzero(motion_mm.max(axis=0, initial=0.0) > 1e-3)
    for chunk in np.array_split(places, max(1, -(-len(places) // _CHUNK))):
        spread = np.square(settings.point_spread * motion_mm[:, chunk])
        spread += np.where(motion_mm[:, chunk] > least_mm, least_mm**2, 0.0)
        matrix = np.einsum("eu,ux,fu->xef", weights, spread, weights, optimize=True) + noise
        solved = np.linalg.solve(matrix, rest_mm[:, chunk].transpose(1, 0, 2))
        out[:, chunk] = spread[:, :, None] * np.einsum("eu,xed->uxd", weights, solved, optimize=True)
    return out
