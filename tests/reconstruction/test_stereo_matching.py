"""The kernels: correlation along rays, on the CPU and in torch."""

from typing import Any

import numpy as np
import pytest

from processing.geometry.mesh import Surface
from processing.reconstruction.depth_fusion import DepthMap, agreement, merge_points, oriented_points
from processing.reconstruction.image_pyramid import Pyramid, pyramid
from processing.reconstruction.image_regions import Region, bands
from processing.reconstruction.scratch_files import Scratch
from processing.reconstruction.settings import ReconstructionSettings
from processing.reconstruction.stereo_matching import DepthSearch, Kernels, OpenCvKernels, best_mean, peak
from processing.reconstruction.stereo_matching_compiled import CompiledKernels
from processing.reconstruction.stereo_matching_torch import TorchKernels
from processing.reconstruction.surface_reconstruction import RenderedSurface, clipped_region, filled, known_bounds


@pytest.fixture(scope="module")
def pyramids(scene: Any) -> list[Pyramid]:
    return [
        pyramid(i, c, np.zeros(3), ReconstructionSettings(), Scratch(1e9))
        for i, c in zip(scene.images, scene.cameras, strict=True)
    ]


@pytest.fixture(scope="module")
def true_depths(scene: Any, pyramids: list[Pyramid]) -> list[np.ndarray]:
    surface = RenderedSurface(scene.mesh)
    return [surface.depth(p.levels[0][1]) for p in pyramids]


KERNELS = [OpenCvKernels(), CompiledKernels(), TorchKernels("cpu")]
NAMES = ["opencv", "compiled", "torch"]


def inside(depth: np.ndarray, margin: int) -> np.ndarray:
    """Pixels whose window lies on the subject and is seen from the front."""
    import cv2

    known = np.isfinite(depth).astype(np.uint8)
    return cv2.erode(known, np.ones((2 * margin + 1, 2 * margin + 1), np.uint8), borderValue=0) > 0


@pytest.mark.parametrize("kernels", KERNELS, ids=NAMES)
def test_refine_finds_the_surface_from_two_steps_away(
    kernels: Kernels, pyramids: list[Pyramid], true_depths: list[np.ndarray], tools: Any
) -> None:
    image, camera = pyramids[2].levels[0]
    others = [pyramids[k].levels[0] for k in (1, 3, 8, 7, 9)]
    truth = true_depths[2]
    bounds = known_bounds(truth)
    assert bounds is not None
    region = clipped_region(bounds, 3, *truth.shape)
    assert region is not None
    cut = truth[region.y0 : region.y1, region.x0 : region.x1]
    depth, score = kernels.refine(region.of(image), camera, others, filled(cut) + 3.0, DepthSearch(1.5, 3, 7, 3))
    there = inside(cut, 10)
    error = np.abs(depth - cut)[there]
    assert np.median(error) < 0.15 * tools.footprint_mm
    assert np.median(score[there]) > 0.9


@pytest.mark.parametrize("kernels", KERNELS, ids=NAMES)
def test_sweep_finds_the_subject_without_a_start(
    kernels: Kernels, pyramids: list[Pyramid], true_depths: list[np.ndarray], tools: Any
) -> None:
    image, camera = pyramids[2].levels[0]
    others = [pyramids[k].levels[0] for k in (1, 3, 8, 7, 9)]
    planes = 1 / np.linspace(1 / 480, 1 / 720, 80)
    depth, score = kernels.sweep(image, camera, others, planes, 7, 3)
    there = inside(true_depths[2], 12)
    error = np.abs(depth - true_depths[2])[there]
    assert np.median(error) < 1.0 * tools.footprint_mm
    assert score[there].mean() > score[~np.isfinite(true_depths[2])].mean() + 0.3


def test_torch_and_opencv_agree(pyramids: list[Pyramid], true_depths: list[np.ndarray], tools: Any) -> None:
    image, camera = pyramids[5].levels[0]
    others = [pyramids[k].levels[0] for k in (4, 3, 10, 11)]
    region = Region(60, 180, 40, 120)
    start = filled(true_depths[5][60:180, 40:120])
    one, two = (KERNELS[k].refine(region.of(image), camera, others, start, DepthSearch(1.0, 3, 7, 3)) for k in (0, 2))
    there = inside(true_depths[5][60:180, 40:120], 6)
    assert np.median(np.abs(one[0] - two[0])[there]) < 0.02 * tools.footprint_mm
    assert np.abs(one[1] - two[1])[there].mean() < 0.01


