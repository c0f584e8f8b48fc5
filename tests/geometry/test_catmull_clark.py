"""Subdivision as matrices: what must hold for any quad mesh."""

import numpy as np
import pytest

from processing.errors import MeshError
from processing.geometry.catmull_clark import limit, refine, refine_to
from processing.geometry.mesh import Mesh


def cube():
    corners = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], dtype=float)
    quads = [[0, 1, 3, 2], [4, 6, 7, 5], [0, 4, 5, 1], [2, 3, 7, 6], [0, 2, 6, 4], [1, 5, 7, 3]]
    return corners, np.array(quads, np.int32)


def grid(n=5, bend=0.0):
    x, y = np.meshgrid(np.arange(n, dtype=float), np.arange(n, dtype=float))
    vertices = np.stack([x.ravel(), y.ravel(), bend * x.ravel() ** 2], axis=1)
    at = np.arange(n * n).reshape(n, n)
    quads = np.stack([at[:-1, :-1], at[:-1, 1:], at[1:, 1:], at[1:, :-1]], axis=-1).reshape(-1, 4)
    return vertices, quads.astype(np.int32)


@pytest.mark.parametrize("shape", [cube, grid])
def test_every_new_vertex_is_an_average(shape):
    vertices, quads = shape()
    step, finer = refine(quads, len(vertices))
    assert np.allclose(step.sum(axis=1), 1)
    assert np.allclose(limit(finer, step.shape[0]).sum(axis=1), 1)
    assert len(finer) == 4 * len(quads)
    assert set(finer.ravel()) == set(range(step.shape[0]))


def test_a_flat_grid_stays_flat_and_in_place_inside():
    vertices, quads = grid()
    step, finer = refine(quads, len(vertices))
    limits = limit(finer, step.shape[0]) @ (step @ vertices)
    assert np.allclose(limits[:, 2], 0)
    inside = (vertices[:, :2] > 0).all(1) & (vertices[:, :2] < 4).all(1)
    assert np.allclose(limits[: len(vertices)][inside], vertices[inside])


def test_the_limit_does_not_depend_on_the_level():
    vertices, quads = cube()
    places = []
    now, matrix = quads, np.eye(len(vertices))
    for _ in range(3):
        step, now = refine(now, len(matrix))
        matrix = step @ matrix
        places.append((limit(now, len(matrix)) @ matrix @ vertices)[:8])
    assert np.allclose(places[0], places[1], atol=1e-12)
    assert np.allclose(places[0], places[2], atol=1e-12)


@pytest.mark.parametrize("count", [26, 40, 63, 98])
def test_any_number_of_vertices_on_a_closed_surface(count):
    vertices, quads = cube()
    refinement = refine_to(quads, vertices, 1, count, np.ones(len(quads)))
    mesh = Mesh(refinement(vertices), refinement.triangles)
    assert len(mesh.vertices_mm) == count
    assert not mesh.boundary_vertices.any()
    assert len(mesh.vertices_mm) - len(mesh.edges) + len(mesh.triangles) == 2
    assert ((mesh.triangle_normals * mesh.vertices_mm[mesh.triangles].mean(1)).sum(1) > 0).all(), "all point outwards"


def test_heavier_quads_get_more_triangles():
    vertices, quads = grid(9)
    weights = np.where(vertices[quads][..., 0].mean(1) < 4, 5.0, 1.0)
    refinement = refine_to(quads, vertices, 1, 17 * 17 + 120, weights)
    left = vertices[quads[refinement.triangle_quads]][..., 0].mean(1) < 4
    assert left.sum() > 1.5 * (~left).sum()


def test_three_quads_at_an_edge_are_refused():
    with pytest.raises(MeshError, match="more than two quads"):
        refine(np.array([[0, 1, 2, 3], [0, 1, 4, 5], [0, 1, 6, 7]], np.int32), 8)
