import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processing.evaluation.wild.blending import grain, joined, matched, monochrome
from processing.evaluation.wild.face_region import face_cover, in_front, nearest_of
from processing.evaluation.wild.highlights import Gloss, dominant_light, highlights
from processing.single_view.appearance.lighting import Lighting
from processing.single_view.appearance.spherical_harmonics import ambient, directional

SIZE = 160
ROWS, COLUMNS = np.mgrid[:SIZE, :SIZE]
DISK = (ROWS - 80) ** 2 + (COLUMNS - 80) ** 2 < 60**2
WIDTH = float(np.sqrt(DISK.sum()))
LANDMARKS = np.full((68, 2), 80.0)
LANDMARKS[17:22] = [(50 + 5 * k, 60) for k in range(5)]
LANDMARKS[22:27] = [(90 + 5 * k, 60) for k in range(5)]
LANDMARKS[36:42], LANDMARKS[42:48] = (58, 70), (102, 70)
LANDMARKS[[39, 42]] = (70, 70), (90, 70)
LANDMARKS[27] = (80, 66)


def before(other: np.ndarray) -> np.ndarray:
    picture = np.where(other[..., None], 20.0, 180.0).astype(np.float32) * np.ones(3, np.float32)
    return in_front(DISK, other, np.zeros_like(DISK), LANDMARKS, picture, WIDTH)


def test_hair_over_the_forehead_stands_before_the_face() -> None:
    fringe = ROWS < 48
    assert before(fringe)[DISK & (ROWS < 44)].min() > 0.9
    assert before(fringe)[DISK & (ROWS > 56)].max() < 0.1


def test_what_lies_within_the_face_is_of_it() -> None:
    mole = (ROWS - 100) ** 2 + (COLUMNS - 60) ** 2 < 8**2
    assert before(mole).max() == 0


def test_a_brow_that_reaches_the_temple_is_of_the_face() -> None:
    temple = (COLUMNS < 34) & DISK
    brow = (np.abs(ROWS - 60) < 4) & (COLUMNS < 72)
    found = before(temple | brow)
    assert found[temple & (np.abs(ROWS - 80) < 20)].mean() > 0.8
    assert found[brow & (COLUMNS > 50)].max() < 0.2


def test_glasses_are_kept_where_they_cross_the_nose() -> None:
    frame = (np.abs(ROWS - 69) < 4) & DISK
    assert before(frame)[frame & (np.abs(COLUMNS - 80) < 40)].mean() > 0.8


@given(st.integers(0, 1000), st.floats(0.3, 3.0))
@settings(max_examples=10, deadline=None)
def test_joined_colours_meet_at_the_rim_and_keep_what_varies_within(seed: int, factor: float) -> None:
    rng = np.random.default_rng(seed)
    texture = 0.3 + 0.1 * rng.uniform(size=(SIZE, SIZE, 1)) * np.ones(3)
    render = np.asarray(texture, np.float32)
    slope = np.asarray(factor * (0.8 + 0.4 * COLUMNS / SIZE), np.float32)[..., None]
    photograph = np.asarray(0.35 * slope * np.ones(3), np.float32)
    skin = np.ones_like(DISK)
    whole = joined(matched(render, photograph, DISK), photograph, DISK, skin, WIDTH)
    rim = DISK & ((ROWS - 80) ** 2 + (COLUMNS - 80) ** 2 > 57**2)
    assert np.abs(np.log(whole[rim].mean(axis=1) / photograph[rim].mean(axis=1))).mean() < 0.15
    middle = (slice(60, 100), slice(60, 100))
    ratio = whole[middle] / render[middle]
    assert ratio.std() / ratio.mean() < 0.02


def test_grain_is_measured() -> None:
    noisy = 120 + np.random.default_rng(0).normal(0, 3.0, (SIZE, SIZE, 1)) * np.ones(3)
    assert grain(noisy.astype(np.float32), DISK) == pytest.approx(3.0, rel=0.1)


def test_one_colour_is_known_however_it_is_toned() -> None:
    grey = np.random.default_rng(0).uniform(30, 220, (SIZE, SIZE, 1)).astype(np.float32)
    assert monochrome(grey * np.array([1.0, 0.9, 0.8], np.float32), DISK)
    lips = np.where((ROWS > 90)[..., None], grey * np.array([1.0, 0.6, 0.6], np.float32), grey)
    assert not monochrome(lips.astype(np.float32), DISK)


def test_cover_is_sharp_before_the_background_and_soft_on_skin() -> None:
    cover = face_cover(DISK, DISK | (ROWS < 80), WIDTH)
    assert cover[137, 80] > 0.9
    assert cover[23, 80] < 0.6


def test_unknown_pixels_are_as_their_neighbours() -> None:
    mask = COLUMNS < 80
    known = (COLUMNS < 40) | (COLUMNS > 90)
    assert (nearest_of(mask & known, known) == (COLUMNS <= 65))[:, np.abs(np.arange(SIZE) - 65) > 2].all()


@given(st.floats(-1, 1), st.floats(-1, 1))
@settings(max_examples=20, deadline=None)
def test_gloss_lies_where_the_strongest_light_is_mirrored(x: float, y: float) -> None:
    light = np.array([x, y, -1.0])
    light /= np.linalg.norm(light)
    lighting = Lighting(ambient(np.full(3, 0.4)) + directional(light, np.full(3, 0.6)))
    np.testing.assert_allclose(dominant_light(lighting), light, atol=1e-6)
    half = light + np.array([0, 0, -1.0])
    half /= np.linalg.norm(half)
    normals = np.random.default_rng(0).standard_normal((300, 3))
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    shine = highlights(np.concatenate([half[None], normals]), lighting, Gloss(0.1, 20.0)).mean(axis=1)
    assert shine.argmax() == 0
    assert (shine >= 0).all()
