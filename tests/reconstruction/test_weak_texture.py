"""Weak texture: depth that windows tell poorly is averaged as widely as it needs, and never made up beyond its edge."""

import cv2
import numpy as np
import pytest

from processing.geometry.cameras import Camera
from processing.geometry.mesh import MEASURED, Mesh
from processing.reconstruction.confidence import confidence
from processing.reconstruction.depth_fusion import DepthMap, OrientedPoints
from processing.reconstruction.depth_maps import WEAK_WINDOW, Fusion, _weak_points, enclosed
from processing.reconstruction.image_regions import Region
from processing.reconstruction.multi_view_stereo import LEAST_WEAK
from processing.reconstruction.surface_holes import enclosed_faces
from processing.reconstruction.surface_reconstruction import trim_far_faces
from processing.reconstruction.weak_texture import Regularisation, information, noise_variance

SEEDS = range(4)
FOOTPRINT_MM = 0.5


def textured(contrast: float, noise: float, seed: int, side: int = 96) -> np.ndarray:
    """Grey pores of such a contrast under such noise (standard deviations)."""
    rng = np.random.default_rng(seed)
    pores = cv2.GaussianBlur(rng.normal(size=(side, side)).astype(np.float32), (0, 0), 1.2)
    return (120 + contrast * pores / pores.std() + noise * rng.normal(size=(side, side))).astype(np.float32)


@pytest.mark.parametrize("seed", SEEDS)
def test_an_even_slope_tells_nothing_and_pores_tell_the_more_the_stronger_they_are(seed: int) -> None:
    slope = (3 * np.arange(96, dtype=np.float32))[None].repeat(96, axis=0)
    told = [
        float(np.median(information(grey, (0.5, 0.0, 0.0), 7, 1.0)[8:-8, 8:-8]))
        for grey in (slope, textured(2, 0.3, seed), textured(8, 0.3, seed))
    ]
    assert told[0] < 0.01 * told[1]
    assert 8 < told[2] / told[1] < 32  # as the square of the contrast


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("sigma", [1.0, 3.0])
def test_noise_is_measured_where_a_photograph_is_calm(seed: int, sigma: float) -> None:
    grey = textured(0, sigma, seed, 200)
    grey[:, :60] = textured(30, sigma, seed, 200)[:, :60]
    assert 0.6 * sigma**2 < noise_variance(grey) < 1.3 * sigma**2


@pytest.mark.parametrize("seed", SEEDS)
def test_what_is_told_poorly_is_averaged_and_what_is_told_well_stays(seed: int) -> None:
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:96, :96].astype(np.float32)
    true = 800 + 0.3 * np.sin(x / 30) + 0.2 * np.cos(y / 25)
    start = np.full_like(true, 800.2)
    weak = x > 48
    told = np.where(weak, np.float32(1.0), np.float32(4000.0)).astype(np.float32)
    found = (true + np.where(weak, 1.0, 0.01) * rng.normal(size=true.shape)).astype(np.float32)
    weigh = Regularisation(told, np.ones(told.shape, np.bool_), 0.5, FOOTPRINT_MM)
    depth, precision = weigh(start, found, found, np.full_like(true, 0.9))
    off = np.abs(depth - true)[8:-8, 8:-8]
    assert off[:, :32].max() < 0.06
    assert np.sqrt(np.square(off[:, 44:]).mean()) < 0.25
    assert np.median(precision[weak]) > 4 * np.median(told[weak])


@pytest.mark.parametrize("seed", SEEDS)
def test_beside_an_edge_a_good_match_is_taken_as_it_is(seed: int) -> None:
    """As at a nostril's rim: the start is off there, and what lies around says nothing of it."""
    rng = np.random.default_rng(seed)
    true = np.full((96, 96), 800, np.float32)
    true[:, 48:] += 12
    start = np.full_like(true, 800)
    even = np.ones(true.shape, np.bool_)
    even[:, 40:] = False
    found = (true + 0.02 * rng.normal(size=true.shape)).astype(np.float32)
    score = np.full_like(true, 0.9)
    score[:, 80:] = 0.3
    told = np.full_like(true, 4000)
    depth, _ = Regularisation(told, even, 0.5, FOOTPRINT_MM)(start, found, found, score)
    assert np.abs(depth - true)[:, :78].max() < 0.1
    assert np.abs(depth - true)[:, 84:].min() > 1  # a poor match there is left to the start


@pytest.mark.parametrize("seed", SEEDS)
def test_weak_depth_lies_between_sharp_ones_and_never_beyond_the_outermost(seed: int) -> None:
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:160, :160]
    disc = (x - 80) ** 2 + (y - 80) ** 2 < 60**2
    hole = (x - 80) ** 2 + (y - 75) ** 2 < 13**2
    sure = disc & ~hole
    sure[rng.integers(0, 20, 4), rng.integers(0, 160, 4)] = True  # matches by chance, each alone
    found = enclosed(sure)
    assert found[hole].all()
    far = (x - 80) ** 2 + (y - 80) ** 2 > 66**2
    assert not found[far].any()


