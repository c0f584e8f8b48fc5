"""A photograph is recognised in its place, and told from elsewhere, whether its texture is strong or weak."""

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processing.camera_check.feature_matching import Features
from processing.camera_check.feature_network import SparsePoints
from processing.camera_check.place_recognition import Recognition, recognise
from processing.geometry.cameras import Camera
from processing.synthetic.studio_rig import studio_rig

CAMERAS = [camera.pinhole() for camera in studio_rig(30, 400, 600)]
MIDDLE = CAMERAS[2].centre / np.linalg.norm(CAMERAS[2].centre)
NEAR = sorted(range(len(CAMERAS)), key=lambda j: -float(CAMERAS[j].viewing_direction @ CAMERAS[2].viewing_direction))
VIEW, NEIGHBOURS = NEAR[0], NEAR[1:6]
WIDEST_DEG = 60.0


@dataclass(frozen=True)
class Texture:
    """What a take's photographs show."""

    points: int  # that any view knows
    repeated: float  # share of them that each view finds again
    noise: int  # features of a photograph that no other has


def unit(rows: np.ndarray) -> np.ndarray:
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), dtype=np.float32)


def descriptors(rng: np.random.Generator, count: int) -> np.ndarray:
    """Sparse and positive, as gradient histograms are."""
    return unit(rng.gamma(0.4, 1.0, (count, 128)))


def photograph(rng: np.random.Generator, camera: Camera, texture: Texture, what: np.ndarray, p: np.ndarray) -> Features:
    """What the camera shows of points p that look like `what`, and noise."""
    found = rng.random(len(p)) < texture.repeated
    at = camera.project(p[found]) + rng.normal(0, 0.4, (int(found.sum()), 2))
    like = unit(what[found] + rng.normal(0, 0.02, (int(found.sum()), 128)))
    pixels = np.concatenate([at, rng.uniform(0, [camera.width, camera.height], (texture.noise, 2))])
    return Features(camera, pixels, np.concatenate([like, descriptors(rng, texture.noise)]), pixels)


def take(rng: np.random.Generator, texture: Texture) -> tuple[list[Features], SparsePoints, np.ndarray]:
    flat = rng.uniform(-60, 60, (texture.points, 2))
    across = np.linalg.svd(MIDDLE[None])[2][1:]
    p = flat @ across + MIDDLE * (40 - (flat**2).sum(axis=1, keepdims=True) / 120)
    what = descriptors(rng, texture.points)
    shown = [photograph(rng, camera, texture, what, p) for camera in CAMERAS]
    seen = np.zeros((len(p), len(CAMERAS)), bool)
    seen[:, NEIGHBOURS] = rng.random((len(p), len(NEIGHBOURS))) < texture.repeated
    known = seen.sum(axis=1) >= 2
    return shown, SparsePoints(p[known], seen[known], what[known]), p


def judged(shown: list[Features], points: SparsePoints, view: int) -> Recognition:
    near = [v for v in [VIEW, *NEIGHBOURS] if v != view]
    return recognise(view, shown, points, near, WIDEST_DEG)


def usual(shown: list[Features], points: SparsePoints) -> float:
    return float(np.median([judged(shown, points, j).share for j in NEIGHBOURS]))


textures = st.builds(Texture, st.integers(15, 400), st.floats(0.3, 0.9), st.integers(0, 500))


@settings(max_examples=40, deadline=None)
@given(texture=textures, seed=st.integers(0, 1000))
def test_a_photograph_of_its_place_is_never_refused(texture: Texture, seed: int) -> None:
    shown, points, _ = take(np.random.default_rng(seed), texture)
    found = judged(shown, points, VIEW)
    assert not found.fails(usual(shown, points))
    assert found.holds() or found.asked * texture.repeated < 40


@settings(max_examples=40, deadline=None)
@given(texture=textures, seed=st.integers(0, 1000), off_px=st.sampled_from([None, 15.0, 60.0]))
def test_another_photograph_or_a_moved_camera_is_never_recognised_and_refused_where_enough_is_asked(
    texture: Texture, seed: int, off_px: float | None
) -> None:
    rng = np.random.default_rng(seed)
    shown, points, p = take(rng, texture)
    if off_px is None:
        shown[VIEW] = photograph(rng, CAMERAS[VIEW], texture, descriptors(rng, len(p)), p)
    else:
        there = shown[VIEW].pixels + off_px * np.array([0.6, 0.8])
        shown[VIEW] = Features(CAMERAS[VIEW], there, shown[VIEW].descriptors, there)
    found = judged(shown, points, VIEW)
    assert not found.holds()
    assert found.fails(usual(shown, points)) or found.asked * texture.repeated < 40


def test_where_nothing_is_asked_nothing_is_said() -> None:
    shown, points, _ = take(np.random.default_rng(0), Texture(100, 0.6, 100))
    alone = points.of(np.zeros(len(points.points_mm), bool))
    found = judged(shown, alone, VIEW)
    assert (found.asked, found.found, found.share) == (0, 0, 0.0)
    assert not found.holds()
    assert not found.fails(0.6)


@pytest.mark.parametrize(("asked", "found", "refused"), [(20, 0, True), (20, 5, False), (4, 0, False), (300, 30, True)])
def test_few_questions_refuse_nobody(asked: int, found: int, refused: bool) -> None:
    assert Recognition(asked, found, 0.5).fails(0.6) is refused
