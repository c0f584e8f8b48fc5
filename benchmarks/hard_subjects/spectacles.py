"""Spectacles made for a head: rims, bridge and arms of three millimetres, and lenses."""

import numpy as np
from scipy.spatial import cKDTree

from common.array_types import Floats
from hard_subjects.heads import Head
from processing.geometry.mesh import Mesh, Surface

THICK_MM = 1.5  # half of the rims' thickness


def made_for(head: Head, rng: np.random.Generator) -> tuple[Mesh, Mesh]:
    """The frame and the lenses, in the rig's frame."""
    tree = cKDTree(head.average_mm)
    skin = Surface(head.mesh)

    def clear_of_skin(line: Floats) -> Floats:
        on = skin.closest(line)
        normals = head.mesh.triangle_normals[on.triangle]
        height = np.einsum("nk,nk->n", line - on.points_mm, normals)
        return np.asarray(line + normals * np.maximum(0, THICK_MM + 1 - height)[:, None])

    def place(points: Floats) -> Floats:
        return head.mesh.vertices_mm[tree.query(points)[1]]

    marks = place(head.landmarks_mm)
    right, left, bridge = marks[36:42].mean(0), marks[42:48].mean(0), marks[28]
    x = (left - right) / np.linalg.norm(left - right)
    forward = np.cross(x, marks[27] - marks[33])
    forward = forward / np.linalg.norm(forward)
    forward = forward if forward[2] > 0 else -forward
    up = np.cross(forward, x)
    wide, high, power = rng.uniform(23, 27), rng.uniform(18, 22), rng.uniform(2.0, 3.5)
    depth = max((bridge - right) @ forward, (marks[[19, 24]] - right).max(0) @ forward) + 3
    turn = np.linspace(0, 2 * np.pi, 73)[:-1]
    c, s = np.cos(turn), np.sin(turn)
    outline = np.stack([np.sign(c) * np.abs(c) ** (2 / power) * wide, np.sign(s) * np.abs(s) ** (2 / power) * high], 1)
    parts, lenses = [], []
    for eye, side in ((right, -1), (left, 1)):
        middle = eye + forward * depth + x * side * 2 - up * 3
        bow = -((outline[:, :1] / wide) ** 2) * 2.5
        rim = middle + outline[:, :1] * x + outline[:, 1:] * up + bow * forward
        parts.append(_tube(np.vstack([rim, rim[:1]])))
        lenses.append(_fan(middle, rim))
        hinge = middle + x * side * wide - forward * 2.5
        ear = place(np.array([[side * 78.0, 30.0, -5.0]]))[0] + x * side * 3 + up * 6
        parts.append(_tube(clear_of_skin(np.linspace(hinge, ear, 24))))
    ends = [e + forward * (depth + 0.5) + x * sign * (wide - 4) for e, sign in ((right, 1), (left, -1))]
    arch = np.linspace(*ends, 12) + up * 5 * np.sin(np.linspace(0, np.pi, 12))[:, None]
    return _together([*parts, _tube(arch)]), _together(lenses)


def _tube(line: Floats, sides: int = 8) -> Mesh:
    along = np.gradient(line, axis=0)
    along /= np.linalg.norm(along, axis=1, keepdims=True)
    a = np.cross(along, [0.05, 0.1, 1.0])
    a /= np.linalg.norm(a, axis=1, keepdims=True)
    b = np.cross(along, a)
    turn = np.linspace(0, 2 * np.pi, sides + 1)[:-1, None, None]
    points = (line + THICK_MM * (np.cos(turn) * a + np.sin(turn) * b)).transpose(1, 0, 2)
    i = np.arange(len(line) * sides).reshape(len(line), sides)
    p, q, r, t = i[:-1], np.roll(i, -1, 1)[:-1], np.roll(i, -1, 1)[1:], i[1:]
    triangles = np.concatenate([np.stack(k, -1).reshape(-1, 3) for k in ((p, q, r), (p, r, t))])
    return Mesh(points.reshape(-1, 3), triangles.astype(np.int32))


def _fan(middle: Floats, rim: Floats) -> Mesh:
    k = np.arange(len(rim))
    return Mesh(np.vstack([rim, middle]), np.stack([k, np.roll(k, -1), np.full_like(k, len(rim))], 1).astype(np.int32))


def _together(meshes: list[Mesh]) -> Mesh:
    starts = np.cumsum([0, *(len(m.vertices_mm) for m in meshes)])
    triangles = np.concatenate([m.triangles + at for m, at in zip(meshes, starts, strict=False)])
    return Mesh(np.concatenate([m.vertices_mm for m in meshes]), triangles)
