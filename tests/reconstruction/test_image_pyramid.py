"""Grey pyramids: texture counts as far as it stands out from the noise of its own level."""

import cv2
import numpy as np
import pytest

from processing.geometry.cameras import Camera
from processing.reconstruction.image_pyramid import Pyramid, calm_variance, pyramid
from processing.reconstruction.scratch_files import Scratch
from processing.reconstruction.settings import ReconstructionSettings
from processing.reconstruction.stereo_matching import NOISE_VARIANCE

SEEDS = range(3)
SIDE = 480


def made(image: np.ndarray) -> Pyramid:
    camera = Camera(np.diag([900.0, 900.0, 1.0]), np.eye(3), np.array([0, 0, 600.0]), SIDE, SIDE)
    return pyramid(image, camera, np.zeros(3), ReconstructionSettings(), Scratch(1e9))


def skin(light: float, noise: float, seed: int, blotches: int = 6) -> np.ndarray:
    """(H, W, 3) even skin with faint blotches, under noise of such a standard deviation, before an even background."""
    rng = np.random.default_rng(seed)
    faint = cv2.GaussianBlur(np.random.default_rng(99).normal(size=(SIDE, SIDE)), (0, 0), blotches)
    grey = light * (1 + 0.04 * faint / faint.std())
    grey[:, : SIDE // 3] = light / 2
    return np.clip(grey[..., None] + noise * rng.normal(size=(SIDE, SIDE, 3)) + 0.5, 0, 255).astype(np.uint8)


def correlation(a: np.ndarray, b: np.ndarray, part: slice) -> float:
    """Mean over windows as matching has it, with its allowance for noise."""

    def box(x: np.ndarray) -> np.ndarray:
        return cv2.boxFilter(x, -1, (7, 7))

    a, b = a[:, part], b[:, part]
    product = box(a * b) - box(a) * box(b)
    va, vb = (np.maximum(box(x * x) - box(x) ** 2, 0) + NOISE_VARIANCE for x in (a, b))
    return float((product / np.sqrt(va * vb)).mean())


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("light", [30.0, 120.0])
def test_faint_skin_correlates_at_the_coarse_levels_where_its_noise_is_averaged(light: float, seed: int) -> None:
    pair = [made(skin(light, 1.0, 2 * seed + k)) for k in (0, 1)]
    (a, _), (b, _) = (p.levels[-1] for p in pair)
    assert correlation(a, b, slice(a.shape[1] // 3 + 8, None)) > 0.85
    assert correlation(a, b, slice(0, a.shape[1] // 3 - 8)) < 0.2  # the background stays what it is


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("noise", [0.3, 1.0, 3.0])
def test_noise_of_each_level_is_what_matching_reckons_with_or_as_it_was(noise: float, seed: int) -> None:
    image = skin(120.0, noise, seed)
    for level, (grey, _) in enumerate(made(image).levels):
        plain = cv2.cvtColor(image.astype(np.float32), cv2.COLOR_BGR2GRAY)
        for _ in range(level):
            plain = cv2.resize(plain, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
        gain = grey[:, -40:].std() / plain[:, -40:].std()
        assert gain > 0.99
        if calm_variance(plain) >= NOISE_VARIANCE:
            assert gain < 1.01
        else:
            assert 0.5 * NOISE_VARIANCE < calm_variance(grey) < 1.05 * NOISE_VARIANCE


def test_grey_is_not_rounded() -> None:
    image = np.full((SIDE, SIDE, 3), 100, np.uint8)
    image[::2, :, 2] = 101  # 0.3 of a grey level
    grey = made(image).levels[0][0]
    assert np.ptp(grey) > 0.29
