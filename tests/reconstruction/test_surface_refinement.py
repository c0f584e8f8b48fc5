"""Detail: a surface that is nearly right is moved to where the photographs agree."""

from concurrent.futures import Executor
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from processing.geometry.mesh import Mesh, Surface
from processing.reconstruction.image_regions import Region
from processing.reconstruction.multi_view_stereo import reconstruct
from processing.reconstruction.settings import Scan
from processing.reconstruction.stereo_views import StereoViews
from processing.reconstruction.surface_reconstruction import SurfaceVertices
from processing.reconstruction.surface_refinement import Correction, agreed_move, moves, refine_surface, vertices_facing


def skin_of(points: np.ndarray, normals: np.ndarray) -> SurfaceVertices:
    p, n = points.astype(np.float32), normals.astype(np.float32)
    return SurfaceVertices(p, n, (p * n).sum(axis=1))


def seen_squarely(mesh: Mesh) -> np.ndarray:
    """(V,) vertices of the egg's front, which all cameras see."""
    return np.asarray((mesh.vertex_normals[:, 2] > 0.6) & (np.abs(mesh.vertices_mm[:, 1]) < 50))


def test_ripples_that_the_photographs_do_not_show_are_taken_away(
    scene: Any, rig: StereoViews, pool: Executor, tools: Any
) -> None:
    height = 0.3 * tools.footprint_mm * np.sin(scene.mesh.vertices_mm @ [0.2, 0.24, 0.16])
    wrong = scene.mesh.with_vertices(scene.mesh.vertices_mm + height[:, None] * scene.mesh.vertex_normals)
    there, truth = seen_squarely(scene.mesh), Surface(scene.mesh)
    before = truth.closest(wrong.vertices_mm[there]).distance_mm.mean()
    better = refine_surface(refine_surface(wrong, wrong.triangles, rig, pool), wrong.triangles, rig, pool)
    assert truth.closest(better.vertices_mm[there]).distance_mm.mean() < 0.4 * before
    assert np.array_equal(better.triangles, wrong.triangles)


def test_what_no_camera_sees_stays(scene: Any, rig: StereoViews, pool: Executor) -> None:
    moved = refine_surface(scene.mesh, scene.mesh.triangles, rig, pool).vertices_mm - scene.mesh.vertices_mm
    behind = scene.mesh.vertex_normals[:, 2] < -0.5
    assert np.abs(moved[behind]).max() == 0
    assert np.abs(moved[seen_squarely(scene.mesh)]).max() > 0


@pytest.mark.parametrize("tilt_deg", [0.0, 40.0])
def test_an_offset_of_depth_moves_a_plane_by_its_foreshortened_length(rig: StereoViews, tilt_deg: float) -> None:
    camera = rig.pyramids[0].levels[0][1]
    axis, tilt = camera.viewing_direction, np.radians(tilt_deg)
    normal = -np.cos(tilt) * axis + np.sin(tilt) * camera.R[0]
    across = np.cross(normal, camera.R[1])
    u, v = np.meshgrid(np.linspace(-10, 10, 9), np.linspace(-10, 10, 9))
    middle = camera.centre + 600 * axis
    plane = middle + u.reshape(-1, 1) * across + v.reshape(-1, 1) * camera.R[1]
    whole = Region(0, camera.height, 0, camera.width)
    rays = camera.rays(
        np.stack(np.meshgrid(np.arange(camera.width), np.arange(camera.height)), -1).reshape(-1, 2) * 1.0
    )
    depth = ((middle - camera.centre) @ normal) / (rays @ normal) * (rays @ axis)
    shape = camera.height, camera.width
    asked = Correction(camera, whole, depth.reshape(shape).astype(np.float32), np.full(shape, 0.5, np.float32),
                       np.ones(shape, np.float32))  # fmt: skip
    normals = np.broadcast_to(normal, plane.shape).astype(np.float32)
    facing = vertices_facing(camera, skin_of(plane, normals))
    index, move, _ = moves(asked, facing, 0.5)
    assert len(index) == len(plane)
    # The view in two bands: each vertex is moved in one of them, as in the whole.
    halves = [moves(asked, facing.between(*rows), 0.5) for rows in ((0, shape[0] // 2), (shape[0] // 2, shape[0]))]
    assert all(len(half[0]) < len(plane) for half in halves)
    assert np.array_equal(np.sort(np.concatenate([half[0] for half in halves])), np.sort(index))
    assert np.array_equal(
        np.concatenate([half[1] for half in halves])[np.argsort(np.concatenate([half[0] for half in halves]))],
        move[np.argsort(index)],
    )
    moved = plane[index] + move[:, None] * normal
    # The plane that moved is the one whose depth is 0.5 mm greater along every ray.
    distance = np.linalg.norm(plane[index] - camera.centre, axis=1)
    directions = (plane[index] - camera.centre) / distance[:, None]
    deeper = plane[index] + 0.5 * directions / (directions @ axis)[:, None]
    assert np.abs(((moved - deeper) * normal).sum(axis=1)).max() < 1e-3


def test_a_vertex_behind_the_rendered_surface_is_not_moved_by_the_view(rig: StereoViews) -> None:
    camera = rig.pyramids[0].levels[0][1]
    shape = camera.height, camera.width
    asked = Correction(camera, Region(0, shape[0], 0, shape[1]), np.full(shape, 600, np.float32),
                       np.ones(shape, np.float32), np.ones(shape, np.float32))  # fmt: skip
    points = (camera.centre + np.array([[600.0], [640.0]]) * camera.viewing_direction).astype(np.float32)
    normals = np.tile(-camera.viewing_direction, (2, 1)).astype(np.float32)
    index, _, _ = moves(asked, vertices_facing(camera, skin_of(points, normals)), 2.0)
    assert index.tolist() == [0]


def test_views_that_agree_move_a_vertex_and_views_that_do_not_leave_it() -> None:
    moves_mm = np.array([[0.1, 0.1, 0.1, 0.1], [0.4, -0.3, 0.35, -0.35], [0.2, np.nan, np.nan, np.nan]])
    w = np.isfinite(moves_mm) * 0.5
    m = np.nan_to_num(moves_mm)
    sums = [x.sum(axis=1).astype(np.float32) for x in (w, w * w, w * m, w * m * m)]
    agree, scatter, alone = agreed_move(*sums)
    assert agree == pytest.approx(0.1, rel=1e-3)
    assert abs(scatter) < 0.002
    assert alone == 0


def test_passes_of_detail_bring_the_scan_nearer_to_the_truth(
    scene: Any, scan: Scan, truth: np.ndarray, tools: Any
) -> None:
    plain = reconstruct(scene.images, scene.cameras, settings=replace(tools.quick, detail_passes=0))
    assert len(plain.mesh.vertices_mm) == len(scan.mesh.vertices_mm)
    assert np.median(tools.distances(truth, scan)) < 0.95 * np.median(tools.distances(truth, plain))
