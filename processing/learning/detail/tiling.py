"""A network run in overlapping tiles: the map made at once, in little memory."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from common.array_types import Floats32
from processing.errors import ShapeError

#: (top, left, height, width) of a window -> (K, height, width) there.
Drawn = Callable[[int, int, int, int], Floats32]


@dataclass(frozen=True)
class Tile:
    """What is computed, and which part of it is kept. Rows and columns of the whole map, ends excluded."""

    top: int
    left: int
    bottom: int
    right: int
    keep_top: int
    keep_left: int
    keep_bottom: int
    keep_right: int


def tiles(size_px: int, tile_px: int, reach_px: int, multiple: int) -> Iterator[Tile]:
    """Tiles of a square map: each keeps at most tile_px and computes reach_px more, but not beyond the map.

    All borders lie on multiples of `multiple`, so that halvings fall on the same texels as in the whole map.
    Raises ShapeError for sizes that are none.
    """
    if size_px % multiple or tile_px % multiple or reach_px % multiple or tile_px <= 0:
        raise ShapeError("tiles", (size_px, tile_px, reach_px), f"multiples of {multiple}, tiles over 0")
    for top in range(0, size_px, tile_px):
        for left in range(0, size_px, tile_px):
            bottom, right = min(top + tile_px, size_px), min(left + tile_px, size_px)
            yield Tile(
                max(0, top - reach_px), max(0, left - reach_px),
                min(size_px, bottom + reach_px), min(size_px, right + reach_px),
                top, left, bottom, right,
            )  # fmt: skip


def tiled(draw: Drawn, size_px: int, *, tile_px: int, reach_px: int, multiple: int) -> Floats32:
    """(S, S): what `draw` gives as its first channel, tile by tile."""
    out = np.empty((size_px, size_px), np.float32)
    for tile in tiles(size_px, tile_px, reach_px, multiple):
        made = draw(tile.top, tile.left, tile.bottom - tile.top, tile.right - tile.left)
        rows = slice(tile.keep_top - tile.top, tile.keep_bottom - tile.top)
        columns = slice(tile.keep_left - tile.left, tile.keep_right - tile.left)
        out[tile.keep_top : tile.keep_bottom, tile.keep_left : tile.keep_right] = made[0, rows, columns]
    return out
