import numpy as np
import pytest

from processing.errors import ShapeError
from processing.geometry.mesh import Mesh
from processing.mesh_repair.fold_repair import repair_folds, span_hidden_sheets
from processing.mesh_repair.mesh_defects import find_mesh_defects, flipped_triangles, self_intersecting


@pytest.fixture
def ball(uv_sphere) -> Mesh:
    return uv_sphere(24, 50.0)


def around(mesh: Mesh, vertex: int, within_mm: float) -> np.ndarray:
    return np.linalg.norm(mesh.vertices_mm - mesh.vertices_mm[vertex], axis=1) < within_mm


@pytest.fixture
def front(ball: Mesh) -> int:
    return int(np.argmax(ball.vertices_mm @ [0.3, 0.2, 1.0]))


def test_a_sound_mesh_has_no_faults(ball: Mesh) -> None:
    motion = np.array([[0.0, 0, 1], [0, 1, 0], [-1, 0, 0]])
    everywhere = np.ones(len(ball.triangles), bool)
    turned = ball.with_vertices(1.7 * ball.vertices_mm @ motion.T + 30)
    assert find_mesh_defects(turned, ball).counts(everywhere) == {"flipped": 0, "crossing": 0, "stretched": 0}


def test_a_vertex_pulled_over_its_neighbours_is_found_and_put_back(ball: Mesh, front: int) -> None:
    broken = ball.vertices_mm.copy()
    broken[front] += [18.0, 0, -2]
    faults = find_mesh_defects(ball.with_vertices(broken), ball)
    assert faults.flipped.any()
    assert faults.stretched.any()
    touched = (ball.triangles == front).any(axis=1)
    assert not (faults.stretched & ~touched).any()
    repaired, moved = repair_folds(ball, broken)
    assert not find_mesh_defects(ball.with_vertices(repaired), ball).flipped.any()
    assert not flipped_triangles(ball, repaired).any()
    assert np.abs(repaired - ball.vertices_mm).max() < 1
    assert moved.mean() < 0.2
    np.testing.assert_array_equal(repaired[~moved], broken[~moved])


def test_crossing_triangles_are_those_that_pass_through_each_other(ball: Mesh) -> None:
    small = Mesh(ball.vertices_mm * 0.2, ball.triangles)

    def both(shift: np.ndarray) -> Mesh:
        count = len(ball.vertices_mm)
        return Mesh(
            np.concatenate([ball.vertices_mm, small.vertices_mm + shift]),
            np.concatenate([ball.triangles, small.triangles + count]),
        )

    assert not self_intersecting(both(np.zeros(3))).any()
    through = both(np.array([0, 0, 50.0]))
    found = self_intersecting(through)
    # The spheres meet in a circle at this height; every crossing triangle reaches it.
    height = (50.0**2 + 50.0**2 - 10.0**2) / 100
    corners = through.vertices_mm[through.triangles[found]][..., 2]
    assert found.sum() > 30
    assert found[: len(ball.triangles)].any()
    assert found[len(ball.triangles) :].any()
    slack = 2.0
    assert (corners.min(axis=1) < height + slack).all()
    assert (corners.max(axis=1) > height - slack).all()


def test_a_sheet_that_bulges_through_the_skin_is_spanned_anew(ball: Mesh, front: int) -> None:
    """The surface between the lids, sunk and spread until its edge comes out through them, lies down again."""
    sheet = around(ball, front, 12)
    broken = ball.vertices_mm.copy()
    out = ball.vertex_normals[front]
    along = broken[sheet] - broken[front]
    broken[sheet] = broken[front] - 4 * out + 2.5 * (along - (along @ out)[:, None] * out)
    assert find_mesh_defects(ball.with_vertices(broken), ball).self_intersecting.any()
    repaired, moved = repair_folds(ball, broken, sheet)
    left = find_mesh_defects(ball.with_vertices(repaired), ball)
    assert not left.self_intersecting.any()
    assert not left.flipped.any()
    assert np.abs(np.linalg.norm(repaired, axis=1) - 50).max() < 1.5
    assert not moved[~around(ball, front, 40)].any()


def test_spanning_leaves_everything_else(ball: Mesh, front: int) -> None:
    sheet = around(ball, front, 10)
    dented = ball.vertices_mm.copy()
    dented[sheet] *= 0.8
    spanned = span_hidden_sheets(ball.with_vertices(dented), sheet)
    assert np.abs(np.linalg.norm(spanned[sheet], axis=1) - 50).max() < 1
    far = ~around(ball, front, 25)
    np.testing.assert_array_equal(spanned[far], dented[far])


def test_closed_lips_that_went_through_each_other_are_drawn_apart(uv_sphere) -> None:
    """Two lips of one skin, pressed 1.5 mm into each other: they come apart and keep their shape elsewhere."""
    lip = uv_sphere(40, 12.0)
    count = len(lip.vertices_mm)
    upper = np.arange(2 * count) < count
    out = np.where(upper, 1.0, -1.0)[:, None] * np.array([0.0, 1, 0])
    lips = Mesh(np.tile(lip.vertices_mm, (2, 1)) + 11.25 * out, np.concatenate([lip.triangles, lip.triangles + count]))
    sound = lips.with_vertices(lips.vertices_mm + 2 * out)
    assert not self_intersecting(sound).any()
    assert self_intersecting(lips).sum() > 50
    apart, moved = repair_folds(sound, lips.vertices_mm)
    assert not self_intersecting(lips.with_vertices(apart)).any()
    assert np.linalg.norm(apart - lips.vertices_mm, axis=1).max() < 1.5
    assert apart[upper, 1].min() > apart[~upper, 1].max()
    far = np.abs(lips.vertices_mm[:, 1]) > 12
    assert np.abs((apart - lips.vertices_mm)[far]).max() < 0.06
    assert not moved[far].any()


def test_another_topology_is_refused(ball: Mesh) -> None:
    with pytest.raises(ShapeError, match="reference"):
        find_mesh_defects(ball, Mesh(ball.vertices_mm, ball.triangles[:-1]))
