"""Compiled loops over triangle meshes of millions: edges, sums around vertices, normals.

Read them with `compilation.py` in mind: nothing checks that an index is within an array.
"""

import numpy as np
from numpy.typing import NDArray

from common.array_types import Floats, Ints32
from processing.geometry.compilation import compiled


@compiled
def edge_table(triangles: Ints32, count: int) -> tuple[Ints32, Ints32, Ints32]:
    """(E, 2) each edge once, the lower vertex first, sorted; (T, 3) the edge of the sides 01, 12, 20 of each triangle;
    (E,) how many triangles have it.

    triangles: (T, 3).  count: vertices.
    """
    start = np.zeros(count + 1, np.int64)
    for t in range(len(triangles)):
        for k in range(3):
            start[min(triangles[t, k], triangles[t, (k + 1) % 3]) + 1] += 1
    for v in range(count):
        start[v + 1] += start[v]
    filled = start[:-1].copy()
    sides = np.empty(3 * len(triangles), np.int64)
    for t in range(len(triangles)):
        for k in range(3):
            low = min(triangles[t, k], triangles[t, (k + 1) % 3])
            sides[filled[low]] = 3 * t + k
            filled[low] += 1
    edges = np.empty((3 * len(triangles), 2), np.int32)
    faces = np.zeros(3 * len(triangles), np.int32)
    edge_of = np.empty((len(triangles), 3), np.int32)
    number = 0
    for v in range(count):
        first = number
        for s in range(start[v], start[v + 1]):
            t, k = sides[s] // 3, sides[s] % 3
            high = max(triangles[t, k], triangles[t, (k + 1) % 3])
            at = first
            while at < number and edges[at, 1] < high:
                at += 1
            if at == number or edges[at, 1] != high:
                for e in range(number, at, -1):
                    edges[e, 1] = edges[e - 1, 1]
                edges[at, 1] = high
                number += 1
        for e in range(first, number):
            edges[e, 0] = v
        for s in range(start[v], start[v + 1]):
            t, k = sides[s] // 3, sides[s] % 3
            high = max(triangles[t, k], triangles[t, (k + 1) % 3])
            at = first
            while edges[at, 1] != high:
                at += 1
            edge_of[t, k] = at
            faces[at] += 1
    return edges[:number].copy(), edge_of, faces[:number].copy()


@compiled
def neighbour_sums(vertices_mm: Floats, triangles: Ints32) -> tuple[Floats, Floats]:
    """(V, 3) sums of the other corners of a vertex's triangles, and (V,) of how many."""
    total, degree = np.zeros_like(vertices_mm), np.zeros(len(vertices_mm))
    for t in range(len(triangles)):
        for k in range(3):
            a, b, c = triangles[t, k], triangles[t, (k + 1) % 3], triangles[t, (k + 2) % 3]
            degree[a] += 2
            for axis in range(3):
                total[a, axis] += vertices_mm[b, axis] + vertices_mm[c, axis]
    return total, degree


@compiled
def cross_products(vertices_mm: NDArray[np.floating], triangles: Ints32) -> NDArray[np.floating]:
    """(T, 3) as `vertex_normals.triangle_cross`."""
    cross = np.empty((len(triangles), 3), vertices_mm.dtype)
    for t in range(len(triangles)):
        i, j, k = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        ax, bx = vertices_mm[j, 0] - vertices_mm[i, 0], vertices_mm[k, 0] - vertices_mm[i, 0]
        ay, by = vertices_mm[j, 1] - vertices_mm[i, 1], vertices_mm[k, 1] - vertices_mm[i, 1]
        az, bz = vertices_mm[j, 2] - vertices_mm[i, 2], vertices_mm[k, 2] - vertices_mm[i, 2]
        cross[t, 0], cross[t, 1], cross[t, 2] = ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx
    return cross


@compiled
def vertex_normals(vertices_mm: NDArray[np.floating], triangles: Ints32) -> Floats:
    """(V, 3) as `vertex_normals.area_weighted_normals` of `triangle_cross`."""
    cross, total = cross_products(vertices_mm, triangles), np.zeros((len(vertices_mm), 3))
    for t in range(len(triangles)):
        for k in range(3):
            v = triangles[t, k]
            total[v, 0] += cross[t, 0]
            total[v, 1] += cross[t, 1]
            total[v, 2] += cross[t, 2]
    for v in range(len(total)):
        length = max(np.sqrt(total[v, 0] ** 2 + total[v, 1] ** 2 + total[v, 2] ** 2), 1e-20)
        total[v] /= length
    return total
