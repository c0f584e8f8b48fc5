"""Deforming maps and stretches of motions that are known."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processing.errors import MeshError, ShapeError
from processing.geometry.mesh import Mesh
from processing.geometry.uv_rasterization import texels_of
from processing.learning.detail.uv_motion import StretchMeter, TexelGrid, deforming_map


def sheet(side: int = 7) -> Mesh:
    """A square of 100 mm whose UVs are its x and y."""
    at = np.linspace(0, 1, side)
    x, y = (a.ravel() for a in np.meshgrid(at, at))
    corner = np.arange(side * side).reshape(side, side)
    a, b, c, d = (corner[i, j].ravel() for i, j in (np.s_[:-1, :-1], np.s_[:-1, 1:], np.s_[1:, 1:], np.s_[1:, :-1]))
    triangles = np.concatenate([np.c_[a, b, c], np.c_[a, c, d]]).astype(np.int32)
    return Mesh(np.c_[100 * x, 100 * y, np.zeros(len(x))], triangles, np.c_[x, y], triangles)


@settings(max_examples=20, deadline=None)
@given(st.floats(0.5, 2), st.floats(0.5, 2), st.floats(-3.1, 3.1))
def test_stretches_are_those_of_the_motion(along_u: float, along_v: float, turn: float) -> None:
    mesh = sheet()
    R = np.array([[np.cos(turn), 0, np.sin(turn)], [0, 1, 0], [-np.sin(turn), 0, np.cos(turn)]])
    moved = mesh.vertices_mm * [along_u, along_v, 1] @ R.T + [3.0, -2.0, 8.0]  # how a head moves is no stretch
    found = StretchMeter(mesh).stretch(mesh.vertices_mm, moved)
    wanted = np.log([along_u * along_v, along_u, along_v])
    np.testing.assert_allclose(found, np.tile(wanted, (len(found), 1)), atol=1e-5)


def test_the_deforming_map_is_the_motion_in_mm() -> None:
    mesh = sheet()
    grid = TexelGrid.of(mesh, texels_of(mesh, 32))
    target = mesh.vertices_mm + np.c_[0.1 * mesh.vertices_mm[:, 0], np.zeros(49), np.full(49, 2.5)]
    drawn = deforming_map(grid, mesh.vertices_mm, target)
    assert drawn.shape == (3, 32, 32)
    columns = (np.arange(32) + 0.5) / 32
    np.testing.assert_allclose(drawn[0, 4], 10 * columns, atol=1e-4)
    np.testing.assert_allclose(drawn[2], 2.5, atol=1e-5)
    window = deforming_map(grid.window(8, 4, 12, 16), mesh.vertices_mm, target)
    np.testing.assert_array_equal(window, drawn[:, 8:20, 4:20])


def test_what_does_not_fit_is_refused() -> None:
    mesh = sheet()
    with pytest.raises(MeshError, match="no UVs"):
        StretchMeter(Mesh(mesh.vertices_mm, mesh.triangles))
    with pytest.raises(ShapeError):
        StretchMeter(mesh).stretch(mesh.vertices_mm, mesh.vertices_mm[:-1])
