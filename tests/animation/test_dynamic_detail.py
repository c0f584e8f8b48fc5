"""Dynamic detail: the equations as they are written, key expressions returned, no jump anywhere."""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processing.animation.detail_equations import synthesised, weight_masks
from processing.animation.dynamic_detail import TILE_PX, DetailError, DynamicDetail, neutral_first
from processing.animation.key_blend import STEEPEST, KeyBlend
from processing.errors import ShapeError

SIZES = (TILE_PX + 5, 2 * TILE_PX)


def drawn(seed: int, keys: int, units: int, size: int) -> tuple[Any, Any, Any]:
    """Masks (U, S, S) with texels and whole tiles of 0 and of 1, maps (E, S, S) mm, weights (E, U) with 0 and 1."""
    rng = np.random.default_rng(seed)
    masks = rng.uniform(0, 1, (units, size, size)) ** rng.integers(1, 9)
    masks[rng.uniform(0, 1, masks.shape) < 0.3] = 0
    masks[rng.uniform(0, 1, masks.shape) < 0.1] = 1
    masks[:, :TILE_PX] *= rng.integers(0, 2, units)[:, None, None]
    maps = rng.normal(0, 0.3, (keys, size, size)).astype(np.float32)
    return masks, maps, of_weights(rng, keys, units)


def of_weights(rng: np.random.Generator, count: int, units: int) -> Any:
    weights = rng.uniform(0, 1, (count, units))
    weights[rng.uniform(0, 1, weights.shape) < 0.5] = 0
    weights[rng.uniform(0, 1, weights.shape) < 0.1] = 1
    return weights


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 1 << 30), keys=st.integers(1, 24), units=st.integers(1, 12), size=st.sampled_from(SIZES),
    exact=st.booleans(),
)  # fmt: skip
def test_it_is_the_equations(seed: int, keys: int, units: int, size: int, exact: bool) -> None:
    masks, maps, key_weights = drawn(seed, keys, units, size)
    masks = masks.astype(np.float32)
    detail = DynamicDetail.mixing(masks, maps, key_weights, exact=exact)
    for weights in [np.zeros(units), np.ones(units), *of_weights(np.random.default_rng(seed + 1), 3, units)]:
        truth = synthesised(maps, weight_masks(masks, key_weights, weights))
        # In singles, an error of each term's last digit: the terms are as large as the masks that are added up.
        scale = 1 if exact else max(1.0, np.abs(weight_masks(masks, key_weights, weights)).sum(axis=0).max())
        np.testing.assert_allclose(detail.displacement(weights, plain=True), truth, rtol=0, atol=1e-6 * scale)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 1 << 30), keys=st.integers(1, 24), exact=st.booleans())
def test_key_expressions_come_back_to_the_bit(seed: int, keys: int, exact: bool) -> None:
    masks, maps, key_weights = drawn(seed, keys, 9, SIZES[0])
    key_weights[0] = 0
    key_weights[1:, 8] = np.arange(1, keys) / 32  # no two of them are the same
    detail = DynamicDetail.mixing(masks, maps, key_weights, exact=exact)
    for weights, one in zip(key_weights, maps, strict=True):
        np.testing.assert_array_equal(detail.displacement(weights), one)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 1 << 30), step=st.floats(1e-5, 0.2), near=st.booleans())
def test_a_small_change_of_weights_is_a_small_change_of_the_map(seed: int, step: float, near: bool) -> None:
    rng = np.random.default_rng(seed)
    masks, maps, key_weights = drawn(seed, 8, 6, SIZES[0])
    detail = DynamicDetail.mixing(masks, maps, key_weights, exact=True)
    here = key_weights[rng.integers(8)] if near else rng.uniform(0, 1, 6)
    there = np.clip(here + step * rng.normal(0, 1, 6) / np.sqrt(6), 0, 1)
    moved = np.linalg.norm(there - here)
    change = np.abs(detail.displacement(there) - detail.displacement(here)).max()
    # By each part: masks of the equations by their sums, bumps by their slopes (twice, where they are scaled to 1).
    most = np.abs(maps).max()
    most_equations = most * max(1.0, key_weights.sum())
    equations = most_equations * 2 * np.linalg.norm(key_weights.sum(axis=0))
    bumps = 2 * (STEEPEST / detail.blend.radii).sum() * (most_equations + most)
    assert change <= (equations + bumps) * moved + 1e-9


