"""The compiled loops over meshes give what NumPy gives."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processing.geometry.compiled_meshes import cross_products, edge_table, neighbour_sums, vertex_normals
from processing.geometry.loop_subdivision import loop_subdivided
from processing.geometry.mesh import Mesh
from processing.geometry.vertex_normals import area_weighted_normals, triangle_cross


@st.composite
def meshes(draw: st.DrawFn) -> Mesh:
    """Any triangles over a few vertices: also doubled ones, with an edge of three, and degenerate ones."""
    count, faces = draw(st.integers(3, 12)), draw(st.integers(1, 30))
    rng = np.random.default_rng(draw(st.integers(0, 1 << 30)))
    return Mesh(rng.normal(size=(count, 3)), rng.integers(0, count, (faces, 3)).astype(np.int32))


def sides(mesh: Mesh) -> np.ndarray:
    t = mesh.triangles
    return np.sort(np.stack([t[:, [0, 1]], t[:, [1, 2]], t[:, [2, 0]]], axis=1), axis=2)


@settings(max_examples=60, deadline=None)
@given(meshes())
def test_every_edge_is_there_once_and_every_side_knows_its_own(mesh: Mesh) -> None:
    edges, edge_of, faces = edge_table(mesh.triangles, len(mesh.vertices_mm))
    unique, count = np.unique(sides(mesh).reshape(-1, 2), axis=0, return_counts=True)
    assert np.array_equal(edges, unique)
    assert np.array_equal(faces, count)
    assert np.array_equal(edges[edge_of], sides(mesh))


@settings(max_examples=30, deadline=None)
@given(meshes())
def test_sums_around_vertices_are_those_of_numpy(mesh: Mesh) -> None:
    total, degree = np.zeros((len(mesh.vertices_mm), 3)), np.zeros(len(mesh.vertices_mm))
    for k in range(3):
        for other in ((k + 1) % 3, (k + 2) % 3):
            np.add.at(total, mesh.triangles[:, k], mesh.vertices_mm[mesh.triangles[:, other]])
            np.add.at(degree, mesh.triangles[:, k], 1)
    found = neighbour_sums(mesh.vertices_mm, mesh.triangles)
    np.testing.assert_allclose(found[0], total, atol=1e-12)
    assert np.array_equal(found[1], degree)


@pytest.mark.parametrize("real", [np.float32, np.float64])
@settings(max_examples=30, deadline=None)
@given(mesh=meshes())
def test_normals_are_those_of_numpy(real: type, mesh: Mesh) -> None:
    vertices = mesh.vertices_mm.astype(real)
    cross = triangle_cross(vertices, mesh.triangles)
    found = cross_products(vertices, mesh.triangles)
    assert found.dtype == real
    np.testing.assert_allclose(found, cross, atol=1e-5 if real is np.float32 else 1e-13)
    wanted = area_weighted_normals(found, mesh.triangles, len(vertices))
    np.testing.assert_allclose(vertex_normals(vertices, mesh.triangles), wanted, atol=1e-9)


def loop_by_numpy(mesh: Mesh) -> tuple[np.ndarray, np.ndarray]:
    """Loop's step edge by edge, as the paper has it."""
    v, t, count = mesh.vertices_mm, mesh.triangles, len(mesh.vertices_mm)
    edges, edge_of, faces = np.unique(sides(mesh).reshape(-1, 2), axis=0, return_inverse=True, return_counts=True)
    edge_of = edge_of.reshape(-1, 3)
    middle = v[edges].mean(axis=1)
    for e in np.flatnonzero(faces == 2):
        opposite = [v[t[f, (k + 2) % 3]] for f, k in zip(*np.nonzero(edge_of == e), strict=True)]
        middle[e] = 0.375 * v[edges[e]].sum(axis=0) + 0.125 * np.sum(opposite, axis=0)
    moved = v.copy()
    for a in range(count):
        mine = np.flatnonzero((edges == a).any(axis=1))
        outer = mine[faces[mine] != 2]
        others = np.array([v[b if c == a else c] for c, b in edges[mine]]).reshape(-1, 3)
        n = max(len(mine), 3)
        share = (0.625 - (0.375 + 0.25 * np.cos(2 * np.pi / n)) ** 2) / n
        if len(outer) == 0:
            moved[a] = v[a] * (1 - n * share) + others.sum(axis=0) * share
        elif len(outer) == 2:
            moved[a] = 0.75 * v[a] + 0.125 * others[faces[mine] != 2].sum(axis=0)
    ab, bc, ca = (count + edge_of[:, k] for k in range(3))
    corners = [(t[:, 0], ab, ca), (ab, t[:, 1], bc), (ca, bc, t[:, 2]), (ab, bc, ca)]
    return np.concatenate([moved, middle]), np.concatenate([np.stack(c, axis=1) for c in corners])


@settings(max_examples=40, deadline=None)
@given(meshes())
def test_subdivision_is_that_of_numpy(mesh: Mesh) -> None:
    t = mesh.triangles
    whole = (t[:, 0] != t[:, 1]) & (t[:, 1] != t[:, 2]) & (t[:, 2] != t[:, 0])
    mesh = Mesh(mesh.vertices_mm, t[whole])
    vertices, triangles = loop_by_numpy(mesh)
    fine = loop_subdivided(mesh)
    np.testing.assert_allclose(fine.vertices_mm, vertices, atol=1e-12)
    assert np.array_equal(fine.triangles, triangles)
