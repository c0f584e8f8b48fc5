"""A whole scan by the torch kernels beside one by OpenCV's: sweep, levels, wider search, detail."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from processing.geometry.mesh import Surface
from processing.reconstruction.depth_maps import refine_all
from processing.reconstruction.multi_view_stereo import reconstruct
from processing.reconstruction.settings import Scan
from processing.reconstruction.stereo_matching import OpenCvKernels
from processing.reconstruction.stereo_matching_torch import TorchKernels
from processing.reconstruction.stereo_views import StereoViews
from processing.reconstruction.surface_reconstruction import RenderedSurface
from processing.reconstruction.surface_refinement import correction
from processing.reconstruction.wider_search import search_wider

VIEWS = [2, 3]


class Counted(TorchKernels):
    """Torch kernels that remember what they were asked: (reach, window) of each search."""

    def __init__(self) -> None:
        super().__init__("cpu")
        self.asked: set[tuple[int, int]] = set()

    def refine(self, *given: Any, **named: Any) -> tuple[np.ndarray, np.ndarray]:
        search = given[4]
        self.asked.add((search.reach, search.window))
        return super().refine(*given, **named)


@pytest.fixture(scope="module")
def rigs(rig: StereoViews) -> Sequence[StereoViews]:
    settings = replace(rig.settings, min_consistent=1)  # of two views, one can confirm the other
    return [replace(rig, kernels=k, depth_views=VIEWS, settings=settings) for k in (OpenCvKernels(), Counted())]


def test_the_wider_search_finds_the_same(scene: Any, rigs: Sequence[StereoViews], pool: Any, tools: Any) -> None:
    pixel = rigs[0].volume.footprint_mm
    v = scene.mesh.vertices_mm.copy()
    v[:, 2] += np.where((v[:, 2] > 0) & (np.linalg.norm(v[:, :2] - [5.0, 8.0], axis=1) < 15), 18.0, 0)
    cap = RenderedSurface(scene.mesh.with_vertices(v))
    found = []
    for one in rigs:
        maps = refine_all(one, pixel, cap, None, pool, lambda: None)
        found.append(search_wider(one, maps, pixel, 1.5 * pixel, cap, pool))
    for view in VIEWS:
        opencv, torch = (maps[view] for maps in found)
        both = np.isfinite(opencv.depth) & np.isfinite(torch.depth)
        assert (np.isfinite(opencv.depth) == np.isfinite(torch.depth)).mean() > 0.99
        assert (np.abs(opencv.depth - torch.depth)[both] < 0.1 * tools.footprint_mm).mean() > 0.97
        assert np.abs(opencv.score - torch.score)[both].mean() < 0.01
    kernels = rigs[1].kernels
    assert isinstance(kernels, Counted)
    assert (36, 5) in kernels.asked  # the wide search itself, not only the levels


def test_the_pass_of_detail_asks_for_the_same(scene: Any, rigs: Sequence[StereoViews], tools: Any) -> None:
    surface = RenderedSurface(scene.mesh)
    region = surface.region(rigs[0].pyramids[3].levels[0][1], 4)
    assert region is not None
    opencv, torch = (correction(one, 3, surface, region) for one in rigs)
    assert opencv is not None
    assert torch is not None
    both = (opencv.weight > 0) & (torch.weight > 0)
    assert ((opencv.weight > 0) == (torch.weight > 0)).mean() > 0.99
    assert np.percentile(np.abs(opencv.offset - torch.offset)[both], 95) < 0.02 * tools.footprint_mm


@pytest.mark.slow
def test_a_scan_by_torch_is_the_scan_by_opencv(scene: Any, scan: Scan, truth: np.ndarray, tools: Any) -> None:
    by_torch = reconstruct(scene.images, scene.cameras, settings=tools.quick, device="cpu:0")  # "cpu" is OpenCV
    apart = Surface(scan.mesh).closest(by_torch.mesh.vertices_mm).distance_mm
    assert np.percentile(apart, 95) < 0.05 * tools.footprint_mm
    assert abs(len(by_torch.mesh.vertices_mm) / len(scan.mesh.vertices_mm) - 1) < 0.02
    errors = [tools.distances(truth, one) for one in (scan, by_torch)]
    assert abs(errors[1].mean() - errors[0].mean()) < 0.005 * tools.footprint_mm
