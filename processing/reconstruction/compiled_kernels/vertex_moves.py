"""Which vertices a view sees, and how far what it asks for moves them: one pass over the vertices in place of a dozen.

Reference: NumPy's way, in the tests.
"""

# mypy: disable-error-code="no-untyped-def,no-untyped-call"

import numpy as np

from common.array_types import Gray, Ints64
from processing.reconstruction.compiled_kernels.compilation import compiled

_ZERO, _ONE, _HALF = np.float32(0), np.float32(1), np.float32(0.5)


@compiled(
    "int64(float32[:,::1], float32[:,::1], float32[::1], float32[:,::1], float32[::1], float32, int64[::1],"
    " float32[:,::1])"
)
def find_facing(
    positions: Gray, normals: Gray, lever: Gray, M: Gray, centre: Gray, least_cosine: float, index: Ints64,
    seen: Gray,
) -> int:  # fmt: skip
    """How many vertices face a pinhole camera, as `SurfaceVertices.facing` has it.

    positions, normals: (V, 3) mm and unit.  lever: (V,) their products.  M: (3, 3) K R.  centre: (3,) the camera's, mm.
    index: (V,) the first of it become theirs, among all.  seen: (4, V) likewise pixel x and y, depth (mm), and how far
    a unit of depth moves the surface along the normal.
    """
    found = 0
    for i in range(len(positions)):
        x, y, z = positions[i, 0] - centre[0], positions[i, 1] - centre[1], positions[i, 2] - centre[2]
        depth = M[2, 0] * x + M[2, 1] * y + M[2, 2] * z
        along = lever[i] - (normals[i, 0] * centre[0] + normals[i, 1] * centre[1] + normals[i, 2] * centre[2])
        if along < -least_cosine * depth:
            index[found] = i
            seen[0, found] = (M[0, 0] * x + M[0, 1] * y + M[0, 2] * z) / depth
            seen[1, found] = (M[1, 0] * x + M[1, 1] * y + M[1, 2] * z) / depth
            seen[2, found] = depth
            seen[3, found] = along / depth
            found += 1
    return found


@compiled(
    "int64(int64[::1], float32[:,::1], float32[:,::1], float32[:,::1], float32[:,::1], float32, int64[::1],"
    " float32[:,::1])"
)
def find_moves(
    index: Ints64, seen: Gray, depth: Gray, offset: Gray, weight: Gray, tolerance: float, moved: Ints64,
    move: Gray,
) -> int:  # fmt: skip
    """How many of the vertices that face a view it sees and moves.

    index: (n,) and seen: (4, n) as `find_facing` has them, but pixels counted from the maps' first.
    depth, offset, weight: (h, w) as drawn, what is asked of it, both mm, and how sure that is.  tolerance: mm along the
    normal from what is drawn.  moved: (n,) the first of it become the vertices.  move: (2, n) likewise how far along
    their normals, mm, and with what weight.
    """
    height, width = depth.shape
    right, bottom = np.float32(width - 1), np.float32(height - 1)
    found = 0
    for i in range(len(index)):
        x, y, z, slope = seen[0, i], seen[1, i], seen[2, i], seen[3, i]
        if not ((x > _ZERO) & (y > _ZERO) & (x < right) & (y < bottom)):
            continue
        row, column = np.int64(y + _HALF), np.int64(x + _HALF)
        w = weight[row, column]
        if not ((abs(depth[row, column] - z) < tolerance / -slope) & (w > _ZERO)):
            continue
        r, c = np.int64(y), np.int64(x)
        fy, fx = y - np.float32(r), x - np.float32(c)
        upper = offset[r, c] * (_ONE - fx) + offset[r, c + 1] * fx
        lower = offset[r + 1, c] * (_ONE - fx) + offset[r + 1, c + 1] * fx
        moved[found] = index[i]
        move[0, found] = (upper * (_ONE - fy) + lower * fy) * slope
        move[1, found] = w * slope * slope
        found += 1
    return found


@compiled("void(int64[::1], float32[::1], float32[::1], float32[:,::1])")
def add_moves(moved: Ints64, move: Gray, share: Gray, sums: Gray) -> None:
    """A view's moves added to the sums of w, w w, w m and w m m, (V, 4), of all vertices; each is moved once."""
    for i in range(len(moved)):
        v, m, w = moved[i], move[i], share[i]
        sums[v, 0] += w
        sums[v, 1] += w * w
        sums[v, 2] += w * m
        sums[v, 3] += w * m * m
