"""A surface stays one surface, and its edge its edge, whatever programs did to its vertices and triangles."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processing.geometry.mesh import Mesh, submesh
from processing.geometry.surface_cleaning import cleaned_surface, coincident_vertices, edge_triangles
from processing.registration.correspondence import TargetSurface

QUIET = settings(max_examples=40, deadline=None)


def sheet(side: int = 12, hole: bool = True) -> Mesh:
    """A bent sheet of about 150 mm, with an outer edge and a hole, coloured."""
    x, y = np.meshgrid(np.linspace(-75, 75, side), np.linspace(-75, 75, side))
    vertices = np.stack([x, y, 40 * np.cos(x / 60) + 20 * np.sin(y / 50)], axis=-1).reshape(-1, 3)
    at = np.arange(side * side).reshape(side, side)
    a, b, c, d = at[:-1, :-1].ravel(), at[:-1, 1:].ravel(), at[1:, 1:].ravel(), at[1:, :-1].ravel()
    mesh = Mesh(vertices, np.concatenate([np.c_[a, b, c], np.c_[a, c, d]]))
    middle = np.linalg.norm(mesh.vertices_mm[mesh.triangles].mean(axis=1)[:, :2], axis=1)
    whole = submesh(mesh, middle > 20)[0] if hole else mesh
    return replace(whole, confidence=np.linspace(0, 1, len(whole.vertices_mm), dtype=np.float32))


def split(mesh: Mesh, chart: np.ndarray) -> Mesh:
    """Vertices of their own for each chart (T,)."""
    pairs = np.c_[mesh.triangles.ravel(), np.repeat(chart, 3)]
    found, number = np.unique(pairs, axis=0, return_inverse=True)
    at = found[:, 0]
    assert mesh.confidence is not None
    return Mesh(mesh.vertices_mm[at], number.reshape(-1, 3), confidence=mesh.confidence[at])


@QUIET
@given(st.integers(1, 40), st.integers(0, 9), st.booleans(), st.sampled_from([0.0, 2e-5]))
def test_a_seam_is_no_edge(charts: int, seed: int, soup: bool, off_mm: float) -> None:
    """off_mm: what a program's rounding moved the sides of a seam apart."""
    rng = np.random.default_rng(seed)
    mesh = sheet()
    count = len(mesh.triangles)
    cut = split(mesh, np.arange(count) if soup else rng.integers(0, charts, count))
    cut = cut.with_vertices(cut.vertices_mm + rng.uniform(-off_mm, off_mm, cut.vertices_mm.shape))
    assert np.array_equal(edge_triangles(cut), edge_triangles(mesh))
    assert len(cleaned_surface(cut).triangles) == count


@QUIET
@given(st.integers(0, 9), st.integers(1, 60), st.booleans())
def test_empty_and_repeated_triangles_share_nothing(seed: int, more: int, turned: bool) -> None:
    rng = np.random.default_rng(seed)
    mesh = sheet()
    t = mesh.triangles
    some = t[rng.integers(0, len(t), more)]
    again = some[:, ::-1] if turned else np.roll(some, 1, axis=1)
    messy = replace(mesh, triangles=np.concatenate([t, np.c_[some[:, 0], some[:, 0], some[:, 1]], again]))
    assert np.array_equal(edge_triangles(messy)[: len(t)], edge_triangles(mesh))
    clean = cleaned_surface(messy)
    assert np.array_equal(clean.triangles, t)
    assert np.array_equal(clean.confidence, mesh.confidence)


def test_the_edge_is_what_it_was_where_nothing_is_split() -> None:
    mesh = sheet()
    assert np.array_equal(edge_triangles(mesh), mesh.boundary_vertices[mesh.triangles].any(axis=1))
    assert np.array_equal(TargetSurface(mesh).at_edge, edge_triangles(mesh))
    double = replace(mesh, triangles=np.concatenate([mesh.triangles, mesh.triangles[:, ::-1]]))
    assert np.array_equal(edge_triangles(double)[: len(mesh.triangles)], edge_triangles(mesh))


@pytest.mark.parametrize("soup", [False, True])
@pytest.mark.parametrize("away_mm", [400.0, 5000.0])
def test_crumbs_far_away_are_left_out(soup: bool, away_mm: float) -> None:
    mesh = sheet()
    crumb = np.array([[away_mm, 0, 0], [away_mm + 1, 0, 0], [away_mm, 1, 0]])
    both = Mesh(
        np.concatenate([mesh.vertices_mm, crumb, [[0, -away_mm, 0]]]),
        np.concatenate([mesh.triangles, [[len(mesh.vertices_mm) + k for k in range(3)]]]),
        confidence=np.zeros(len(mesh.vertices_mm) + 4, np.float32),
    )
    both = split(both, np.arange(len(both.triangles))) if soup else both
    assert np.ptp(cleaned_surface(both).vertices_mm, axis=0) == pytest.approx(np.ptp(mesh.vertices_mm, axis=0))


def test_what_is_near_or_large_is_no_crumb() -> None:
    """Eyeballs lie by themselves; of two heads nobody can say which is meant."""
    mesh, small = sheet(), sheet(4, hole=False)
    near = small.vertices_mm * 0.1 + [0, 0, 90]
    for vertices in (near, np.add(mesh.vertices_mm, [3000, 0, 0])):
        other = small.triangles if len(vertices) == len(small.vertices_mm) else mesh.triangles
        both = Mesh(np.concatenate([mesh.vertices_mm, vertices]), np.r_[mesh.triangles, other + len(mesh.vertices_mm)])
        assert len(cleaned_surface(both).triangles) == len(both.triangles)


@pytest.mark.parametrize("unit", [1.0, 0.001, 1000.0])
def test_the_unit_of_length_does_not_matter(unit: float) -> None:
    mesh = sheet()
    small = mesh.with_vertices(mesh.vertices_mm * unit)
    assert len(cleaned_surface(small).triangles) == len(mesh.triangles)
    assert np.array_equal(edge_triangles(small), edge_triangles(mesh))


def test_points_in_one_place_have_one_number() -> None:
    rng = np.random.default_rng(0)
    points = rng.uniform(-100, 100, (200, 3))
    which = rng.integers(0, 200, 1000)
    label = coincident_vertices(points[which] + rng.uniform(-1e-6, 1e-6, (1000, 3)), 1e-4)
    first = {k: int(np.flatnonzero(which == k)[0]) for k in which}
    assert label.tolist() == [first[k] for k in which]
    assert len(coincident_vertices(points[:0], 1e-4)) == 0
