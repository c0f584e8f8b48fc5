"""What a study's faces have in common, texel by texel: relief at rest, and what squeezing or stretching adds.

    relief(stretch) = rest + sum over k of slope_k * squeeze_basis_k(stretch)

Where skin folds is nearly the same in everybody, and which texel it is a convolution cannot see. The network is given
this and learns what is left: what the texture tells of age and lines, and what a place's surroundings do.
"""

from dataclasses import dataclass

import numpy as np

from common.array_types import Bools, Floats32
from processing.errors import ShapeError

STEPS = 3  # of squeezing, each STEP of the area
STEP = 0.12
MOST_GAIN = 0.5
BASIS = STEPS + 1
_RIDGE = 0.02  # of the number of takes


@dataclass(frozen=True, eq=False)
class CommonRelief:
    """Over S x S texels; mm."""

    rest: Floats32  # (S, S) mean of the neutral faces
    slopes: Floats32  # (BASIS, S, S)
    valid: Bools  # (S, S) texels that most takes measured

    def __post_init__(self) -> None:
        size = self.rest.shape
        if self.slopes.shape != (BASIS, *size) or self.valid.shape != size:
            raise ShapeError("common relief: slopes", self.slopes.shape, f"({BASIS}, S, S) of {size}")

    @property
    def size_px(self) -> int:
        return len(self.rest)

    def of(self, area: Floats32, top: int = 0, left: int = 0) -> Floats32:
        """(2, H, W) mm of a window whose first texel is (top, left): at rest, and what stretching adds.

        area: (H, W) logarithm of its ratio to rest.
        """
        rows, columns = slice(top, top + area.shape[0]), slice(left, left + area.shape[1])
        moved = (self.slopes[:, rows, columns] * squeeze_basis(area)).sum(axis=0)
        return np.stack([self.rest[rows, columns], moved]).astype(np.float32)


def squeeze_basis(area: Floats32) -> Floats32:
    """(H, W) logarithm of an area's ratio -> (BASIS, H, W) in 0..1, zero at rest: steps of squeezing, and gain."""
    lost = 1 - np.exp(area)
    steps = [np.clip(lost / STEP - k, 0, 1) for k in range(STEPS)]
    return np.asarray(np.stack([*steps, np.clip(-lost / MOST_GAIN, 0, 1)]), np.float32)


class CommonReliefFit:
    """Gathers takes and solves for what they have in common: least squares at each texel, with a ridge.

    Of each take the difference to its own person's neutral is explained, in which pores and scars cancel.
    """

    def __init__(self, size_px: int) -> None:
        pairs = BASIS * (BASIS + 1) // 2
        self._rest = np.zeros((size_px, size_px))
        self._rests = np.zeros((size_px, size_px))
        self._products = np.zeros((pairs, size_px, size_px), np.float32)
        self._with = np.zeros((BASIS, size_px, size_px), np.float32)
        self._seen, self._takes = np.zeros((size_px, size_px)), 0

    def add_rest(self, height_mm: Floats32, valid: Bools) -> None:
        """(S, S) of a neutral face."""
        self._rest += np.where(valid, height_mm, 0)
        self._rests += valid
        self._note(valid)

    def add(self, height_mm: Floats32, rest_mm: Floats32, valid: Bools, area: Floats32) -> None:
        """(S, S) of an expression and of the person's neutral, where both were measured; area: as `CommonRelief.of`."""
        basis = squeeze_basis(area) * valid
        change = np.where(valid, height_mm - rest_mm, 0)
        number = 0
        for row in range(BASIS):
            for column in range(row + 1):
                self._products[number] += basis[row] * basis[column]
                number += 1
        self._with += basis * change
        self._note(valid)

    def _note(self, valid: Bools) -> None:
        self._seen += valid
        self._takes += 1

    def solve(self) -> CommonRelief:
        size = len(self._rest)
        matrix = np.zeros((size, size, BASIS, BASIS))
        number = 0
        for row in range(BASIS):
            for column in range(row + 1):
                matrix[..., row, column] = matrix[..., column, row] = self._products[number]
                number += 1
        matrix += _RIDGE * max(self._takes, 1) ** 0.5 * np.eye(BASIS)
        slopes = np.linalg.solve(matrix, np.moveaxis(self._with, 0, -1)[..., None].astype(np.float64))[..., 0]
        rest = self._rest / self._rests.clip(1)
        valid = self._seen * 2 > self._takes
        return CommonRelief(
            rest.astype(np.float32), np.ascontiguousarray(np.moveaxis(slopes, -1, 0), dtype=np.float32), valid
        )
