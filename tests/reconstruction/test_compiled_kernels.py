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
from processing.reconstruction.compiled_kernels.vertex_moves import add_moves
from processing.reconstruction.depth_fusion import Agreement, DepthMap, agreement, oriented_points
from processing.reconstruction.image_regions import Pixels, Region
from processing.reconstruction.stereo_matching import DepthSearch, OpenCvKernels, ray_terms
from processing.reconstruction.stereo_matching_compiled import CompiledKernels
from processing.reconstruction.surface_reconstruction import RenderedSurface, SurfaceVertices
from processing.reconstruction.surface_refinement import LEAST_COSINE, Correction, moves, vertices_facing

REFERENCE, COMPILED = OpenCvKernels(), CompiledKernels()
DISTANCE_MM = 600.0
ROOT = Path(__file__).resolve().parents[2]


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


def agreement_by_opencv(one: DepthMap, others: list[DepthMap], tolerance_mm: float) -> Agreement:
    total = one.depth * one.score
    weight = one.score.copy()
    count = np.zeros(one.depth.shape, np.float32)
    through = np.zeros(one.depth.shape, np.float32)
    for other in others:
        (qx, qy, qz), b = ray_terms(one.camera, other.camera, one.region.x, one.region.y)
        z = qz * one.depth + np.float32(b[2])
        inverse = 1 / z
        mx = (qx * one.depth + np.float32(b[0])) * inverse - np.float32(other.region.x0)
        my = (qy * one.depth + np.float32(b[1])) * inverse - np.float32(other.region.y0)
        seen = cv2.remap(
            other.depth, mx, my, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=float("nan")
        )
        difference = seen - z
        agrees = np.abs(difference) < tolerance_mm
        there = cv2.remap(other.score, mx, my, cv2.INTER_NEAREST, borderMode=cv2.BORDER_CONSTANT, borderValue=0)
        share = np.where(agrees, there, 0)
        # A step along the other's ray moves our depth by the cosine between the two optical axes (nearly: long lenses).
        cosine = np.float32(one.camera.R[2] @ other.camera.R[2])
        total += share * (one.depth + cosine * np.where(agrees, difference, 0))
        weight += share
        count += agrees
        through += difference > 3 * tolerance_mm
    return Agreement((total / np.maximum(weight, 1e-6)).astype(np.float32), count, through)


@pytest.mark.parametrize("seed", range(4))
def test_agreement_is_that_of_opencv(seed: int) -> None:
    rng = np.random.default_rng(seed)

    def depth_map() -> DepthMap:
        c = case(int(rng.integers(1000)), (50, 70), 0, angle_deg=3.0)
        hole = rng.random(c.depth.shape) < 0.03
        lens = camera(rng, 80, 60, 3.0)
        score = cv2.GaussianBlur(rng.random(c.depth.shape, dtype=np.float32), (0, 0), 4.0)
        return DepthMap(lens, Region(4, 54, 5, 75), np.where(hole, np.float32(np.nan), c.depth), score)

    one, others = depth_map(), [depth_map() for _ in range(4)]
    for tolerance_mm in (1.0, 5.0):
        found, wanted = agreement(one, others, tolerance_mm), agreement_by_opencv(one, others, tolerance_mm)
        assert wanted.count.max() >= 2
        same = found.count == wanted.count  # remap has fractions of 1/32: at the limit one says yes, one no
        assert same.mean() > 0.97
        assert (found.through == wanted.through).mean() > 0.97
        assert np.array_equal(np.isnan(found.depth), np.isnan(wanted.depth))
        apart = np.abs(found.depth - wanted.depth)[same & np.isfinite(wanted.depth)]
        assert np.percentile(apart, 99) < 0.05 * tolerance_mm
        assert apart.max() < 0.5 * tolerance_mm


def oriented_by_numpy(one: DepthMap, keep: np.ndarray, smooth: int) -> np.ndarray:
    """(n, 7) points, normals and weights."""
    points, centre = one.points(), one.camera.centre.astype(np.float32)
    known = np.isfinite(one.depth).astype(np.float32)
    filled = np.where(known[..., None] > 0, points - centre, 0).astype(np.float32)
    mean = cv2.boxFilter(filled, -1, (smooth, smooth)) / cv2.boxFilter(known, -1, (smooth, smooth))[..., None]
    mean[known == 0] = np.nan
    dx, dy = np.full_like(mean, np.nan), np.full_like(mean, np.nan)
    dx[:, 1:-1] = mean[:, 2:] - mean[:, :-2]
    dy[1:-1] = mean[2:] - mean[:-2]
    normals = np.cross(dy, dx)
    normals /= np.linalg.norm(normals, axis=2, keepdims=True)
    normals = np.where((normals * mean).sum(axis=2, keepdims=True) > 0, -normals, normals)
    toward = (centre - points) / np.linalg.norm(centre - points, axis=2, keepdims=True)
    cosine = (normals * toward).sum(axis=2)
    rows = np.concatenate([points, normals, (one.score * cosine * cosine).clip(1e-3)[..., None]], axis=2)
    return rows[keep & (cosine > 0.15)]


