"""The best views' colours are kept and blended as NumPy does it."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from processing.reconstruction.colour_slots import AGREE, SLOTS, ColourSlots


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 1 << 30), st.integers(1, 40), st.integers(0, 9))
def test_slots_and_their_blend_are_those_of_numpy(seed: int, count: int, views: int) -> None:
    rng = np.random.default_rng(seed)
    slots = ColourSlots(count)
    weights, colors = np.zeros((count, SLOTS), np.float32), np.zeros((count, SLOTS, 3), np.uint8)
    for _ in range(views):
        index = np.flatnonzero(rng.random(count) < 0.7)
        weight = rng.random(len(index), dtype=np.float32)
        rgb = rng.uniform(0, 255, (len(index), 3)).astype(np.float32)
        factors = rng.uniform(0.5, 1.5, (len(index), 3))
        slots.offer(index, weight, rgb, factors)
        slot = weights[index].argmin(axis=1)
        better = weight > weights[index, slot]
        weights[index[better], slot[better]] = weight[better]
        even = np.clip(rgb[better] * factors[better] + 0.5, 0, 255).astype(np.uint8)
        colors[index[better], slot[better]] = even
    assert np.array_equal(slots.weights, weights)
    assert np.array_equal(slots.colors, colors)
    values, w = colors.astype(np.float64), weights[..., None].astype(np.float64)
    mean = (values * w).sum(axis=1) / np.maximum(w.sum(axis=1), 1e-9)
    off = np.linalg.norm(values - mean[:, None], axis=2) / AGREE
    w = (weights / (1 + off * off))[..., None]
    wanted = (values * w).sum(axis=1) / np.maximum(w.sum(axis=1), 1e-9)
    np.testing.assert_allclose(slots.blended(), wanted, atol=2e-3)
