"""Fewer vertices of a mesh: what is kept, and that nothing turns over."""

import numpy as np
import pytest

from processing.errors import MeshError, ShapeError
from processing.geometry.mesh import Mesh, Surface
from processing.geometry.vertex_decimation import decimate
from processing.mesh_repair.mesh_defects import opposing_triangles, self_intersecting


def fewer(mesh: Mesh, count: int, **given):
    """The mesh decimated, every vertex alike, no groups, nothing kept but what is given."""
    size = len(mesh.vertices_mm)
    a = {
        "poses_mm": mesh.vertices_mm[None],
        "weight": np.ones(size),
        "groups": np.zeros(size, np.int32),
        "kept": np.zeros(size, bool),
    } | given
    return decimate(mesh, a["poses_mm"], a["weight"], a["groups"], a["kept"], count)


def uv_area(uvs, triangles) -> np.ndarray:
    a, b = uvs[triangles[:, 1]] - uvs[triangles[:, 0]], uvs[triangles[:, 2]] - uvs[triangles[:, 0]]
    return (a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]) / 2


def test_a_ball_keeps_its_shape_its_seam_and_its_whole_atlas(uv_sphere) -> None:
    ball = uv_sphere(24, 50.0)
    made = fewer(ball, 300)
    small = Mesh(ball.vertices_mm, made.triangles, ball.uvs, made.uv_triangles)
    assert len(made.vertices) == 300
    assert not self_intersecting(small).any()
    assert not opposing_triangles(small).any()
    assert not small.boundary_vertices.any()  # still closed
    assert Surface(small).closest(ball.vertices_mm).distance_mm.max() < 2.5
    area = uv_area(ball.uvs, made.uv_triangles)
    whole = uv_area(ball.uvs, ball.uv_triangles)
    assert (np.sign(area) == np.sign(whole[0])).all()
    assert abs(area.sum()) == pytest.approx(abs(whole.sum()), rel=0.03)
    # Every corner's UV is one that its vertex had.
    before = set(zip(ball.triangles.ravel().tolist(), ball.uv_triangles.ravel().tolist(), strict=True))
    assert set(zip(made.triangles.ravel().tolist(), made.uv_triangles.ravel().tolist(), strict=True)) <= before


def test_the_same_again(uv_sphere) -> None:
    ball = uv_sphere(16, 50.0)
    first, second = fewer(ball, 200), fewer(ball, 200)
    assert (first.triangles == second.triangles).all()
    assert (first.uv_triangles == second.uv_triangles).all()


def test_vertices_go_where_weight_is(uv_sphere) -> None:
    ball = uv_sphere(24, 50.0)
    front = ball.vertices_mm[:, 2] > 0
    made = fewer(ball, 400, weight=np.where(front, 1.0, 1e-3))
    assert front[made.vertices].mean() > 0.65


def test_a_pose_keeps_the_vertices_that_it_bends(uv_sphere) -> None:
    ball = uv_sphere(24, 50.0)
    bump = np.exp(-np.square(np.linalg.norm(ball.vertices_mm - [50, 0, 0], axis=1) / 12))
    bent = ball.vertices_mm + bump[:, None] * [25.0, 0, 0]
    made = fewer(ball, 300, poses_mm=np.stack([ball.vertices_mm, bent]))
    off = [
        Surface(Mesh(bent, one.triangles)).closest(bent[bump > 0.1]).distance_mm.mean()
        for one in (made, fewer(ball, 300))
    ]
    assert off[0] < 0.5 * off[1]


def test_kept_vertices_and_borders_of_groups_stay(uv_sphere) -> None:
    ball = uv_sphere(16, 50.0)
    groups = (ball.vertices_mm[:, 1] > 20).astype(np.int32)
    kept = np.zeros(len(groups), bool)
    kept[[40, 111, 222]] = True
    made = fewer(ball, 120, groups=groups, kept=kept)
    assert {40, 111, 222} <= set(made.vertices.tolist())
    for vertices in (ball.triangles, made.triangles):
        mixed = groups[vertices].any(axis=1) & ~groups[vertices].all(axis=1)
        corners = ball.vertices_mm[vertices[mixed]]
        assert corners[:, :, 1].min() > 5
        assert corners[:, :, 1].max() < 35


def test_nothing_is_asked_of_a_mesh_that_is_small_already(uv_sphere) -> None:
    ball = uv_sphere(8, 50.0)
    assert (fewer(ball, 5000).triangles == ball.triangles).all()


def test_refusals(uv_sphere) -> None:
    ball = uv_sphere(8, 50.0)
    with pytest.raises(MeshError, match="no UVs"):
        fewer(Mesh(ball.vertices_mm, ball.triangles), 50)
    with pytest.raises(ShapeError):
        fewer(ball, 50, weight=np.ones(3))
    with pytest.raises(ShapeError):
        fewer(ball, 50, poses_mm=ball.vertices_mm)