@pytest.mark.parametrize("shape", [(1, 1), (3, 3), (40, 61)])
def test_oriented_points_are_those_of_numpy(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(shape[0])
    c = case(11, shape, 1)
    known, keep, score = rng.random(shape) > 0.02, rng.random(shape) > 0.4, rng.random(shape, dtype=np.float32)
    depth = np.where(known, c.depth, np.float32(np.nan))
    one = DepthMap(c.camera, Region(5, 5 + shape[0], 3, 3 + shape[1]), depth, score)
    found, nothing = oriented_points(one, [keep, np.zeros_like(keep)], 5)
    with np.errstate(invalid="ignore", divide="ignore"):
        wanted = oriented_by_numpy(one, keep, 5)
    assert len(nothing) == 0
    assert len(found) == len(wanted)
    assert len(wanted) > 200 or shape != (40, 61)
    assert np.allclose(found.points_mm, wanted[:, :3], atol=1e-3)
    assert np.allclose(found.normals, wanted[:, 3:6], atol=2e-3)
    assert np.allclose(found.weight, wanted[:, 6], atol=2e-3)


def moves_by_numpy(asked: Correction, skin: SurfaceVertices, tolerance_mm: float) -> tuple[np.ndarray, ...]:
    front, along, z = skin.facing(asked.camera, LEAST_COSINE)
    from_camera = skin.positions[front] - asked.camera.centre.astype(np.float32)
    x, y, _ = (from_camera @ (asked.camera.K @ asked.camera.R).T.astype(np.float32) / z[:, None]).T
    x, y, slope = x - asked.region.x0, y - asked.region.y0, along / z
    height, width = asked.region.shape
    inside = (x > 0) & (y > 0) & (x < width - 1) & (y < height - 1)
    front, x, y, z, slope = (values[inside] for values in (front, x, y, z, slope))
    nearest = (y + 0.5).astype(int), (x + 0.5).astype(int)
    seen = (np.abs(asked.depth[nearest] - z) < tolerance_mm / -slope) & (asked.weight[nearest] > 0)
    front, x, y, slope, weight = (values[seen] for values in (front, x, y, slope, asked.weight[nearest]))
    offset = cv2.remap(asked.offset, x[:, None], y[:, None], cv2.INTER_LINEAR)[:, 0] if len(x) else x
    return front, offset * slope, weight * slope * slope


def test_moves_of_vertices_are_those_of_numpy() -> None:
    rng = np.random.default_rng(8)
    c = case(12, (60, 90), 1, angle_deg=20.0)
    region = Region(4, 64, 6, 96)
    depth = np.where(rng.random(c.depth.shape) > 0.1, c.depth, np.float32(np.nan))
    offset = cv2.GaussianBlur(rng.random(c.depth.shape, dtype=np.float32), (0, 0), 3.0)
    weight = (rng.random(c.depth.shape, dtype=np.float32) - np.float32(0.2)).clip(0)
    asked = Correction(c.camera, region, depth, offset, weight)
    points = DepthMap(c.camera, Region(0, 80, 0, 110), cv2.resize(c.depth, (110, 80)), np.ones((80, 110), np.float32))
    positions = points.points().reshape(-1, 3)
    normals = rng.normal(size=positions.shape).astype(np.float32)
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    skin = SurfaceVertices(positions, normals, (positions * normals).sum(axis=1))
    found = moves(asked, vertices_facing(c.camera, skin), 10.0)
    wanted = moves_by_numpy(asked, skin, 10.0)
    both, at, place = np.intersect1d(found[0], wanted[0], return_indices=True)
    assert len(both) > 500
    assert len(both) > 0.99 * max(len(found[0]), len(wanted[0]))  # rounding decides of vertices at a pixel's edge
    assert np.abs(found[1][at] - wanted[1][place]).max() < 0.01  # remap has fractions of 1/32
    assert (np.abs(found[2][at] - wanted[2][place]) > 1e-3).mean() < 0.01
    sums = np.zeros((len(positions), 4), np.float32)
    add_moves(*found, sums)
    add_moves(*found, sums)
    index, move, share = found
    terms = 2 * np.stack([share, share * share, share * move, share * move * move], axis=1)
    assert np.allclose(sums[index], terms, atol=1e-6)
    assert np.abs(sums).sum() == pytest.approx(np.abs(sums[index]).sum(), rel=1e-5)


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


def test_processes_that_begin_at_once_keep_code_that_the_next_one_finds(tmp_path: Path) -> None:
    program = tmp_path / "kernel.py"
    program.write_text(
        "from processing.reconstruction.compiled_kernels.compilation import compiled\n"
        "@compiled('float32(float32)')\n"
        "def double(x):\n"
        "    return x + x\n"
        "print(double(2), sum(double.stats.cache_hits.values()))\n"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT), "NUMBA_CACHE_DIR": str(tmp_path / "cache")}

    def begun() -> subprocess.Popen[str]:
        return subprocess.Popen([sys.executable, str(program)], stdout=subprocess.PIPE, text=True, env=environment)

    many = [begun() for _ in range(3)]
    assert [process.communicate()[0].split()[0] for process in many] == ["4.0"] * 3
    assert begun().communicate()[0].split() == ["4.0", "1"]


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
