"""Gains and vignetting come back from what views see in common; limits hold; the end of the scale does not mislead."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processing.photometry.exposure_gains import solve_gains


def seen(
    gains: np.ndarray, rng: np.random.Generator, places: int = 800, fall: float = 0.0, noise: float = 0.02
) -> tuple[np.ndarray, np.ndarray]:
    """log values (V, P, 3) of a smooth subject, each view seeing a window of the places; radius2 (V, P)."""
    views = len(gains)
    colour = np.log(rng.uniform(40, 160, (places, 3)))
    log = np.full((views, places, 3), np.nan)
    r2 = np.full((views, places), np.nan)
    for v in range(views):
        start = v * places // (views + 2)
        window = slice(start, start + 3 * places // (views + 2))
        r2[v, window] = rng.uniform(0, 0.8, r2[v, window].shape)
        log[v, window] = colour[window] - np.log(gains[v]) + np.log(1 - fall) * r2[v, window][:, None]
    return log + rng.normal(0, noise, log.shape), r2


@settings(max_examples=20, deadline=None)
@given(st.lists(st.floats(0.6, 1.6), min_size=4, max_size=12), st.integers(0, 1000))
def test_gains_are_recovered_up_to_the_rigs_median(values: list[float], seed: int) -> None:
    rng = np.random.default_rng(seed)
    gains = np.array(values)[:, None] * rng.uniform(0.9, 1.1, (len(values), 3))
    log, _ = seen(gains, rng)
    found = solve_gains(log)
    assert found.known.all()
    expected = gains / np.exp(np.median(np.log(gains), axis=0))
    assert np.median(np.abs(np.log(found.gain / expected))) < 0.01
    assert np.abs(np.log(found.gain / expected)).max() < 0.03


def test_outliers_do_not_move_the_gains() -> None:
    rng = np.random.default_rng(1)
    gains = np.array([1.0, 1.3, 0.8, 1.0, 1.1])[:, None] * np.ones(3)
    log, _ = seen(gains, rng)
    glare = rng.random(log.shape[:2]) < 0.15
    log[glare] += 0.8
    found = solve_gains(log)
    assert np.abs(np.log(found.gain / gains)).max() < 0.08


def test_vignetting_is_found_where_there_is_some_and_none_where_there_is_none() -> None:
    rng = np.random.default_rng(2)
    gains = np.ones((8, 3))
    dark = solve_gains(*seen(gains, rng, fall=0.3))
    assert dark.vignetting == pytest.approx(0.3, abs=0.04)
    assert solve_gains(*seen(gains, rng)).vignetting < 0.02
    centre, corner = dark.factors(0, np.array([0.0, 1.0]))
    assert corner[0] / centre[0] == pytest.approx(1 / (1 - dark.vignetting))


def test_a_view_that_shares_too_little_keeps_its_own_exposure() -> None:
    rng = np.random.default_rng(3)
    log, _ = seen(np.ones((5, 3)), rng)
    log[2, :] = np.nan
    log[2, :10] = 3.0
    found = solve_gains(log)
    assert found.known.tolist() == [True, True, False, True, True]
    assert np.array_equal(found.gain[2], np.ones(3))


def test_gains_stay_within_their_limit() -> None:
    rng = np.random.default_rng(4)
    gains = np.array([1.0, 1.0, 20.0, 1.0, 1.0])[:, None] * np.ones(3)
    found = solve_gains(seen(gains, rng)[0], limit=3.0)
    assert found.gain.max() == pytest.approx(3.0)


def test_nothing_in_common_changes_nothing() -> None:
    found = solve_gains(np.full((3, 40, 3), np.nan))
    assert np.array_equal(found.gain, np.ones((3, 3)))
    assert not found.known.any()
