"""One depth map held against another: a pass over its pixels in place of a chain of warps and comparisons.

Reference: OpenCV's and NumPy's way, in the tests.
"""

# mypy: disable-error-code="no-untyped-def,no-untyped-call"

import numpy as np

from common.array_types import Floats, Gray
from processing.reconstruction.compiled_kernels.compilation import compiled

_ZERO, _ONE, _HALF = np.float32(0), np.float32(1), np.float32(0.5)


@compiled(
    "void(float32[:,::1], float64[:,::1], UniTuple(int64, 4), float32[:,::1], float32[:,::1], UniTuple(float32, 3),"
    " float32[:,:,::1])"
)
def add_agreement(
    depth: Gray, P: Floats, corners: tuple[int, int, int, int], other_depth: Gray, other_score: Gray,
    limits: tuple[float, float, float], sums: Gray,
) -> None:  # fmt: skip
    """What another depth map says of one, added to the sums over others; see `depth_fusion.agreement`.

    depth: (h, w) mm, NaN where unknown.  P: (3, 4) M and b of `stereo_matching.projection`.  corners: row and column of
    the first pixel of either map.  other_depth, other_score: the other's, NaN where unknown.  limits: within how much
    (mm) they agree, from how much on the other sees past, and the cosine between the optical axes.
    sums: (4, h, w) depth times weight, weight, how many agree, how many see past.
    """
    height, width = depth.shape
    y0, x0, other_y0, other_x0 = corners
    near, past, cosine = limits
    bottom, right = np.float32(other_depth.shape[0] - 1), np.float32(other_depth.shape[1] - 1)
    b0, b1, b2 = np.float32(P[0, 3]), np.float32(P[1, 3]), np.float32(P[2, 3])
    left, top = np.float32(other_x0), np.float32(other_y0)
    for r in range(height):
        y = np.float64(y0 + r)
        k0, k1, k2 = P[0, 1] * y + P[0, 2], P[1, 1] * y + P[1, 2], P[2, 1] * y + P[2, 2]
        for c in range(width):
            x, d = np.float64(x0 + c), depth[r, c]
            z = np.float32(P[2, 0] * x + k2) * d + b2
            inverse = _ONE / z
            u = (np.float32(P[0, 0] * x + k0) * d + b0) * inverse - left
            v = (np.float32(P[1, 0] * x + k1) * d + b1) * inverse - top
            if not ((u >= _ZERO) & (v >= _ZERO) & (u < right) & (v < bottom)):
                continue
            i, j = np.int64(v), np.int64(u)
            fv, fu = v - np.float32(i), u - np.float32(j)
            upper = other_depth[i, j] * (_ONE - fu) + other_depth[i, j + 1] * fu
            lower = other_depth[i + 1, j] * (_ONE - fu) + other_depth[i + 1, j + 1] * fu
            difference = upper * (_ONE - fv) + lower * fv - z
            if abs(difference) < near:
                share = other_score[np.int64(v + _HALF), np.int64(u + _HALF)]
                sums[0, r, c] += share * (d + cosine * difference)
                sums[1, r, c] += share
                sums[2, r, c] += _ONE
            elif difference > past:
                sums[3, r, c] += _ONE
