"""Dynamic detail: the displacement map of any expression of a face, out of those of its key expressions.

Equations 6 to 8 of FaceScape (TPAMI 2023, section 4.3; `detail_equations.py` has them as they are written), rearranged.
With s_j the sum over the keys of their weights of unit j, S = sum_j a_j s_j A_j, and H_j = A_j times the sum over the
keys of weight x map,

    F = max(0, 1 - S) F_0 + sum_j a_j H_j    =    F_0 + sum_j a_j D_j   where S <= 1, with D_j = H_j - s_j A_j F_0

so that a frame costs two numbers a unit and texel, whatever the count of keys, and one where S can never exceed 1. The
map is cut into tiles, and a unit is kept only in the tiles where it moves something. `key_blend.py` says how key
expressions come back exactly.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from common.array_types import Bools, Floats, Floats32, Ints32, Ints64
from common.progress import Progress, no_progress
from common.take_codes import TakeLabel
from processing.animation.detail_equations import texel_activations
from processing.animation.key_blend import KeyBlend
from processing.errors import DataError, ShapeError
from processing.face_models.blendshapes.rig import Rig
from processing.geometry.compilation import compiled
from processing.geometry.mesh import Mesh
from processing.geometry.uv_rasterization import texels_of

TILE_PX = 16


class DetailError(DataError):
    """A face has not what its detail is made of."""


class KeyedFace(Protocol):
    """A rig and the displacement maps of its key expressions, as a detailed face has them."""

    @property
    def rig(self) -> Rig: ...
    @property
    def mesh(self) -> Mesh:
        """Of the rig's topology, with UVs."""
        ...

    @property
    def labels(self) -> tuple[str, ...]:
        """(E,) '1_neutral', '2_smile', ..."""
        ...

    @property
    def key_weights(self) -> Floats:
        """(E, U)."""
        ...

    def displacement(self, label: str, size_px: int) -> tuple[Floats32, Bools]:
        """(S, S) mm, and which of it is known."""
        ...


@dataclass(frozen=True, eq=False)
class DynamicDetail:
    """A face's key maps and activation masks, ready to be mixed. Weights are (U,) in the rig's order of units."""

    size_px: int
    names: tuple[str, ...]  # (U,)
    labels: tuple[str, ...]  # (E,) the neutral first
    blend: KeyBlend
    _maps: NDArray[np.floating]  # (E, tiles, TILE_PX ** 2) mm
    _rows: NDArray[np.floating]  # (R, TILE_PX ** 2) of a unit in a tile: D_j, or s_j A_j and then H_j
    _first_row: Ints64  # (tiles + 1,) where a tile's rows begin
    _units: Ints32  # (P,) the units of one tile after another
    _first_unit: Ints64  # (tiles + 1,)
    rig: Rig | None = None

    @staticmethod
    def of(face: KeyedFace, size_px: int, *, exact: bool = False, progress: Progress = no_progress) -> "DynamicDetail":
        """The detail of a face at a map's side. exact: in doubles, at twice the memory.

        Raises DetailError, MeshError.
        """
        labels = neutral_first(face.labels)
        order = [face.labels.index(label) for label in labels]
        maps = []
        for number, label in enumerate(labels):
            maps.append(face.displacement(label, size_px)[0])
            progress((number + 1) / (2 * len(labels)), label)
        texels = texels_of(face.mesh, size_px)
        masks = (np.asarray(texels.image(m), np.float32) for m in texel_activations(face.rig, face.mesh, texels))
        weights = np.asarray(face.key_weights, np.float64)[order]
        return DynamicDetail.mixing(
            masks, maps, weights, names=face.rig.names, labels=labels, exact=exact, rig=face.rig, progress=progress
        )

    @staticmethod
    def mixing(
        masks: Iterable[NDArray[np.floating]],
        maps: Sequence[NDArray[np.floating]],
        key_weights: Floats,
        *,
        names: tuple[str, ...] | None = None,
        labels: tuple[str, ...] | None = None,
        exact: bool = False,
        rig: Rig | None = None,
        progress: Progress = no_progress,
    ) -> "DynamicDetail":
        """The same of arrays: masks (U) x (S, S) of activation, maps (E) x (S, S) mm, weights (E, U), neutral first.

        Raises ShapeError, and DetailError for what is not finite.
        """
        kind = np.float64 if exact else np.float32
        size = len(maps[0])
        units = key_weights.shape[1]
        _check(maps, key_weights)
        tiled = np.stack([_tiles(np.asarray(one, kind)) for one in maps])
        found: list[tuple[Ints32, NDArray[np.floating]]] = []
        for number, mask in enumerate(masks):
            if mask.shape != (size, size):
                raise ShapeError("activation mask", mask.shape, f"({size}, {size})")
            found.append(_rows_of(_tiles(np.asarray(mask, kind)), key_weights[1:, number], tiled[1:]))
            progress(0.5 + (number + 1) / (2 * units), "units")
        if len(found) != units:
            raise ShapeError("activation masks", (len(found),), f"({units},)")
        return DynamicDetail(
            size,
            names or tuple(str(number) for number in range(units)),
            labels or tuple(str(number) for number in range(len(maps))),
            KeyBlend.of(key_weights), tiled, *_by_tiles(found, tiled[0]), rig,
        )  # fmt: skip

    def displacement(self, weights: Floats, *, plain: bool = False) -> NDArray[np.floating]:
        """(S, S) mm of weights (U,), 0..1. plain: by the equations alone, which do not return key expressions.

        Raises ShapeError, and DetailError for weights that are no numbers of 0 to 1.
        """
        weights = np.asarray(weights, np.float64)
        if weights.shape != (len(self.names),):
            raise ShapeError("weights", weights.shape, f"({len(self.names)},)")
        wrong = np.flatnonzero(~((weights >= 0) & (weights <= 1)))
        if len(wrong):
            names = ", ".join(f"{self.names[k]} {weights[k]:g}" for k in wrong[:5])
            raise DetailError(f"weights are numbers of 0 to 1; these are not: {names}")
        shares = np.zeros(len(self.labels)) if plain else self.blend(weights)
        near = np.flatnonzero(shares)
        rest = 1.0 - float(shares.sum()) if len(near) else 1.0
        kind = self._maps.dtype.type
        out = np.empty((self.size_px, self.size_px), kind)
        added = np.ascontiguousarray(shares[near], kind)
        table = (self._maps, self._rows, self._first_row, self._units, self._first_unit)
        _mix(table, weights.astype(kind), kind(rest), near, added, out)
        return out

    def vertices(self, weights: Floats) -> Floats:
        """(V, 3) mm of the rig at weights (U,). Raises DetailError where it was made without a rig."""
        if self.rig is None:
            raise DetailError("this detail was made of maps alone and has no rig: use DynamicDetail.of")
        return self.rig.face(np.asarray(weights, np.float64))

    @property
    def bytes(self) -> int:
        """Of memory that it holds."""
        return sum(one.nbytes for one in (self._maps, self._rows, self._units, self._first_row, self._first_unit))

    @property
    def coverage(self) -> float:
        """Share of all units' tiles that are kept."""
        return float(len(self._units) / max(1, len(self.names) * self._maps.shape[1]))


