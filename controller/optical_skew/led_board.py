"""The LED board: where its lamps and markers are, what they show when, and the time they show over an exposure.

Each bit of a Gray-coded counter has two lamps side by side: one shows the bit, the other its opposite. Whatever the
light, the angle and the blur do to the one they do to the other, so the share of the pair's light that comes from the
first is the share of the exposure for which the bit was set. Of a Gray code exactly one bit changes at each tick, so of
the bits that change more slowly than the exposure lasts one is always caught in mid-change, and its share tells the
moment to a fraction of a tick. The whole code stands on the board twice, at opposite ends and in opposite order: where
a camera exposes row after row, the two copies show different times, and the difference tells how fast the rows follow.

The board's own frame: millimetres on its face, x right and y down from its upper left corner. See
docs/led-board.md for how to build one.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from common.array_types import Floats
from common.configuration.loader import from_table, read_toml
from controller.errors import ConfigurationError

WIDTH_MM, HEIGHT_MM = 240.0, 150.0
MARKER_MM = 36.0
MARKER_CORNERS_MM = ((8.0, 8.0), (196.0, 8.0), (196.0, 106.0), (8.0, 106.0))  # upper left of each, clockwise
QUIET_MM = 6.0  # white around each marker
LAMP_RADIUS_MM = 1.5
FIRST_LAMP_MM, LAST_LAMP_MM = 63.75, 176.25
BLOCK_ROWS_MM = ((22.0, 34.0), (116.0, 128.0))  # of the lamps that show the bits, and of their opposites
FACES = 12  # markers 4f to 4f + 3 of DICT_4X4_50 tell face f


@dataclass(frozen=True)
class LedBoard:
    """A board of Gray-coded lamps."""

    bits: int = 16  # of the counter
    tick_us: float = 250.0  # time between two counts, at most 1000: 1 kHz or faster

    def __post_init__(self) -> None:
        if not 8 <= self.bits <= 16:
            raise ConfigurationError(f"the board has {self.bits} bits; from 8 to 16 fit on it")
        if not 10 <= self.tick_us <= 1000:
            raise ConfigurationError(
                f"the board ticks every {self.tick_us:g} us; 10 to 1000 (1 kHz or faster) are read"
            )

    @property
    def tick_ms(self) -> float:
        return self.tick_us / 1000

    @property
    def period_ms(self) -> float:
        """After this long the board shows the same again."""
        return self.tick_ms * float(2**self.bits)

    @cached_property
    def lamps_mm(self) -> Floats:
        """(2 * bits, 2, 2): for each pair (block 0 bit 0, bit 1, ... block 1 bit 0, ...) the lamp and its opposite."""
        along = np.linspace(FIRST_LAMP_MM, LAST_LAMP_MM, 16)[: self.bits]
        pairs = [
            [[x, row], [x, opposite]]
            for (row, opposite), columns in zip(BLOCK_ROWS_MM, (along, along[::-1]), strict=True)
            for x in columns
        ]
        return np.array(pairs)

    @cached_property
    def pair_bits(self) -> NDArray[np.int64]:
        """(2 * bits,): the bit that each pair shows."""
        return np.tile(np.arange(self.bits), 2)

    def state(self, at_ms: Floats, bit: int) -> NDArray[np.bool_]:
        """Whether the bit is set at a moment of the board's clock: count ^ count >> 1, the reflected Gray code."""
        count = np.floor(at_ms / self.tick_ms).astype(np.int64) % 2**self.bits
        bits: NDArray[np.bool_] = ((count ^ (count >> 1)) >> bit) & 1 == 1
        return bits

    def integral_ms(self, at_ms: Floats, bits: NDArray[np.int64]) -> Floats:
        """For how long each bit was set from 0 to `at_ms`; the two broadcast.

        Bit k is set from 2^k to 3 * 2^k of every 2^(k+2) ticks; the topmost from 2^k to the end of the period.
        """
        half = 2.0**bits * self.tick_ms
        period = np.where(bits == self.bits - 1, 2 * half, 4 * half)
        length = np.where(bits == self.bits - 1, half, 2 * half)
        turns = np.floor(at_ms / period)
        result: Floats = turns * length + np.clip(at_ms - turns * period - half, 0.0, length)
        return result

    def shares(self, middle_ms: Floats, exposure_ms: Floats, bits: NDArray[np.int64]) -> Floats:
        """The share of an exposure, given by its middle and length, for which each bit was set; all broadcast."""
        begin = middle_ms - exposure_ms / 2
        share: Floats = (self.integral_ms(begin + exposure_ms, bits) - self.integral_ms(begin, bits)) / exposure_ms
        return share


def marker_quads_mm() -> Floats:
    """(4, 4, 2): the corners of each marker, clockwise from its upper left."""
    square = np.array([[0, 0], [MARKER_MM, 0], [MARKER_MM, MARKER_MM], [0, MARKER_MM]])
    quads: Floats = np.array(MARKER_CORNERS_MM)[:, None, :] + square[None]
    return quads


def read_board(path: Path | None) -> LedBoard:
    """The board of a file with `bits` and `tick_us`; the standard one without. Raises ConfigurationError."""
    if path is None:
        return LedBoard()
    return from_table(LedBoard, read_toml(path, ConfigurationError), str(path), ConfigurationError)
