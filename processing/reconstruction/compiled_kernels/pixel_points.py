"""Pixels of a depth map as points with normals, worked out for those alone that are kept.

Reference: NumPy's way, in the tests.
"""

# mypy: disable-error-code="no-untyped-def,no-untyped-call"

import math

import numpy as np
from numpy.typing import NDArray

from common.array_types import Floats, Gray
from processing.reconstruction.compiled_kernels.compilation import compiled

_ZERO, _ONE = np.float32(0), np.float32(1)
_LEAST_WEIGHT = np.float32(1e-3)
_LEAST_LENGTH = np.float32(1e-12)


@compiled("void(float32[:,::1], float64[:,::1], UniTuple(int64, 2), float32[:,:,::1])")
def from_centre(depth: Gray, M: Floats, corner: tuple[int, int], out: Gray) -> None:
    """(h, w, 4) where a depth map's points lie from the camera's centre, mm, and 1; zeros where the depth is unknown.

    M: (3, 3) ray of depth 1 from a pixel (x, y, 1).  corner: row and column of the first pixel.
    """
    height, width = depth.shape
    for r in range(height):
        y = np.float64(corner[0] + r)
        for c in range(width):
            x, d = np.float64(corner[1] + c), depth[r, c]
            known = np.isfinite(d)
            for k in range(3):
                ray = np.float32(M[k, 0] * x + (M[k, 1] * y + M[k, 2]))
                out[r, c, k] = ray * d if known else _ZERO
            out[r, c, 3] = _ONE if known else _ZERO


@compiled()
def _between(points, sums, r0, c0, r1, c1):
    """From the mean around one pixel to that around another, and whether both are known."""
    one, other = _ONE / sums[r0, c0, 3], _ONE / sums[r1, c1, 3]
    known = (points[r0, c0, 3] > _ZERO) & (points[r1, c1, 3] > _ZERO)
    return (
        sums[r1, c1, 0] * other - sums[r0, c0, 0] * one,
        sums[r1, c1, 1] * other - sums[r0, c0, 1] * one,
        sums[r1, c1, 2] * other - sums[r0, c0, 2] * one,
        known,
    )


@compiled("int64(float32[:,:,::1], float32[:,:,::1], float32[:,::1], uint8[:,::1], float32, float32[:,::1])")
def find_oriented(
    points: Gray, sums: Gray, score: Gray, keep: NDArray[np.uint8], least_cosine: float, out: Gray
) -> int:
    """How many of the pixels to keep have a normal and are seen so squarely.

    points: (h, w, 4) as `from_centre` has them.  sums: (h, w, 4) of a window around each.  score: (h, w).
    out: (N, 7) whose first rows become the points, from the centre, their unit normals towards it, and weights.
    """
    height, width = score.shape
    found = 0
    for r in range(1, height - 1):
        for c in range(1, width - 1):
            if (keep[r, c] == 0) | (points[r, c, 3] == _ZERO):
                continue
            ax, ay, az, across = _between(points, sums, r, c - 1, r, c + 1)
            bx, by, bz, down = _between(points, sums, r - 1, c, r + 1, c)
            if not (across & down):
                continue
            nx, ny, nz = by * az - bz * ay, bz * ax - bx * az, bx * ay - by * ax
            length = math.sqrt(nx * nx + ny * ny + nz * nz)
            px, py, pz = points[r, c, 0], points[r, c, 1], points[r, c, 2]
            scale = _ONE / (length if length > _LEAST_LENGTH else _LEAST_LENGTH)
            if nx * sums[r, c, 0] + ny * sums[r, c, 1] + nz * sums[r, c, 2] > _ZERO:
                scale = -scale
            nx, ny, nz = nx * scale, ny * scale, nz * scale
            cosine = -(nx * px + ny * py + nz * pz) / math.sqrt(px * px + py * py + pz * pz)
            if not cosine > least_cosine:
                continue
            weight = score[r, c] * cosine * cosine
            out[found, 0], out[found, 1], out[found, 2] = px, py, pz
            out[found, 3], out[found, 4], out[found, 5] = nx, ny, nz
            out[found, 6] = weight if weight > _LEAST_WEIGHT else _LEAST_WEIGHT
            found += 1
    return found
