"""Depth propagation: confirmed surface grows into places where the common start is wrong."""

from concurrent.futures import Executor
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from processing.reconstruction.depth_fusion import DepthMap
from processing.reconstruction.depth_maps import refine_all
from processing.reconstruction.depth_propagation import REACH_PX, extended, propagate
from processing.reconstruction.stereo_views import StereoViews
from processing.reconstruction.surface_reconstruction import RenderedSurface


@settings(max_examples=30, deadline=None)
@given(
    slope=st.tuples(st.floats(-1, 1), st.floats(-1, 1)),
    width=st.integers(12, 20),
    left=st.integers(0, 30),
)
def test_a_plane_is_continued_as_far_as_it_reaches(slope: tuple[float, float], width: int, left: int) -> None:
    y, x = np.mgrid[:40, :90]
    plane = (1000 + slope[0] * x + slope[1] * y).astype(np.float32)
    sure = np.zeros(plane.shape, np.bool_)
    sure[4:36, left : left + width] = True
    found, near = extended(np.where(sure, plane, np.float32(np.nan)), sure, 0.5)
    beside = near & (y > 10) & (y < 30)
    assert beside[20, left + width + REACH_PX - 4]
    assert not near[20, left + width + REACH_PX :].any()
    off = np.abs(found - plane)[beside]
    assert np.median(off) < 0.1 * REACH_PX * max(map(abs, slope)) + 0.01


def test_where_nothing_is_confirmed_nothing_is_proposed() -> None:
    depth = np.full((20, 30), np.nan, np.float32)
    assert not extended(depth, np.zeros(depth.shape, np.bool_), 0.5)[1].any()


def test_a_cavity_is_filled_from_its_confirmed_part(scene: Any, rig: StereoViews, pool: Executor, tools: Any) -> None:
    truth, pixel = RenderedSurface(scene.mesh), rig.volume.footprint_mm
    before = refine_all(rig, pixel, truth, None, pool, lambda: None)
    lid = scene.mesh.with_vertices(scene.mesh.vertices_mm + np.array([0, 0, 15.0]))  # the start lies before it all
    cap = RenderedSurface(lid)
    damaged: dict[int, DepthMap] = {}
    places = {}
    for view, m in before.items():
        depth = m.depth.copy()
        rows, columns = np.nonzero(np.isfinite(depth))
        top, side = int(np.median(rows)), int(np.median(columns))
        hole = np.zeros(depth.shape, np.bool_)
        hole[top - 6 : top + 6, side - 6 : side + 6] = True
        places[view] = hole & np.isfinite(depth)
        damaged[view] = DepthMap(m.camera, m.region, np.where(hole, np.float32(np.nan), depth), m.score.copy())
    propagate(rig, damaged, pixel, 1.5 * pixel, cap, pool)
    for view in (2, 3, 8, 9):
        m, hole = damaged[view], places[view]
        true = truth.depth(m.camera)[m.region.rows, m.region.columns]
        assert (np.abs(m.depth - true)[hole] < tools.footprint_mm).mean() > 0.6
        other = ~hole & np.isfinite(before[view].depth)
        assert (np.abs(m.depth - before[view].depth)[other] < 2 * tools.footprint_mm).mean() > 0.98
