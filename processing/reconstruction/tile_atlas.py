"""Tiles of a view that are matched side by side, as one image."""

from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from common.array_types import Bools, Gray

ATLAS_COLUMNS = 16  # patches side by side
Scalar = TypeVar("Scalar", bound=np.generic)


def tiles(mask: Bools, side: int, share: float) -> NDArray[np.intp]:
    """(n, 2) row and column of the first pixel of each tile (square, of such a side) of which more than such a share is
    set.
    """
    height, width = mask.shape
    whole = np.zeros((-(-height // side) * side, -(-width // side) * side), np.float32)
    whole[:height, :width] = mask
    inside = np.zeros_like(whole)
    inside[:height, :width] = 1
    set_, there = (a.reshape(len(a) // side, side, -1, side).sum(axis=(1, 3)) for a in (whole, inside))
    return np.argwhere(set_ > share * there) * side


@dataclass(frozen=True, eq=False)
class Atlas:
    """Tiles of a view and a halo around each, laid side by side, so that they are matched as one image."""

    #: (h, w) columns and rows in the view's region; outside of it in the halo of a tile at its edge.
    x: NDArray[np.intp]
    y: NDArray[np.intp]
    #: (n, 2) row and column of each tile's first pixel.
    corners: NDArray[np.intp]
    #: Of a tile, px.
    side: int
    halo: int

    @staticmethod
    def of(corners: NDArray[np.intp], side: int, halo: int) -> "Atlas":
        """corners: as `tiles` gives them, at least one."""
        columns = min(len(corners), ATLAS_COLUMNS)
        slots = -(-len(corners) // columns) * columns
        at = corners[np.arange(slots).clip(max=len(corners) - 1)]
        offset = np.arange(side + 2 * halo) - halo
        y = np.broadcast_to((at[:, :1] + offset)[:, :, None], (slots, len(offset), len(offset)))
        x = np.broadcast_to((at[:, 1:] + offset)[:, None, :], y.shape)
        return Atlas(_laid_out(x, columns), _laid_out(y, columns), corners, side, halo)

    @property
    def patches(self) -> tuple[int, int]:
        """Rows and columns of patches."""
        wide = self.side + 2 * self.halo
        return self.x.shape[0] // wide, self.x.shape[1] // wide

    def taken(self, values: NDArray[Scalar]) -> NDArray[Scalar]:
        """(h, w) of the region's values; the nearest of its edge where the atlas reaches beyond it."""
        height, width = values.shape
        return np.asarray(values[self.y.clip(0, height - 1), self.x.clip(0, width - 1)])

    def each(self, values: Gray) -> Gray:
        """(n, side + 2 halo, side + 2 halo) the patches of an atlas's values."""
        rows, columns = self.patches
        wide = self.side + 2 * self.halo
        patches = values.reshape(rows, wide, columns, wide).swapaxes(1, 2)
        return np.ascontiguousarray(patches.reshape(rows * columns, wide, wide))

    def laid_out(self, patches: Gray) -> Gray:
        """(h, w) of what `each` gives."""
        return _laid_out(patches, self.patches[1])

    def put(self, values: Gray, into: Gray, where: Bools) -> None:
        """Write the tiles' values, without their halos, into the region's where `where` (of the atlas) is set."""
        rows, columns = self.patches
        wide = self.side + 2 * self.halo
        middle = np.zeros((wide, wide), np.bool_)
        middle[self.halo : wide - self.halo, self.halo : wide - self.halo] = True
        height, width = into.shape
        inner = np.tile(middle, (rows, columns)) & where & (self.y < height) & (self.x < width)
        into[self.y[inner], self.x[inner]] = values[inner]


def _laid_out(patches: NDArray[Any], columns: int) -> NDArray[Any]:
    """(n, p, p) side by side in so many columns."""
    count, side, _ = patches.shape
    return patches.reshape(count // columns, columns, side, side).swapaxes(1, 2).reshape(-1, columns * side)
