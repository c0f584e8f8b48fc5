"""Depth of a triangle mesh as a pinhole camera sees it: a z-buffer, for meshes whose triangles are small in the image.

Reference: rays cast by Open3D (Embree).
"""

# mypy: disable-error-code="no-untyped-def,no-untyped-call"

import numpy as np
from numpy.typing import NDArray

from common.array_types import Floats, Gray, Ints32
from processing.reconstruction.compiled_kernels.compilation import compiled

_ZERO, _ONE = np.float32(0), np.float32(1)
_NEAR = 1e-3  # depth, mm, nearer than which nothing is drawn
_ON_EDGE = -1e-9  # px squared: a pixel so far outside an edge still lies on it


@compiled()
def _least(a, b, c):
    return min(min(a, b), c)


@compiled()
def _most(a, b, c):
    return max(max(a, b), c)


@compiled(
    "void(float32[:,::1], int32[:,::1], float64[:,::1], UniTuple(int64, 2), float32[:,::1], float32[:,::1],"
    " uint8[:,::1])"
)
def draw_depth(
    vertices: Gray, triangles: Ints32, P: Floats, corner: tuple[int, int], seen: Gray, inverse: Gray,
    behind: NDArray[np.uint8],
) -> None:  # fmt: skip
    """The inverse depth of the surface nearest to the camera at each pixel, and whether it is seen from behind.

    vertices: (V, 3) mm.  triangles: (F, 3).  P: (3, 4) K [R | t].  corner: row and column of the pixel inverse[0, 0].
    seen: (V, 3) room for where the vertices are seen.  inverse: (h, w) zeros; 0 stays where nothing is seen.
    behind: (h, w) zeros.
    """
    height, width = inverse.shape
    for i in range(len(vertices)):
        x, y, z = np.float64(vertices[i, 0]), np.float64(vertices[i, 1]), np.float64(vertices[i, 2])
        depth = P[2, 0] * x + P[2, 1] * y + P[2, 2] * z + P[2, 3]
        w = 1.0 / depth if depth > _NEAR else 0.0
        seen[i, 0] = (P[0, 0] * x + P[0, 1] * y + P[0, 2] * z + P[0, 3]) * w
        seen[i, 1] = (P[1, 0] * x + P[1, 1] * y + P[1, 2] * z + P[1, 3]) * w
        seen[i, 2] = w
    y0, x0 = corner
    left, right = np.float32(x0), np.float32(x0 + width - 1)
    top, bottom = np.float32(y0), np.float32(y0 + height - 1)
    for f in range(len(triangles)):
        a, b, c = triangles[f, 0], triangles[f, 1], triangles[f, 2]
        u0, u1, u2 = seen[a, 0], seen[b, 0], seen[c, 0]
        v0, v1, v2 = seen[a, 1], seen[b, 1], seen[c, 1]
        w0, w1, w2 = seen[a, 2], seen[b, 2], seen[c, 2]
        # Clipped while still a fraction: what lies far outside is no whole number that fits.
        begin = np.int32(np.ceil(min(max(_least(u0, u1, u2), left), right + _ONE)))
        first = np.int32(np.ceil(min(max(_least(v0, v1, v2), top), bottom + _ONE)))
        end = np.int32(np.floor(max(min(_most(u0, u1, u2), right), left - _ONE)))
        last = np.int32(np.floor(max(min(_most(v0, v1, v2), bottom), top - _ONE)))
        if (begin > end) | (first > last) | (_least(w0, w1, w2) <= _ZERO):
            continue
        ax, ay = np.float64(u0), np.float64(v0)
        bx, by, cx, cy = np.float64(u1) - ax, np.float64(v1) - ay, np.float64(u2) - ax, np.float64(v2) - ay
        area = bx * cy - by * cx
        if area == 0.0:
            continue
        turn = 1.0 if area > 0 else -1.0
        for row in range(first, last + 1):
            for column in range(begin, end + 1):
                px, py = column - ax, row - ay
                second, third = (px * cy - py * cx) * turn, (bx * py - by * px) * turn
                first_share = area * turn - second - third
                if second < _ON_EDGE or third < _ON_EDGE or first_share < _ON_EDGE:
                    continue
                w = np.float32((first_share * w0 + second * w1 + third * w2) / (area * turn))
                if w > inverse[row - y0, column - x0]:
                    inverse[row - y0, column - x0] = w
                    behind[row - y0, column - x0] = turn > 0