def test_between_two_keys_a_fine_walk_has_no_step() -> None:
    """Far finer than bumps: a jump at a bump's edge, or beside a key, would stand out of its neighbours."""
    masks, maps, key_weights = drawn(3, 6, 5, SIZES[0])
    detail = DynamicDetail.mixing(masks, maps, key_weights, exact=True)
    for a, b in ((0, 1), (1, 2), (4, 5)):
        walk = [detail.displacement((1 - t) * key_weights[a] + t * key_weights[b]) for t in np.linspace(0, 1, 401)]
        steps = np.array([np.abs(after - before).max() for before, after in pairwise(walk)])
        assert steps.max() < 0.05
        assert np.abs(np.diff(steps)).max() < 0.2 * steps.max()


def test_far_from_every_key_it_is_the_equations_and_at_rest_the_neutral() -> None:
    masks, maps, _ = drawn(5, 4, 6, SIZES[0])
    key_weights = np.zeros((4, 6))
    key_weights[[1, 2, 3], [0, 1, 2]] = 0.5
    detail = DynamicDetail.mixing(masks, maps, key_weights)
    far = np.array([0, 0, 0, 1, 1, 1.0])
    np.testing.assert_array_equal(detail.displacement(far), detail.displacement(far, plain=True))
    np.testing.assert_array_equal(detail.displacement(np.zeros(6)), maps[0])
    np.testing.assert_array_equal(detail.displacement(np.zeros(6), plain=True), maps[0])


def test_a_neutral_of_estimated_weights_and_no_weights_at_all_are_both_the_neutral() -> None:
    masks, maps, key_weights = drawn(6, 5, 6, SIZES[0])
    key_weights[0] = [0.05, 0, 0, 0.02, 0, 0]
    detail = DynamicDetail.mixing(masks, maps, key_weights)
    np.testing.assert_array_equal(detail.displacement(np.zeros(6)), maps[0])
    np.testing.assert_array_equal(detail.displacement(key_weights[0]), maps[0])


def test_keys_of_equal_weights_share_and_the_neutral_goes_first() -> None:
    masks, maps, key_weights = drawn(7, 6, 6, SIZES[0])
    key_weights[0] = key_weights[5] = 0
    key_weights[2] = key_weights[4]
    detail = DynamicDetail.mixing(masks, maps, key_weights, exact=True)
    assert set(detail.blend.shared) == {(0, 5), (2, 4)}
    np.testing.assert_array_equal(detail.displacement(np.zeros(6)), maps[0])
    np.testing.assert_allclose(detail.displacement(key_weights[2]), maps[[2, 4]].mean(axis=0), atol=1e-7)


@given(seed=st.integers(0, 1 << 30))
def test_shares_are_parts_of_one(seed: int) -> None:
    rng = np.random.default_rng(seed)
    blend = KeyBlend.of(of_weights(rng, 12, 5))
    for weights in of_weights(rng, 8, 5):
        shares = blend(weights)
        assert (shares >= 0).all()
        assert shares.sum() <= 1 + 1e-12


def test_a_unit_that_no_key_has_and_a_unit_that_moves_nothing_cost_nothing() -> None:
    masks, maps, key_weights = drawn(8, 4, 6, SIZES[0])
    key_weights[:, 2] = 0
    masks[3] = 0
    detail = DynamicDetail.mixing(masks, maps, key_weights)
    assert not np.isin(detail._units, [2, 3]).any()
    assert detail.coverage < 1


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -0.01, 1.01])
def test_what_is_no_weight_is_refused_by_name(wrong: float) -> None:
    masks, maps, key_weights = drawn(9, 3, 4, SIZES[0])
    detail = DynamicDetail.mixing(masks, maps, key_weights, names=("a", "b", "jawOpen", "d"))
    with pytest.raises(DetailError, match="jawOpen"):
        detail.displacement(np.array([0, 0, wrong, 0]))
    with pytest.raises(ShapeError, match="weights"):
        detail.displacement(np.zeros(5))


def test_maps_and_masks_that_do_not_go_together_are_refused() -> None:
    masks, maps, key_weights = drawn(9, 3, 4, SIZES[0])
    with pytest.raises(ShapeError, match="activation masks"):
        DynamicDetail.mixing(masks[:3], maps, key_weights)
    with pytest.raises(ShapeError, match="activation mask"):
        DynamicDetail.mixing(masks[:, :8, :8], maps, key_weights)
    with pytest.raises(ShapeError, match="key_weights"):
        DynamicDetail.mixing(masks, maps, key_weights[:2])
    maps[1, 3, 3] = np.nan
    with pytest.raises(DetailError, match="finite"):
        DynamicDetail.mixing(masks, maps, key_weights)


def test_the_neutral_is_found_by_its_name() -> None:
    assert neutral_first(["2_smile", "1_neutral", "3_anger"]) == ("1_neutral", "2_smile", "3_anger")
    with pytest.raises(DetailError, match="0 are named like it"):
        neutral_first(["2_smile"])
    with pytest.raises(DetailError, match="2 are named like it"):
        neutral_first(["1_neutral", "4_neutral"])