@pytest.mark.parametrize("kernels", KERNELS, ids=NAMES)
def test_a_wide_search_finds_a_surface_a_twelfth_nearer_where_it_is(
    kernels: Kernels, pyramids: list[Pyramid], true_depths: list[np.ndarray], tools: Any
) -> None:
    image, camera = pyramids[2].levels[0]
    others = [pyramids[k].levels[0] for k in (1, 3, 8, 7, 9)]
    region, cut = Region(60, 180, 40, 120), true_depths[2][60:180, 40:120]
    depth, _ = kernels.refine(region.of(image), camera, others, filled(cut) + 50.0, DepthSearch(2.0, 30, 7, 3))
    assert np.median(np.abs(depth - cut)[inside(cut, 10)]) < 0.3 * tools.footprint_mm  # to first order: 3.5 mm off


@pytest.mark.parametrize("rows", [1, 40, 400])
def test_bands_cover_each_row_once(rows: int) -> None:
    times = np.zeros(400, int)
    for band in bands((400, 50), rows * 50, 3, least=24):
        times[band.kept] += 1
        assert band.kept.start % 24 == 0
        assert np.array_equal(np.arange(400)[band.around][band.within], np.arange(400)[band.kept])
        assert band.around.start == max(band.kept.start - 3, 0)
        assert band.around.stop == min(band.kept.stop + 3, 400)
    assert (times == 1).all()


@pytest.mark.parametrize("best", [1, 3, 5, 9])
def test_best_mean_is_the_mean_of_the_highest(best: int) -> None:
    scores = np.random.default_rng(best).random((5, 20, 30), dtype=np.float32)
    wanted = np.sort(scores, axis=0)[::-1][:best].mean(axis=0)
    assert np.allclose(best_mean(scores, best), wanted, atol=1e-6)


@pytest.mark.parametrize("top", [1.3, 2.0, 2.49, 3.6])
def test_peak_of_a_parabola_is_exact(top: float) -> None:
    volume = (0.9 - 0.1 * (np.arange(6, dtype=np.float32) - top) ** 2)[:, None, None]
    at, _ = peak(volume)
    assert at[0, 0] == pytest.approx(top, abs=1e-4)


def test_peak_at_an_end_stays_there() -> None:
    volume = np.linspace(0, 1, 5, dtype=np.float32)[:, None, None]
    at, score = peak(volume)
    assert at[0, 0] == 4
    assert score[0, 0] == 1


def test_true_depth_maps_agree_and_wrong_ones_do_not(
    pyramids: list[Pyramid], true_depths: list[np.ndarray], tools: Any
) -> None:
    maps = [
        DepthMap(p.levels[0][1], Region(0, d.shape[0], 0, d.shape[1]), d, np.ones_like(d))
        for p, d in zip(pyramids, true_depths, strict=True)
    ]
    found = agreement(maps[2], [maps[1], maps[3]], 0.5 * tools.footprint_mm)
    mean, count = found.depth, found.count
    there = inside(true_depths[2], 12)
    assert (count[there] == 2).mean() > 0.95
    assert np.abs(mean - true_depths[2])[there].max() < 0.5 * tools.footprint_mm
    wrong = DepthMap(maps[2].camera, maps[2].region, maps[2].depth + 10, maps[2].score)
    count = agreement(wrong, [maps[1], maps[3]], 0.5 * tools.footprint_mm).count
    assert (count[there] > 0).mean() < 0.02


def test_normals_and_points_of_a_true_depth_map(
    scene: Any, pyramids: list[Pyramid], true_depths: list[np.ndarray], tools: Any
) -> None:
    depth = true_depths[2]
    one = DepthMap(pyramids[2].levels[0][1], Region(0, depth.shape[0], 0, depth.shape[1]), depth, np.ones_like(depth))
    there = inside(depth, 6)
    (points,) = oriented_points(one, [there], 3)
    on = Surface(scene.mesh).closest(points.points_mm.astype(float))
    assert on.distance_mm.max() < 1e-2
    cosine = (points.normals * scene.mesh.triangle_normals[on.triangle]).sum(axis=1)
    assert np.degrees(np.arccos(np.median(cosine).clip(-1, 1))) < 4
    merged = merge_points([points, points], 3 * tools.footprint_mm)
    assert 0.05 * len(points) < len(merged) < 0.4 * len(points)
    assert np.percentile(Surface(scene.mesh).closest(merged.points_mm.astype(float)).distance_mm, 95) < 0.5
    assert np.allclose(np.linalg.norm(merged.normals, axis=1), 1, atol=1e-4)


def test_unknown_depths_take_the_nearest_known_one() -> None:
    depth = np.full((5, 7), np.nan, np.float32)
    depth[2, 1], depth[2, 5] = 10, 20
    whole = filled(depth)
    assert (whole[:, :3] == 10).all()
    assert (whole[:, 4:] == 20).all()