def even_map(score: np.ndarray) -> DepthMap:
    camera = Camera(np.diag([400.0, 400.0, 1.0]), np.eye(3), np.zeros(3), 96, 96)
    return DepthMap(camera, Region(0, 96, 0, 96), np.full((96, 96), 800, np.float32), score)


@pytest.mark.parametrize("seed", SEEDS)
def test_weak_points_are_made_of_faint_texture_and_never_of_the_background_past_an_outline(seed: int) -> None:
    rng = np.random.default_rng(seed)
    score = (0.4 + 0.1 * rng.normal(size=(96, 96))).clip(0.01, 0.49).astype(np.float32)
    score[:, 48:] = (0.1 + 0.1 * rng.normal(size=(96, 48))).clip(0.01, 0.49)
    nothing = np.zeros(score.shape, np.bool_)
    others = [even_map(np.full_like(score, 0.4))] * 3
    kept = Fusion(2.0, 2, 2.0, 5, least_weak=LEAST_WEAK)
    points = _weak_points(even_map(score), nothing, others, nothing, kept)
    column = 400 * points.points_mm[:, 0] / points.points_mm[:, 2]
    assert (column < 48 + WEAK_WINDOW // 2).all()
    assert len(points) > 0.9 * 94 * 47
    assert len(_weak_points(even_map(score), nothing, others, nothing, Fusion(2.0, 2, 2.0, 5))) > 1.8 * len(points)


def sphere(rings: int = 40, around: int = 80, radius: float = 50.0) -> Mesh:
    theta = np.linspace(0.02, np.pi - 0.02, rings)[:, None]
    phi = np.linspace(0, 2 * np.pi, around, endpoint=False)[None]
    at = np.stack([np.sin(theta) * np.cos(phi), np.sin(theta) * np.sin(phi), np.cos(theta) + 0 * phi], axis=-1)
    a = (np.arange(rings - 1)[:, None] * around + np.arange(around)).ravel()
    b = (np.arange(rings - 1)[:, None] * around + (np.arange(around) + 1) % around).ravel()
    triangles = np.concatenate([np.c_[a, a + around, b], np.c_[b, a + around, b + around]])
    return Mesh(radius * at.reshape(-1, 3), triangles.astype(np.int32))


def points_of(mesh: Mesh, keep: np.ndarray) -> OrientedPoints:
    at = mesh.vertices_mm[keep].astype(np.float32)
    return OrientedPoints(at, (at / 50).astype(np.float32), np.full(len(at), 3, np.float32))


@pytest.mark.parametrize("side", ["x", "-x", "y"])
def test_an_enclosed_hole_is_spanned_and_an_open_side_is_not(side: str) -> None:
    ball = sphere()
    middle = ball.vertices_mm[ball.triangles].mean(axis=1) / 50
    direction = {"x": middle[:, 0], "-x": -middle[:, 0], "y": middle[:, 1]}[side]
    hole = direction > 0.95  # 2.5 % of a sphere
    back = middle[:, 2] < -0.6  # 20 %
    spanned = enclosed_faces(ball, ~(hole | back))
    assert spanned[hole].all()
    assert not spanned[~hole].any()


def test_a_hole_is_filled_with_low_confidence_that_falls_towards_its_middle() -> None:
    ball = sphere()
    unit = ball.vertices_mm / 50
    keep = (unit[:, 0] < 0.93) & (unit[:, 2] > -0.6)
    points = points_of(ball, keep)
    kept = trim_far_faces(ball, points, 8.0)
    sure = confidence(kept, points, 3.0)
    assert sure.dtype == np.float32
    assert 0 <= sure.min()
    assert sure.max() <= 1
    at = kept.vertices_mm / 50
    assert (sure[(at[:, 0] < 0.8) & (at[:, 2] > -0.4)] >= MEASURED).all()
    middle, edge = at[:, 0] > 0.985, (at[:, 0] > 0.94) & (at[:, 0] < 0.965)
    assert middle.any()
    assert (sure[middle] < 0.5 * MEASURED).all()
    assert np.median(sure[edge]) > np.median(sure[middle])


@pytest.mark.parametrize("seed", SEEDS)
def test_more_points_of_more_weight_never_lower_confidence(seed: int) -> None:
    rng = np.random.default_rng(seed)
    ball = sphere()
    few = points_of(ball, rng.random(len(ball.vertices_mm)) < 0.3)
    every = OrientedPoints(few.points_mm, few.normals, 2 * few.weight)
    low, high = (confidence(ball, p, 2.0) for p in (few, every))
    assert (high >= low - 1e-6).all()
    assert (high > low).mean() > 0.5
