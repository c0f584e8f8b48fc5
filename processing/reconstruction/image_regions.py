"""Parts of a view: rectangles, bands of rows, pixels laid out as an image."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from common.array_types import Floats, Gray

TILE_PIXELS = 1_000_000  # of a view that are worked on at a time, which bounds a thread's memory


@dataclass(frozen=True, eq=False)
class Region:
    """A rectangle of an image: rows y0..y1, columns x0..x1, ends excluded."""

    y0: int
    y1: int
    x0: int
    x1: int

    @property
    def shape(self) -> tuple[int, int]:
        return self.y1 - self.y0, self.x1 - self.x0

    @property
    def rows(self) -> slice:
        return slice(self.y0, self.y1)

    @property
    def columns(self) -> slice:
        return slice(self.x0, self.x1)

    @property
    def x(self) -> Floats:
        """(1, w) columns."""
        return np.arange(self.x0, self.x1, dtype=np.float64)[None]

    @property
    def y(self) -> Floats:
        """(h, 1) rows."""
        return np.arange(self.y0, self.y1, dtype=np.float64)[:, None]

    def band(self, rows: slice) -> "Region":
        """The part of this rectangle at such of its rows."""
        return Region(self.y0 + rows.start, self.y0 + rows.stop, self.x0, self.x1)

    def of(self, image: Gray) -> "Pixels":
        """The pixels of an image that lie in this rectangle."""
        return Pixels(image[self.rows, self.columns], self.x, self.y)


@dataclass(frozen=True, eq=False)
class Pixels:
    """Pixels of one view, laid out as an image, though they need not be neighbours in it."""

    #: (h, w)
    grey: Gray
    #: Columns and rows in the view, broadcastable to (h, w).
    x: Floats
    y: Floats

    def band(self, rows: slice) -> "Pixels":
        x = self.x if len(self.x) == 1 else self.x[rows]
        return Pixels(np.ascontiguousarray(self.grey[rows]), x, self.y[rows])


@dataclass(frozen=True)
class Band:
    """Some rows of an image, worked on with a halo."""

    #: The rows.
    kept: slice
    #: Those and the halo's.
    around: slice

    @property
    def within(self) -> slice:
        """Where the former lie in the latter."""
        return slice(self.kept.start - self.around.start, self.kept.stop - self.around.start)


def bands(shape: tuple[int, int], pixels: int, halo: int, least: int = 1) -> Iterator[Band]:
    """An image of such a shape in bands of about so many pixels, at least `least` rows and a multiple of it."""
    height, width = shape
    rows = max(pixels // max(width, 1) // least, 1) * least
    for start in range(0, height, rows):
        stop = min(start + rows, height)
        yield Band(slice(start, stop), slice(max(start - halo, 0), min(stop + halo, height)))
