"""The compiled kernels, held to their references on random cameras, images and depths."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from processing.geometry.cameras import Camera
from processing.geometry.mesh import Mesh, Surface
from processing.reconstruction.compiled_kernels.block_matching import WIDE
from processing.reconstruction.image_regions import Pixels, Region
from processing.reconstruction.stereo_matching import DepthSearch, OpenCvKernels
from processing.reconstruction.stereo_matching_compiled import CompiledKernels
from processing.reconstruction.surface_reconstruction import RenderedSurface

REFERENCE, COMPILED = OpenCvKernels(), CompiledKernels()
DISTANCE_MM = 600.0


@dataclass(frozen=True, eq=False)
class Case:
    pixels: Pixels
    camera: Camera
    others: list[tuple[np.ndarray, Camera]]
    depth: np.ndarray


def camera(rng: np.random.Generator, width: int, height: int, angle_deg: float) -> Camera:
    turn = cv2.Rodrigues(np.radians(rng.uniform(-angle_deg, angle_deg, 3)))[0]
    focal = 2.0 * max(width, height)
    K = np.array([[focal, 0, width / 2 + rng.normal()], [0, focal, height / 2 + rng.normal()], [0, 0, 1]])
    return Camera(K, turn, turn @ (DISTANCE_MM * turn[2]), width, height, np.zeros(5), "")


def texture(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    noise = rng.random((height, width), dtype=np.float32)
    return np.asarray(cv2.GaussianBlur(250 * noise, (0, 0), 1.2) + 20 * noise, dtype=np.float32)


def case(seed: int, shape: tuple[int, int], others: int, angle_deg: float = 12.0, least: float = 0.5) -> Case:
    """least: of the view's size are the others'."""
    rng = np.random.default_rng(seed)
    height, width = shape
    full = height + int(rng.integers(0, 40)), width + int(rng.integers(0, 40))
    lens = camera(rng, full[1], full[0], angle_deg)
    y0, x0 = int(rng.integers(0, full[0] - height + 1)), int(rng.integers(0, full[1] - width + 1))
    image = texture(rng, *full)
    seen = []
    for _ in range(others):
        size = (
            int(rng.integers(least * full[0] + 2, 2 * full[0] + 3)),
            int(rng.integers(least * full[1] + 2, 2 * full[1] + 3)),
        )
        seen.append((texture(rng, *size), camera(rng, size[1], size[0], angle_deg)))
    relief = cv2.GaussianBlur(rng.random(shape, dtype=np.float32), (0, 0), 5.0) * 40
    region = Region(y0, y0 + height, x0, x0 + width)
    return Case(region.of(image), lens, seen, np.asarray(DISTANCE_MM + relief, dtype=np.float32))


def assert_alike(one: tuple[np.ndarray, np.ndarray], two: tuple[np.ndarray, np.ndarray], step_mm: float) -> None:
    """Scores to float rounding; depths too, but for the few pixels of which two hypotheses score the same."""
    assert np.abs(one[1] - two[1]).max() < 2e-3
    assert np.array_equal(np.isnan(one[0]), np.isnan(two[0]))
    apart = np.abs(one[0] - two[0]) / step_mm
    assert (apart > 0.05).sum() < 4 + 0.05 * apart.size


@pytest.mark.parametrize("window", [3, 5, 7, 9, 15])
@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (50, 1), (4, 3), (33, 70), (90, WIDE), (70, 2 * WIDE + 30)])
def test_refine_is_that_of_opencv(window: int, shape: tuple[int, int]) -> None:
    for seed, (others, best) in enumerate([(1, 1), (2, 3), (5, 3)]):
        c = case(100 * window + seed, shape, others)
        search = DepthSearch(1.5, 3, window, best)
        found = (k.refine(c.pixels, c.camera, c.others, c.depth, search) for k in (REFERENCE, COMPILED))
        assert_alike(*found, search.step_mm)


def test_refine_of_pixels_that_are_no_neighbours_is_that_of_opencv() -> None:
    c = case(3, (60, 90), 4)
    rng = np.random.default_rng(0)
    x, y = rng.integers(-5, 100, (2, 60, 90)).astype(np.float64)
    pixels = Pixels(c.pixels.grey, x, y)
    search = DepthSearch(1.0, 4, 5, 2)
    found = (k.refine(pixels, c.camera, c.others, c.depth, search) for k in (REFERENCE, COMPILED))
    assert_alike(*found, search.step_mm)


def test_unknown_and_absurd_depths_harm_only_the_windows_that_hold_them() -> None:
    c = case(4, (80, 150), 5)
    search = DepthSearch(1.0, 3, 7, 3)
    whole = COMPILED.refine(c.pixels, c.camera, c.others, c.depth, search)
    rng = np.random.default_rng(1)
    wrong = rng.random(c.depth.shape) < 0.002
    values = rng.choice(np.array([np.nan, np.inf, -np.inf, 0, -50, 1e30, 1e-30], np.float32), c.depth.shape)
    depth = np.where(wrong, values, c.depth)
    found = COMPILED.refine(c.pixels, c.camera, c.others, depth, search)
    near = cv2.dilate(wrong.astype(np.uint8), np.ones((7, 7), np.uint8)) > 0
    assert np.isfinite(found[1]).all()
    assert np.array_equal(found[0][~near], whole[0][~near])
    assert np.array_equal(found[1][~near], whole[1][~near])


@pytest.mark.parametrize("seed", range(8))
def test_others_of_a_few_pixels_score_as_with_opencv(seed: int) -> None:
    c = case(seed, (40, 60), 3, least=0.0)
    search = DepthSearch(2.0, 3, 5, 2)
    one, two = (k.refine(c.pixels, c.camera, c.others, c.depth, search) for k in (REFERENCE, COMPILED))
    assert np.abs(one[1] - two[1]).max() < 2e-3


@pytest.mark.parametrize("seed", range(4))
def test_views_from_far_aside_or_behind_see_what_they_see_with_opencv(seed: int) -> None:
    c = case(seed, (40, 60), 5, angle_deg=150.0)
    search = DepthSearch(2.0, 3, 5, 2)
    found = (k.refine(c.pixels, c.camera, c.others, c.depth, search) for k in (REFERENCE, COMPILED))
    assert_alike(*found, search.step_mm)


@pytest.mark.parametrize("shape", [(20, 30), (66, 140)])
def test_sweep_is_that_of_opencv(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(shape[0])
    image, lens = texture(rng, *shape), camera(rng, shape[1], shape[0], 10.0)
    others = [(texture(rng, *shape), camera(rng, shape[1], shape[0], 10.0)) for _ in range(4)]
    planes = 1 / np.linspace(1 / 500, 1 / 700, 23)
    one, two = (k.sweep(image, lens, others, planes, 7, 3) for k in (REFERENCE, COMPILED))
    assert_alike(one, two, 8.0)


def test_the_result_depends_neither_on_threads_nor_on_other_pixels() -> None:
    c = case(7, (150, 200), 5)
    search = DepthSearch(1.0, 3, 7, 3)
    whole = COMPILED.refine(c.pixels, c.camera, c.others, c.depth, search)
    with ThreadPoolExecutor(4) as pool:
        many = list(pool.map(lambda _: COMPILED.refine(c.pixels, c.camera, c.others, c.depth, search), range(8)))
    assert all(np.array_equal(whole[0], depth) and np.array_equal(whole[1], score) for depth, score in many)
    rows = slice(37, 120)
    part = COMPILED.refine(c.pixels.band(rows), c.camera, c.others, c.depth[rows], search)
    inner = slice(3, -3)
    assert_alike((whole[0][rows][inner], whole[1][rows][inner]), (part[0][inner], part[1][inner]), search.step_mm)


def test_kernels_run_where_no_folder_can_keep_them(tmp_path: Path) -> None:
    code = (
        "import os, pathlib\n"
        "from numba.core import caching\n"
        "for kind in caching.CacheImpl._locator_classes: kind.from_function = classmethod(lambda *a: None)\n"
        "from processing.reconstruction.compiled_kernels.compilation import compiled\n"
        "double = compiled('float32(float32)')(lambda x: x + x)\n"
        "print(double(2))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env=os.environ | {"HOME": str(tmp_path)},
        check=False,
    )
    assert done.stdout.strip() == "4.0", done.stderr


def test_drawn_depth_is_where_rays_meet_the_surface(scene: Any) -> None:
    surface = RenderedSurface(scene.mesh)
    for lens in (scene.cameras[0].pinhole(), scene.cameras[8].pinhole()):
        region = Region(15, lens.height - 9, 22, lens.width - 3)
        drawn = surface.depth(lens)
        x, y = np.meshgrid(np.arange(lens.width), np.arange(lens.height))
        directions = lens.rays(np.c_[x.ravel(), y.ravel()].astype(float))
        from_centre = np.broadcast_to(lens.centre, directions.shape)
        cast = Surface(scene.mesh).cast(from_centre, directions)[0] * (directions @ lens.R[2])
        cast = cast.reshape(drawn.shape)
        assert (np.isfinite(cast) != np.isfinite(drawn)).sum() < 3
        both = np.isfinite(cast) & np.isfinite(drawn)
        assert np.abs(cast - drawn)[both].max() < 0.02
        assert np.array_equal(surface.depth(lens, region), drawn[region.rows, region.columns], equal_nan=True)


def test_nothing_is_drawn_of_what_lies_behind_a_camera_or_far_aside() -> None:
    vertices = np.array([[0, 0, -100], [50, 0, -100], [0, 50, -100], [1e9, 0, 50], [1e9, 1, 50], [1e9, 0, 51]], float)
    mesh = Mesh(vertices, np.array([[0, 1, 2], [3, 4, 5], [0, 1, 3]], np.int32))
    lens = Camera(
        np.array([[100.0, 0, 20], [0, 100.0, 20], [0, 0, 1]]), np.eye(3), np.zeros(3), 40, 40, np.zeros(5), ""
    )
    assert np.isnan(RenderedSurface(mesh).depth(lens)).all()
