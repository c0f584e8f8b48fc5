"""Loop's subdivision: four triangles for one, smoother."""

from dataclasses import replace

import numpy as np

from common.array_types import Floats, Ints32
from processing.geometry.compilation import compiled
from processing.geometry.compiled_meshes import edge_table
from processing.geometry.mesh import Mesh


def loop_subdivided(mesh: Mesh) -> Mesh:
    """The mesh after one step of Loop (1987): V + E vertices, 4 T triangles, without colours and confidence.

    A boundary becomes a cubic B-spline of its own; where more than one boundary passes through a vertex, it stays.
    An edge of more than two triangles counts as a boundary. The vertices there were keep their numbers.
    """
    count = len(mesh.vertices_mm)
    edges, edge_of, faces = edge_table(mesh.triangles, count)
    return replace(
        mesh,
        vertices_mm=np.concatenate(
            [
                _moved(mesh.vertices_mm, edges, faces),
                _middles(mesh.vertices_mm, mesh.triangles, edges, edge_of, faces),
            ]
        ),
        triangles=_four(mesh.triangles, edge_of + np.int32(count)),
        colors=None,
        confidence=None,
    )


@compiled
def _middles(v: Floats, triangles: Ints32, edges: Ints32, edge_of: Ints32, faces: Ints32) -> Floats:
    """(E, 3) the new vertices: 3/8 of an edge's ends and 1/8 of what lies opposite, or the middle on a boundary."""
    opposite = np.zeros((len(edges), 3))
    for t in range(len(triangles)):
        for k in range(3):
            e, o = edge_of[t, k], triangles[t, (k + 2) % 3]
            for axis in range(3):
                opposite[e, axis] += v[o, axis]
    for e in range(len(edges)):
        a, b = edges[e, 0], edges[e, 1]
        for axis in range(3):
            middle = (v[a, axis] + v[b, axis]) / 2
            opposite[e, axis] = 0.75 * middle + 0.125 * opposite[e, axis] if faces[e] == 2 else middle
    return opposite


@compiled
def _moved(v: Floats, edges: Ints32, faces: Ints32) -> Floats:
    """(V, 3) the old vertices, each moved towards its neighbours; on a boundary, towards those on it alone."""
    around, along = np.zeros((len(v), 3)), np.zeros((len(v), 3))
    degree, on_boundary = np.zeros(len(v), np.int32), np.zeros(len(v), np.int32)
    for e in range(len(edges)):
        for end in range(2):
            a, b = edges[e, end], edges[e, 1 - end]
            degree[a] += 1
            on_boundary[a] += faces[e] != 2
            for axis in range(3):
                around[a, axis] += v[b, axis]
                if faces[e] != 2:
                    along[a, axis] += v[b, axis]
    out = np.empty((len(v), 3))
    for a in range(len(v)):
        n = max(degree[a], 3)
        share = (0.625 - (0.375 + 0.25 * np.cos(2 * np.pi / n)) ** 2) / n
        for axis in range(3):
            if on_boundary[a] == 0:
                out[a, axis] = v[a, axis] * (1 - n * share) + around[a, axis] * share
            elif on_boundary[a] == 2:
                out[a, axis] = 0.75 * v[a, axis] + 0.125 * along[a, axis]
            else:
                out[a, axis] = v[a, axis]
    return out


@compiled
def _four(triangles: Ints32, middle_of: Ints32) -> Ints32:
    """(4 T, 3) the corners' triangles first, then those between the middles. middle_of: (T, 3) of the sides."""
    count = len(triangles)
    out = np.empty((4 * count, 3), np.int32)
    for t in range(count):
        a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        ab, bc, ca = middle_of[t, 0], middle_of[t, 1], middle_of[t, 2]
        out[t, 0], out[t, 1], out[t, 2] = a, ab, ca
        out[count + t, 0], out[count + t, 1], out[count + t, 2] = ab, b, bc
        out[2 * count + t, 0], out[2 * count + t, 1], out[2 * count + t, 2] = ca, bc, c
        out[3 * count + t, 0], out[3 * count + t, 1], out[3 * count + t, 2] = ab, bc, ca
    return out
