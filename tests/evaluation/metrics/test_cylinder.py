"""The cylinder's grid, distances on it against a tree, and the depth alignment against its definition."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from round_heads import RoundHead
from scipy.optimize import minimize

from processing.evaluation.metrics.cylinder import SIDE, Placing, cylinder_map, points_of
from processing.evaluation.metrics.cylinder_scores import CylinderFaces
from processing.evaluation.metrics.depth import scale_of, shift_of
from processing.geometry.mesh import Mesh, Surface

CENTRE = Placing(1.0, np.array([0.0, -2.0, 3.0]))


def _tube(radius: float, height: float = 100.0, sides: int = 720) -> Mesh:
    angle = np.arange(sides) * 2 * np.pi / sides
    ring = np.stack([np.sin(angle), np.zeros(sides), np.cos(angle)], axis=1) * radius
    here = np.arange(sides)
    right = np.roll(here, -1)
    faces = np.r_[np.c_[here + sides, right + sides, here], np.c_[right, here, right + sides]]
    up = np.array([0, height, 0])
    return Mesh(np.r_[ring + up, ring - up], faces.astype(np.int32))


def test_a_tube_has_its_radius_and_its_heights() -> None:
    found = cylinder_map(Surface(_tube(80.0)), Placing(1.0, np.zeros(3)))
    rows = np.flatnonzero(found.known.any(axis=1))
    assert (rows[0], rows[-1]) == (43, 212)  # 150 - 43 x 300 / 255 is the first below 100
    np.testing.assert_allclose(found.radius_mm[found.known], 80.0, atol=1e-3)
    outwards = points_of(found.radius_mm)[found.known] * [1, 0, 1] / 80
    assert (np.einsum("nd,nd->n", outwards, found.normals[found.known]) > 0.9999).all()
    np.testing.assert_allclose(found.radius_mm[:, 0], found.radius_mm[:, SIDE - 1])  # the angle that is there twice


def test_the_outermost_surface_counts_and_the_other_side_never() -> None:
    outer, inner = _tube(80.0), _tube(40.0)
    both = Mesh(np.r_[outer.vertices_mm, inner.vertices_mm], np.r_[outer.triangles, inner.triangles + 1440])
    np.testing.assert_allclose(cylinder_map(Surface(both), Placing(1.0, np.zeros(3))).radius_mm[128], 80.0, atol=1e-3)
    shell = outer.vertices_mm[outer.triangles].mean(axis=1)[:, 0] > 0
    half = cylinder_map(Surface(Mesh(outer.vertices_mm, outer.triangles[shell])), Placing(1.0, np.zeros(3)))
    assert half.known[128].sum() == pytest.approx(128, abs=2)


def test_a_placed_surface_is_the_surface_moved() -> None:
    mesh = RoundHead.of(3).mesh()
    moved = mesh.with_vertices(1.3 * mesh.vertices_mm + [2.0, -1.0, 4.0])
    a = cylinder_map(Surface(mesh), Placing(1.3, np.array([2.0, -1.0, 4.0])))
    b = cylinder_map(Surface(moved), Placing(1.0, np.zeros(3)))
    same = a.known & b.known
    assert (a.known != b.known).sum() < 5
    assert np.quantile(np.abs(a.radius_mm - b.radius_mm)[same], 0.999) < 1e-6


@pytest.mark.parametrize("closed", [True, False], ids=["exact", "published"])
def test_distances_on_the_grid_are_those_of_a_tree(closed: bool) -> None:
    rng = np.random.default_rng(5)
    columns = SIDE - 1 if closed else SIDE
    maps = [cylinder_map(Surface(RoundHead.of(n).mesh()), CENTRE).radius_mm[:, :columns] for n in (1, 2)]
    maps[1] = maps[1] + rng.normal(0, 1.5, maps[1].shape) * (maps[1] != 0)
    maps[1][90:140, 100:150] = 0  # a hole, from which all is far
    maps[0][:, 10:14] *= 0.1  # near the axis
    maps[0][40:60, 30:60] *= 1.5  # steps
    faces = [CylinderFaces.of(np.ascontiguousarray(radius), closed=closed) for radius in maps]
    for a, b in (faces, faces[::-1]):
        found = a.distances_to(b)[a.used]
        tree = Surface(b.as_mesh()).closest(a.points[a.used]).distance_mm
        np.testing.assert_allclose(found, tree, atol=2e-4)


def test_faces_with_long_edges_are_left_out() -> None:
    radius = np.full((SIDE, SIDE - 1), 80.0)
    radius[:, 100:] = 96.0
    exact = CylinderFaces.of(radius, closed=True)
    assert not exact.faces[:, 99].any()
    assert not exact.faces[:, 254].any()  # closed around the axis: the other step
    assert exact.faces[:-1, :99].all()
    assert not exact.faces[-1].any()


@settings(max_examples=40)
@given(st.lists(st.floats(-40, 40), min_size=1, max_size=60), st.floats(-300, 300), st.integers(0, 2**32 - 1))
def test_shift_and_scale_are_the_best(errors: list[float], away: float, seed: int) -> None:
    true = 1000 + np.random.default_rng(seed).normal(0, 40, len(errors))
    predicted = true - away + errors

    def off(z: float) -> float:
        return float(np.abs(true - z - predicted).sum())

    def off_by(s: float) -> float:
        return float(np.abs(true - s * predicted).sum())

    shift, scale = shift_of(true, predicted), scale_of(true, predicted)
    for other in true - predicted:
        assert off(shift) <= off(float(other)) + 1e-6
    for other in true / predicted:
        assert off_by(scale) <= off_by(float(other)) + 1e-6


def test_the_published_minimiser_ends_at_the_median() -> None:
    """SLSQP from 0 with derivatives by differences, as the public evaluator calls it, on faces' depths."""
    rng = np.random.default_rng(1)
    for _ in range(6):
        true = 1481 + rng.normal(0, 40, 12_000)
        predicted = true - rng.normal(0, 40) + rng.normal(0, 3, len(true)) + 0.02 * (true - 1481)
        z = minimize(lambda z, a, b: np.sum(np.abs(a - z - b)), 0, args=(true, predicted), method="SLSQP").x[0]
        assert shift_of(true, predicted) == pytest.approx(z, abs=1e-3)
