"""The wider search: what the surface of a coarser level spans is found behind it."""

from concurrent.futures import Executor
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from processing.geometry.mesh import Mesh
from processing.reconstruction import depth_maps, wider_search
from processing.reconstruction.depth_fusion import OrientedPoints
from processing.reconstruction.depth_maps import Fusion, fuse, refine_all
from processing.reconstruction.stereo_views import Maps, StereoViews
from processing.reconstruction.surface_reconstruction import RenderedSurface
from processing.reconstruction.tile_atlas import Atlas, tiles
from processing.reconstruction.wider_search import search_wider


def spanned(mesh: Mesh, rise_mm: float, radius_mm: float) -> Mesh:
    """The mesh with a cap before a part of its front, as a surface through too coarse windows has over a cavity."""
    v = mesh.vertices_mm.copy()
    from_middle = np.linalg.norm(v[:, :2] - [5.0, 8.0], axis=1)
    v[:, 2] += np.where((v[:, 2] > 0) & (from_middle < radius_mm), rise_mm, 0)
    return mesh.with_vertices(v)


def test_what_lies_behind_a_cap_is_found(scene: Any, rig: StereoViews, pool: Executor, tools: Any) -> None:
    cap, truth = RenderedSurface(spanned(scene.mesh, 18.0, 15.0)), RenderedSurface(scene.mesh)
    pixel = rig.volume.footprint_mm
    maps = refine_all(rig, pixel, cap, None, pool, lambda: None)
    wider = search_wider(rig, maps, pixel, 1.5 * pixel, cap, pool)

    def share_right(view: int, depth: np.ndarray) -> tuple[float, float]:
        camera, region = maps[view].camera, maps[view].region
        true, start = (s.depth(camera)[region.rows, region.columns] for s in (truth, cap))
        under = np.isfinite(true) & (true - start > 8)
        right = np.abs(depth - true) < tools.footprint_mm
        elsewhere = np.isfinite(true) & (np.abs(true - start) < 0.1)
        return float(right[under].mean()), float(right[elsewhere].mean())

    for view in (2, 3, 8, 9):
        before, elsewhere = share_right(view, maps[view].depth)
        after, elsewhere_after = share_right(view, wider[view].depth)
        assert before < 0.2
        assert after > 0.6
        assert elsewhere_after > elsewhere - 0.01


def test_a_surface_met_from_behind_is_told_from_nothing(scene: Any) -> None:
    mesh = scene.mesh
    front = mesh.triangle_normals[:, 2] > 0
    camera = scene.cameras[2].pinhole()
    whole = RenderedSurface(mesh).depth(camera)
    behind = RenderedSurface(Mesh(mesh.vertices_mm, mesh.triangles[~front])).depth(camera)
    middle = camera.height // 2, camera.width // 2
    assert np.isfinite(whole[middle])
    assert np.isposinf(behind[middle])
    assert np.isnan(behind[0, 0])


@pytest.mark.parametrize("share", [0.0, 0.3])
def test_tiles_cover_what_is_set_once(share: float) -> None:
    mask = np.zeros((70, 95), np.bool_)
    mask[10:40, 20:60] = mask[66:, 90:] = True
    times = np.zeros(mask.shape, int)
    for y, x in tiles(mask, 24, share):
        times[y : y + 24, x : x + 24] += 1
        assert mask[y : y + 24, x : x + 24].any()
    assert times.max() == 1
    if share == 0:
        assert (times[mask] == 1).all()


def test_an_atlas_takes_tiles_with_their_surroundings_and_puts_back_the_tiles_alone() -> None:
    values = np.arange(50 * 70, dtype=np.float32).reshape(50, 70)
    atlas = Atlas.of(np.array([[0, 0], [24, 48], [48, 0]]), 24, 3)  # the last two reach beyond the values
    patches = atlas.each(atlas.taken(values))
    assert np.array_equal(patches[1][:, :25], values[21:51, 45:70][[*range(29), 28]])  # its edge repeated
    assert np.array_equal(atlas.laid_out(patches), atlas.taken(values))
    into = np.zeros_like(values)
    atlas.put(atlas.taken(values) + 1, into, np.ones(atlas.x.shape, np.bool_))
    inside = np.zeros(values.shape, np.bool_)
    inside[:24, :24] = inside[24:48, 48:] = inside[48:, :24] = True
    assert np.array_equal(into, np.where(inside, values + 1, 0))


@pytest.mark.parametrize("count", [1, 15, 16, 33])
def test_an_atlas_has_room_for_every_tile(count: int) -> None:
    corners = np.stack([24 * np.arange(count), np.zeros(count, int)], axis=1)
    atlas = Atlas.of(corners, 24, 2)
    assert np.array_equal(atlas.each(atlas.y.astype(np.float32))[:count, 2, 0], corners[:, 0])


def test_a_view_matched_tile_by_tile_is_the_view_matched_whole(
    scene: Any, rig: StereoViews, pool: Executor, tools: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    cap, pixel = RenderedSurface(spanned(scene.mesh, 18.0, 15.0)), rig.volume.footprint_mm
    two = replace(rig, depth_views=[2, 3], settings=replace(rig.settings, min_consistent=1))

    def maps() -> tuple[Maps, OrientedPoints]:
        found = refine_all(two, pixel, cap, None, pool, lambda: None)
        found = search_wider(two, found, pixel, 1.5 * pixel, cap, pool)
        return found, fuse(two, found, Fusion(pixel, 1, pixel, 3), pool)

    whole, points = maps()
    for module in (depth_maps, wider_search):
        monkeypatch.setattr(module, "TILE_PIXELS", 9000)  # about 60 of 150 rows
    parts, points_of_parts = maps()
    for view in (2, 3):
        one, other = whole[view], parts[view]
        assert (np.isfinite(one.depth) == np.isfinite(other.depth)).mean() > 0.995
        both = np.isfinite(one.depth) & np.isfinite(other.depth)
        assert (np.abs(one.depth - other.depth)[both] < 0.01 * tools.footprint_mm).mean() > 0.97
    assert abs(len(points_of_parts) / len(points) - 1) < 0.01
