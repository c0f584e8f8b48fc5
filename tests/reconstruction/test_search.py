"""The wider search: what the surface of a coarser level spans is found behind it."""

from concurrent.futures import Executor
from typing import Any

import numpy as np
import pytest

from processing.mesh import Mesh
from processing.reconstruction.depth_maps import Rig, refine_all, search_wider
from processing.reconstruction.matching import Region, tiles
from processing.reconstruction.surface import RenderedSurface


def spanned(mesh: Mesh, rise_mm: float, radius_mm: float) -> Mesh:
    """The mesh with a cap before a part of its front, as a surface through too coarse windows has over a cavity."""
    v = mesh.vertices_mm.copy()
    from_middle = np.linalg.norm(v[:, :2] - [5.0, 8.0], axis=1)
    v[:, 2] += np.where((v[:, 2] > 0) & (from_middle < radius_mm), rise_mm, 0)
    return mesh.with_vertices(v)


def test_what_lies_behind_a_cap_is_found(scene: Any, rig: Rig, pool: Executor, tools: Any) -> None:
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
    for tile in tiles(mask, 24, share):
        times[tile.rows, tile.columns] += 1
        assert mask[tile.rows, tile.columns].any()
    assert times.max() == 1
    if share == 0:
        assert (times[mask] == 1).all()


def test_a_grown_region_stays_in_the_image_and_knows_its_middle() -> None:
    values = np.arange(20 * 30).reshape(20, 30)
    inner = Region(0, 5, 24, 29)
    outer = inner.grown(3, values.shape)
    assert (outer.y0, outer.y1, outer.x0, outer.x1) == (0, 8, 21, 30)
    assert np.array_equal(values[outer.rows, outer.columns][inner.within(outer)], values[inner.rows, inner.columns])
