"""Figures of reliefs that are known: a wave's power is in its own band, and equal to its own."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_model import egg_template

from processing.geometry.uv_rasterization import texels_of
from processing.learning.detail.relief_figures import (
    BANDS,
    mean_error,
    radial_power,
    region_texels,
    skin_texels,
    spectrum_ratio,
)

SIZE = 64
ALL = np.ones((SIZE, SIZE), np.bool_)


@given(st.sampled_from([3, 6, 12]), st.floats(0, 3.1), st.floats(0.01, 1))
def test_a_wave_lies_in_its_band(texels: int, turn: float, height_mm: float) -> None:
    y, x = np.mgrid[:SIZE, :SIZE]
    wave = height_mm * np.sin(2 * np.pi * (x * np.cos(turn) + y * np.sin(turn)) / texels)
    power = radial_power(wave.astype(np.float32), ALL)
    band = {3: 0, 6: 1, 12: 2}[texels]
    assert power.shape == (BANDS,)
    assert power[band] > 0.9 * power.sum()
    assert power.sum() == pytest.approx(height_mm**2 / 2, rel=0.1)


def test_half_a_wave_is_a_quarter_of_its_power() -> None:
    rng = np.random.default_rng(0)
    true = rng.normal(size=(SIZE, SIZE)).astype(np.float32)
    ratio = spectrum_ratio(radial_power((true / 2).astype(np.float32), ALL), radial_power(true, ALL))
    assert all(share == pytest.approx(0.25) for share in ratio.values())
    assert mean_error(true, (true + 0.5).astype(np.float32), ALL) == pytest.approx(0.5)
    assert np.isnan(mean_error(true, true, ~ALL))


def test_regions_lie_in_the_skin_and_apart() -> None:
    template = egg_template()
    texels = texels_of(template.mesh, SIZE)
    regions = region_texels(template, texels)
    assert list(regions) == ["forehead", "eyes", "nose", "mouth", "cheeks"]
    assert np.sum(list(regions.values()), axis=0).max() == 1
    assert all(where.any() for where in regions.values())
    assert 0.5 < skin_texels(template.mesh, texels, template.parts).mean() < 1
