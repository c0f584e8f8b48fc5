"""Distances from the pixels of one cylinder's map to the surface of another, exact and without a tree.

Both maps lie on one grid, so the nearest place is a few pixels away: triangles are looked at from the pixel outwards,
until a row is too far up or down and a column too far around to hold anything nearer.
"""

from typing import NamedTuple

import numpy as np

from common.array_types import Bools, Floats
from processing.geometry.compilation import compiled


class Quads(NamedTuple):
    """A map's surface, as compiled loops take it."""

    points: Floats  # (R C, 3)
    faces: Bools  # (R, C, 2)
    bounds: Floats  # (R, C, 2) `radii_of`
    #: (C, 2) sine (1 from a right angle on) and cosine of at most the angle between a pixel and the quad so many
    #: columns on.
    angles: Floats
    closed: bool
    row_mm: float  # between rows


class _Place(NamedTuple):
    x: float
    y: float
    z: float
    radius: float  # from the axis


@compiled
def published_faces(radius: Floats, longest: float) -> Bools:
    """(R, C, 2) whether a pixel's two triangles are kept: (here, right, below) and (right below, below, right), with
    flat indices, so that after the last column comes the next row's first. Kept if the radius here is known and within
    `longest` of those right, below and right below, rows and columns rolled over; not beyond the last row.
    """
    rows, columns = radius.shape
    kept = np.zeros((rows, columns, 2), np.bool_)
    for i in range(rows):
        below = i + 1 if i + 1 < rows else 0
        for j in range(columns):
            here, right = radius[i, j], j + 1 if j + 1 < columns else 0
            if here == 0 or abs(here - radius[below, j]) >= longest:
                continue
            if abs(here - radius[i, right]) >= longest or abs(here - radius[below, right]) >= longest:
                continue
            here_flat = i * columns + j
            kept[i, j, 0] = here_flat + columns < rows * columns and here_flat + 1 < rows * columns
            kept[i, j, 1] = here_flat + columns + 1 < rows * columns
    return kept


@compiled
def exact_faces(points: Floats, radius: Floats, longest: float) -> Bools:
    """(R, C, 2) the same triangles, closed around the axis: kept if all corners are known and no edge is longer."""
    rows, columns = radius.shape
    kept = np.zeros((rows, columns, 2), np.bool_)
    most = longest * longest
    for i in range(rows - 1):
        for j in range(columns):
            right = j + 1 if j + 1 < columns else 0
            if radius[i, right] == 0 or radius[i + 1, j] == 0:
                continue
            across = 0.0
            for k in range(3):
                across += (points[i, right, k] - points[i + 1, j, k]) ** 2
            if across > most:
                continue
            for which in range(2):
                a, b = (i, j) if which == 0 else (i + 1, right)
                if radius[a, b] == 0:
                    continue
                first, second = 0.0, 0.0
                for k in range(3):
                    first += (points[a, b, k] - points[i, right, k]) ** 2
                    second += (points[a, b, k] - points[i + 1, j, k]) ** 2
                kept[i, j, which] = first <= most and second <= most
    return kept


@compiled
def corners_used(faces: Bools, closed: bool) -> Bools:
    """(R, C) pixels that a kept triangle names. closed: the last column is followed by the first of its own row."""
    rows, columns, _ = faces.shape
    used = np.zeros(rows * columns, np.bool_)
    for i in range(rows):
        for j in range(columns):
            here = i * columns + j
            right = here + 1 if j + 1 < columns or not closed else i * columns
            if faces[i, j, 0]:
                used[here] = used[right] = used[here + columns] = True
            if faces[i, j, 1]:
                used[right + columns] = used[here + columns] = used[right] = True
    return used.reshape(rows, columns)


@compiled
def _squared_distance(px: float, py: float, pz: float, points: Floats, a: int, b: int, c: int) -> float:
    """Of a point to a triangle of (N, 3) points (Ericson, Real-Time Collision Detection, section 5.1.5)."""
    # Numbers, not slices: a view counts its users, which takes longer than the rest.
    ax, ay, az = points[a, 0], points[a, 1], points[a, 2]
    bx, by, bz = points[b, 0], points[b, 1], points[b, 2]
    cx, cy, cz = points[c, 0], points[c, 1], points[c, 2]
    abx, aby, abz = bx - ax, by - ay, bz - az
    acx, acy, acz = cx - ax, cy - ay, cz - az
    apx, apy, apz = px - ax, py - ay, pz - az
    d1, d2 = abx * apx + aby * apy + abz * apz, acx * apx + acy * apy + acz * apz
    if d1 <= 0 and d2 <= 0:
        return float(apx * apx + apy * apy + apz * apz)
    bpx, bpy, bpz = px - bx, py - by, pz - bz
    d3, d4 = abx * bpx + aby * bpy + abz * bpz, acx * bpx + acy * bpy + acz * bpz
    if d3 >= 0 and d4 <= d3:
        return float(bpx * bpx + bpy * bpy + bpz * bpz)
    vc = d1 * d4 - d3 * d2
    if vc <= 0 and d1 >= 0 and d3 <= 0:
        v = d1 / (d1 - d3) if d1 != d3 else 0.0
        x, y, z = apx - v * abx, apy - v * aby, apz - v * abz
        return float(x * x + y * y + z * z)
    cpx, cpy, cpz = px - cx, py - cy, pz - cz
    d5, d6 = abx * cpx + aby * cpy + abz * cpz, acx * cpx + acy * cpy + acz * cpz
    if d6 >= 0 and d5 <= d6:
        return float(cpx * cpx + cpy * cpy + cpz * cpz)
    vb = d5 * d2 - d1 * d6
    if vb <= 0 and d2 >= 0 and d6 <= 0:
        w = d2 / (d2 - d6) if d2 != d6 else 0.0
        x, y, z = apx - w * acx, apy - w * acy, apz - w * acz
        return float(x * x + y * y + z * z)
    va = d3 * d6 - d5 * d4
    if va <= 0 and d4 - d3 >= 0 and d5 - d6 >= 0:
        both = (d4 - d3) + (d5 - d6)
        w = (d4 - d3) / both if both > 0 else 0.0
        x, y, z = bpx - w * (cx - bx), bpy - w * (cy - by), bpz - w * (cz - bz)
        return float(x * x + y * y + z * z)
    whole = va + vb + vc
    if whole <= 0:
        return float(min(apx * apx + apy * apy + apz * apz, bpx * bpx + bpy * bpy + bpz * bpz))
    v, w = vb / whole, vc / whole
    x, y, z = apx - v * abx - w * acx, apy - v * aby - w * acy, apz - v * abz - w * acz
    return float(x * x + y * y + z * z)