def neutral_first(labels: Sequence[str]) -> tuple[str, ...]:
    """Labels of key expressions in the equations' order. Raises DetailError where none, or more, are the neutral."""
    neutral = [label for label in labels if (parsed := TakeLabel.find(label)) is not None and parsed.is_neutral]
    if len(neutral) != 1:
        there = ", ".join(labels) or "none"
        raise DetailError(
            f"a face's detail begins with its neutral expression, and of its key expressions ({there}) "
            f"{len(neutral)} are named like it; there must be one, '1_neutral'"
        )
    return (neutral[0], *(label for label in labels if label != neutral[0]))


def _check(maps: Sequence[NDArray[np.floating]], key_weights: Floats) -> None:
    size = len(maps[0])
    for one in maps:
        if one.shape != (size, size):
            raise ShapeError("displacement map", one.shape, f"({size}, {size})")
        if not np.isfinite(one).all():
            raise DetailError("a displacement map has heights that are not finite")
    if key_weights.ndim != 2 or len(key_weights) != len(maps):
        raise ShapeError("key_weights", key_weights.shape, f"({len(maps)}, U)")
    if not np.isfinite(key_weights).all():
        raise DetailError("weights of the key expressions hold what is not a finite number")


def _tiles(image: NDArray[np.floating]) -> NDArray[np.floating]:
    """(tiles, TILE_PX ** 2) of an image (S, S), row by row of tiles; 0 beyond its edge."""
    across = -(-len(image) // TILE_PX)
    whole = np.zeros((across * TILE_PX, across * TILE_PX), image.dtype)
    whole[: len(image), : len(image)] = image
    cut = whole.reshape(across, TILE_PX, across, TILE_PX).swapaxes(1, 2)
    return np.ascontiguousarray(cut.reshape(across * across, TILE_PX**2))


def _rows_of(
    mask: NDArray[np.floating], key_weights: Floats, maps: NDArray[np.floating]
) -> tuple[Ints32, NDArray[np.floating]]:
    """(n,) the tiles where a unit does something, and (n, 2, TILE_PX ** 2) its two numbers there.

    mask: (tiles, TILE_PX ** 2).  key_weights: (E - 1,) of this unit.  maps: (E - 1, tiles, TILE_PX ** 2).
    """
    keys = np.flatnonzero(key_weights)
    tiles = np.flatnonzero(mask.any(axis=1)).astype(np.int32) if len(keys) else np.zeros(0, np.int32)
    rows = np.empty((len(tiles), 2, mask.shape[1]), mask.dtype)
    active = mask[tiles].astype(np.float64)
    mixed = np.zeros_like(active)
    for key in keys:
        mixed += key_weights[key] * maps[key, tiles]
    rows[:, 0] = key_weights.sum() * active
    rows[:, 1] = active * mixed
    return tiles, rows


def _by_tiles(
    found: list[tuple[Ints32, NDArray[np.floating]]], neutral: NDArray[np.floating]
) -> tuple[NDArray[np.floating], Ints64, Ints32, Ints64]:
    """Rows, where each tile's begin, units, where each tile's begin. found: of each unit, as `_rows_of`, emptied here.

    neutral: (tiles, TILE_PX ** 2) map of the neutral. A tile whose S never exceeds 1 has one row a unit, else two.
    """
    count = len(neutral)
    most = np.zeros(count)
    several = np.zeros(count, np.int64)
    for tiles, values in found:
        most[tiles] += values[:, 0].max(axis=1).astype(np.float64)
        several[tiles] += 1
    double = most > 1 - 1e-5
    first_unit = np.concatenate([[0], np.cumsum(several)])
    first_row = np.concatenate([[0], np.cumsum(several * (1 + double))])
    rows = np.empty((first_row[-1], neutral.shape[1]), neutral.dtype)
    units = np.empty(first_unit[-1], np.int32)
    filled = np.zeros(count, np.int64)
    for unit in range(len(found)):
        tiles, values = found[unit]
        units[first_unit[tiles] + filled[tiles]] = unit
        twice = double[tiles]
        at = first_row[tiles] + filled[tiles] * (1 + twice)
        rows[at[~twice]] = values[~twice, 1] - values[~twice, 0] * neutral[tiles[~twice]]
        rows[at[twice]] = values[twice, 0]
        rows[at[twice] + 1] = values[twice, 1]
        filled[tiles] += 1
        found[unit] = (tiles[:0], values[:0])
    return rows, first_row, units, first_unit


@compiled
def _mix(
    table: tuple[NDArray[np.floating], NDArray[np.floating], Ints64, Ints32, Ints64],
    weights: NDArray[np.floating],
    rest: np.floating,
    near: Ints64,
    added: NDArray[np.floating],
    out: NDArray[np.floating],
) -> None:
    """Equation 6 tile by tile into out (S, S): `rest` of it, and `added` (n,) of the maps of the keys `near` (n,).

    table: maps, rows, where each tile's begin, units, where each tile's begin, as DynamicDetail has them.
    """
    maps, rows, first_row, units, first_unit = table
    texels = maps.shape[2]
    side = out.shape[0]
    across = (side + TILE_PX - 1) // TILE_PX
    taken = np.empty(texels, maps.dtype)
    heights = np.empty(texels, maps.dtype)
    one = maps.dtype.type(1)
    nothing = maps.dtype.type(0)
    for tile in range(maps.shape[1]):
        neutral = maps[0, tile]
        here = first_unit[tile + 1] - first_unit[tile]
        single = first_row[tile + 1] - first_row[tile] == here
        heights[:] = nothing
        if rest > 0 and single:
            heights[:] = neutral
            for n in range(here):
                weight = weights[units[first_unit[tile] + n]]
                if weight != 0:
                    row = rows[first_row[tile] + n]
                    for k in range(texels):
                        heights[k] += weight * row[k]
        elif rest > 0:
            taken[:] = nothing
            for n in range(here):
                weight = weights[units[first_unit[tile] + n]]
                if weight != 0:
                    active = rows[first_row[tile] + 2 * n]
                    height = rows[first_row[tile] + 2 * n + 1]
                    for k in range(texels):
                        taken[k] += weight * active[k]
                        heights[k] += weight * height[k]
            for k in range(texels):
                heights[k] += max(nothing, one - taken[k]) * neutral[k]
        if rest != one:
            for k in range(texels):
                heights[k] *= rest
        for n in range(len(near)):
            share = added[n]
            key = maps[near[n], tile]
            for k in range(texels):
                heights[k] += share * key[k]
        top = (tile // across) * TILE_PX
        left = (tile % across) * TILE_PX
        for y in range(min(TILE_PX, side - top)):
            for x in range(min(TILE_PX, side - left)):
                out[top + y, left + x] = heights[y * TILE_PX + x]
