"""Points sorted into the cells of a grid: which places have one near them, and where the surface through them lies.

Read the loops with `geometry/compilation.py` in mind: nothing checks that an index is within an array.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from common.array_types import Bools, Floats, Gray, Ints32, Ints64
from processing.geometry.compilation import compiled
from processing.reconstruction.cell_table import cell_key, place_of
from processing.reconstruction.depth_fusion import OrientedPoints

FACING = 0.3  # a point whose normal is farther from the vertex's (cosine) lies on another sheet
FEW = 0.1  # points of full weight whose word counts for half


@dataclass(frozen=True, eq=False)
class PointCells:
    """A hash table of occupied cells, and the points cell by cell."""

    origin_mm: Floats
    cell_mm: float
    #: (2^k,) key of the cell in each place of the table, EMPTY where there is none,
    keys: Ints64
    #: and its number.
    numbers: Ints32
    #: (C + 1,) where the points of each cell begin in
    starts: Ints32
    #: (N,) the points' numbers.
    order: Ints32

    @staticmethod
    def of(points_mm: Gray, cell_mm: float) -> "PointCells":
        """points_mm: (N, 3)."""
        origin = points_mm.min(axis=0).astype(np.float64) - 1.5 * cell_mm if len(points_mm) else np.zeros(3)
        size = 1 << max(4, int(2 * len(points_mm)).bit_length())
        return PointCells(origin, cell_mm, *_sorted(points_mm, origin, cell_mm, size))

    def near(self, queries_mm: Floats | Gray) -> Bools:
        """(Q,) whether the cell of each of (Q, 3) places, or one of the 26 around it, holds a point."""
        return np.asarray(_near(queries_mm, self.origin_mm, self.cell_mm, self.keys))


@compiled
def _sorted(points: Gray, origin: Floats, cell: float, size: int) -> tuple[Ints64, Ints32, Ints32, Ints32]:
    keys, numbers = np.full(size, -1, np.int64), np.zeros(size, np.int32)
    cell_of, count = np.empty(len(points), np.int32), 0
    for n in range(len(points)):
        key = cell_key(points[n, 0], points[n, 1], points[n, 2], origin, cell)
        at = place_of(key, keys)
        if keys[at] == -1:
            keys[at], numbers[at] = key, count
            count += 1
        cell_of[n] = numbers[at]
    starts = np.zeros(count + 1, np.int32)
    for n in range(len(points)):
        starts[cell_of[n] + 1] += 1
    for c in range(count):
        starts[c + 1] += starts[c]
    filled, order = starts[:-1].copy(), np.empty(len(points), np.int32)
    for n in range(len(points)):
        order[filled[cell_of[n]]] = n
        filled[cell_of[n]] += 1
    return keys, numbers, starts, order


@compiled
def _place_beside(key: np.int64, n: int, keys: Ints64) -> np.int64:
    """Where the table has the n-th of a cell and the 26 around it; -1 where it holds no point."""
    around = key + ((n // 9 - 1) << 42) + ((n // 3 % 3 - 1) << 21) + (n % 3 - 1)
    if around < 0:
        return np.int64(-1)
    at = place_of(around, keys)
    return at if keys[at] == around else np.int64(-1)


@compiled
def _near(queries: NDArray[np.floating], origin: Floats, cell: float, keys: Ints64) -> Bools:
    found = np.zeros(len(queries), np.bool_)
    for q in range(len(queries)):
        key = cell_key(queries[q, 0], queries[q, 1], queries[q, 2], origin, cell)
        if key == -1:
            continue
        for n in range(27):
            if _place_beside(key, n, keys) >= 0:
                found[q] = True
                break
    return found


def _in_cells(
    points: OrientedPoints, cells: PointCells
) -> tuple[tuple[Gray, Gray, Gray, Ints32], tuple[Floats, float, Ints64, Ints32]]:
    """The points in the order of their cells, and the table of the cells, as the compiled loops take them."""
    ordered = (points.points_mm[cells.order], points.normals[cells.order], points.weight[cells.order], cells.starts)
    return ordered, (cells.origin_mm, cells.cell_mm, cells.keys, cells.numbers)


def displacements(vertices_mm: Gray, normals: Gray, points: OrientedPoints, cells: PointCells) -> Gray:
    """(V,) mm by which each vertex lies below the surface through the points around it, along its normal.

    vertices_mm, normals: (V, 3).  cells: of the points; those within their side say something. A moving least-squares
    surface (Levin 1998) whose residual is the distance along the sum of both normals, which vanishes on a sphere as on
    a plane (Rusinkiewicz 2019). Where points are few, the move is smaller.
    """
    return np.asarray(_displaced(vertices_mm, normals, *_in_cells(points, cells)))


def support(vertices_mm: Gray, normals: Gray, points: OrientedPoints, cells: PointCells) -> Gray:
    """(V,) weight of the points around each vertex whose normals are like its own, falling off to nothing at the side
    of the cells.

    vertices_mm, normals: (V, 3).  cells: of the points.
    """
    return np.asarray(_supported(vertices_mm, normals, *_in_cells(points, cells)))


@compiled
def _supported(
    vertices: Gray, normals: Gray, ordered: tuple[Gray, Gray, Gray, Ints32], table: tuple[Floats, float, Ints64, Ints32]
) -> Gray:
    points, directions, weights, starts = ordered
    origin, cell, keys, numbers = table
    out = np.zeros(len(vertices), np.float32)
    reach2 = cell * cell
    for v in range(len(vertices)):
        x, y, z = vertices[v, 0], vertices[v, 1], vertices[v, 2]
        key = cell_key(x, y, z, origin, cell)
        if key == -1:
            continue
        total = 0.0
        for n in range(27):
            at = _place_beside(key, n, keys)
            if at < 0:
                continue
            c = numbers[at]
            for p in range(starts[c], starts[c + 1]):
                dx, dy, dz = points[p, 0] - x, points[p, 1] - y, points[p, 2] - z
                r2 = dx * dx + dy * dy + dz * dz
                across = directions[p, 0] * normals[v, 0] + directions[p, 1] * normals[v, 1]
                if r2 < reach2 and across + directions[p, 2] * normals[v, 2] >= FACING:
                    total += weights[p] * (1 - r2 / reach2) ** 2
        out[v] = total
    return out


@compiled
def _displaced(
    vertices: Gray, normals: Gray, ordered: tuple[Gray, Gray, Gray, Ints32], table: tuple[Floats, float, Ints64, Ints32]
) -> Gray:
    points, directions, weights, starts = ordered
    origin, cell, keys, numbers = table
    out = np.zeros(len(vertices), np.float32)
    reach2 = cell * cell
    for v in range(len(vertices)):
        x, y, z = vertices[v, 0], vertices[v, 1], vertices[v, 2]
        nx, ny, nz = normals[v, 0], normals[v, 1], normals[v, 2]
        key = cell_key(x, y, z, origin, cell)
        if key == -1:
            continue
        total, off, near = 0.0, 0.0, 0.0
        for n in range(27):
            at = _place_beside(key, n, keys)
            if at < 0:
                continue
            c = numbers[at]
            for p in range(starts[c], starts[c + 1]):
                dx, dy, dz = points[p, 0] - x, points[p, 1] - y, points[p, 2] - z
                r2 = dx * dx + dy * dy + dz * dz
                cosine = directions[p, 0] * nx + directions[p, 1] * ny + directions[p, 2] * nz
                if r2 >= reach2 or cosine < FACING:
                    continue
                fall = (1 - r2 / reach2) ** 2
                w = fall * fall * weights[p]
                off += w * (dx * (directions[p, 0] + nx) + dy * (directions[p, 1] + ny) + dz * (directions[p, 2] + nz))
                total += w * (1 + cosine)
                near += fall * fall
        if total > 0:
            out[v] = off / total * near / (near + FEW)
    return out