@compiled
def radii_of(radius: Floats, faces: Bools, closed: bool) -> Floats:
    """(R, C, 2) the least and the greatest distance from the axis of what a pixel's kept triangles hold."""
    rows, columns, _ = faces.shape
    flat = radius.reshape(rows * columns)
    bounds = np.zeros((rows, columns, 2))
    chord = np.cos(np.pi / (columns - 1))  # half a column's angle, and a little more
    for i in range(rows):
        for j in range(columns):
            if not (faces[i, j, 0] or faces[i, j, 1]):
                continue
            here = i * columns + j
            right = here + 1 if j + 1 < columns or not closed else i * columns
            low, high = min(flat[right], flat[here + columns]), max(flat[right], flat[here + columns])
            if faces[i, j, 0]:
                low, high = min(low, flat[here]), max(high, flat[here])
            if faces[i, j, 1]:
                low, high = min(low, flat[right + columns]), max(high, flat[right + columns])
            bounds[i, j, 0], bounds[i, j, 1] = low * chord, high
    return bounds


@compiled
def _row(p: _Place, i: int, j: int, up: float, best: float, quads: Quads) -> float:
    """The squared distance from a point of column j to what row i of quads has, if that is less than `best`.

    up: squared distance to the row's heights.
    """
    faces, points, bounds = quads.faces, quads.points, quads.bounds
    columns = faces.shape[1]
    for direction in range(2):
        for step in range(columns // 2 + 1):
            sine, cosine = quads.angles[step, 0], quads.angles[step, 1]
            if up + (p.radius * sine) ** 2 >= best:
                break
            column = (j + step if direction == 0 else j - 1 - step) % columns
            if not (faces[i, column, 0] or faces[i, column, 1]):
                continue
            nearest = min(max(p.radius * cosine, bounds[i, column, 0]), bounds[i, column, 1])
            if up + p.radius * p.radius + nearest * (nearest - 2 * p.radius * cosine) >= best:
                continue
            here = i * columns + column
            right = here + 1 if column + 1 < columns or not quads.closed else i * columns
            below = here + columns
            if faces[i, column, 0]:
                best = min(best, _squared_distance(p.x, p.y, p.z, points, here, right, below))
            if faces[i, column, 1]:
                best = min(best, _squared_distance(p.x, p.y, p.z, points, right + columns, below, right))
    return best


@compiled
def grid_distances(queries: Floats, wanted: Bools, quads: Quads, most_rows: int) -> Floats:
    """(R, C) distance from the wanted pixels' points, queries (R, C, 3), to the triangles of another map; NaN where
    not wanted, -1 where something nearer may lie more than `most_rows` away on the grid.
    """
    rows, columns, _ = quads.faces.shape
    out = np.full((rows, columns), np.nan)
    for i in range(rows):
        for j in range(columns):
            if not wanted[i, j]:
                continue
            x, y, z = queries[i, j, 0], queries[i, j, 1], queries[i, j, 2]
            p = _Place(x, y, z, np.sqrt(x * x + z * z))
            best, sure, down, up = np.inf, True, True, True
            for step in range(rows):
                if not (down or up):
                    break
                if step > most_rows:
                    sure = False
                    break
                reach = (step * quads.row_mm) ** 2
                down = down and i + step < rows and reach < best
                if down:
                    best = _row(p, i + step, j, reach, best, quads)
                # The last column's second triangle of a map that is not closed reaches one row farther down.
                reach = (max(step - (0 if quads.closed else 1), 0) * quads.row_mm) ** 2
                up = up and i - 1 - step >= 0 and reach < best
                if up:
                    best = _row(p, i - 1 - step, j, reach, best, quads)
            out[i, j] = np.sqrt(best) if sure and best < np.inf else -1.0
    return out
