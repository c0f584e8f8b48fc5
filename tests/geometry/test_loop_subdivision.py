"""Loop's subdivision: counts, roundness, boundaries."""

import numpy as np

from processing.geometry.loop_subdivision import loop_subdivided
from processing.geometry.mesh import Mesh

OCTAHEDRON = Mesh(
    np.array([[1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0], [0, 0, 1], [0, 0, -1]], float),
    np.array([[0, 2, 4], [2, 1, 4], [1, 3, 4], [3, 0, 4], [2, 0, 5], [1, 2, 5], [3, 1, 5], [0, 3, 5]]),
)


def grid(side: int) -> Mesh:
    """A flat square of side x side vertices, 1 mm apart."""
    x, y = np.meshgrid(np.arange(side, dtype=float), np.arange(side, dtype=float))
    vertices = np.stack([x.ravel(), y.ravel(), np.zeros(side * side)], axis=1)
    corner = (np.arange(side - 1)[:, None] * side + np.arange(side - 1)).ravel()
    lower = np.stack([corner, corner + 1, corner + side], axis=1)
    upper = np.stack([corner + 1, corner + side + 1, corner + side], axis=1)
    return Mesh(vertices, np.concatenate([lower, upper]))


def test_a_closed_mesh_becomes_rounder_and_stays_closed_and_outward() -> None:
    mesh = OCTAHEDRON
    bends = []
    for _ in range(4):
        edges, before = 3 * len(mesh.triangles) // 2, mesh
        mesh = loop_subdivided(before)
        assert len(mesh.vertices_mm) == len(before.vertices_mm) + edges
        assert len(mesh.triangles) == 4 * len(before.triangles)
        corners = mesh.vertices_mm[mesh.triangles].mean(axis=1)
        outward = (mesh.triangle_normals * corners / np.linalg.norm(corners, axis=1, keepdims=True)).sum(axis=1)
        assert outward.min() > 0.7
        normals = mesh.vertex_normals[mesh.triangles]
        bends.append(np.degrees(np.arccos((normals * mesh.triangle_normals[:, None]).sum(axis=2).clip(-1, 1)).max()))
    assert np.all(np.diff(bends) < 0)
    assert bends[-1] < 0.3 * bends[0]
    sides = np.sort(np.concatenate([mesh.triangles[:, [0, 1]], mesh.triangles[:, [1, 2]], mesh.triangles[:, [2, 0]]]))
    assert (np.unique(sides, axis=0, return_counts=True)[1] == 2).all()


def test_a_plane_stays_a_plane_with_its_straight_sides() -> None:
    mesh = loop_subdivided(grid(5))
    assert len(mesh.vertices_mm) == 81
    assert np.abs(mesh.vertices_mm[:, 2]).max() == 0
    assert (mesh.triangle_normals[:, 2] > 0.999).all()
    for axis in (0, 1):  # the corners are rounded off, nothing between them is
        across, along = mesh.vertices_mm[:, axis], mesh.vertices_mm[:, 1 - axis]
        sides = (along > 0.9) & (along < 3.1) & (across < 0.1)
        assert sides.sum() == 5
        assert np.abs(across[sides]).max() == 0


def test_a_vertex_where_two_boundaries_meet_stays() -> None:
    bow_tie = Mesh(
        np.array([[0, 0, 0], [1, 1, 0], [1, -1, 0], [-1, 1, 0], [-1, -1, 0]], float), np.array([[0, 2, 1], [0, 3, 4]])
    )
    assert np.array_equal(loop_subdivided(bow_tie).vertices_mm[0], [0, 0, 0])
