"""The estimate against simulated clocks with known offset and drift."""

import random
import time

import pytest

from camera_nodes.clock import ClockEstimator, EmulatedClock, MonotonicClock
from camera_nodes.errors import ClockUnknown

START_NS = 10**15
LAN_NS = 100_000


class World:
    """Node time t is t; controller time is t + offset + drift (t - START)."""

    def __init__(self, seed, offset_ns=0, drift=0.0, there=None, back=None):
        self.rng = random.Random(seed)
        self.offset_ns, self.drift = offset_ns, drift
        self.there = there or (lambda rng: rng.expovariate(1 / 300_000))
        self.back = back or self.there
        self.estimator = ClockEstimator()

    def theta(self, t):
        return self.offset_ns + self.drift * (t - START_NS)

    def ping(self, t1):
        arrives = t1 + LAN_NS + int(self.there(self.rng))
        leaves = arrives + 30_000
        t4 = leaves + LAN_NS + int(self.back(self.rng))
        stamps = (t1, round(arrives + self.theta(arrives)), round(leaves + self.theta(leaves)), t4)
        return stamps, self.estimator.add(*stamps)

    def pings(self, count, hz, start=START_NS):
        for k in range(count):
            self.ping(start + int(k * 1e9 / hz))
        return start + int(count * 1e9 / hz)


JITTERS = {
    "quiet": lambda rng: rng.uniform(0, 20_000),
    "exponential": lambda rng: rng.expovariate(1 / 500_000),
    "2 +- 1 ms": lambda rng: rng.uniform(1e6, 3e6),
    "spikes": lambda rng: rng.expovariate(1 / 20_000) + (rng.random() < 0.3) * rng.expovariate(1 / 10e6),
}


@pytest.mark.parametrize("jitter", JITTERS)
@pytest.mark.parametrize(("count", "hz"), [(1, 10), (5, 10), (25, 10), (240, 4)])
def test_the_error_stays_within_the_bound_and_nearly_always_within_the_uncertainty(jitter, count, hz):
    beyond = 0
    for seed in range(30):
        rng = random.Random(seed)
        world = World(seed, rng.randint(-5 * 10**9, 5 * 10**9), rng.uniform(-50e-6, 50e-6), JITTERS[jitter])
        at = world.pings(count, hz) + 300_000_000  # a fire lies ahead
        estimate = world.estimator.estimate(at)
        error = abs(estimate.offset_ns - world.theta(at))
        assert error <= estimate.bound_ns
        assert estimate.uncertainty_ns <= estimate.bound_ns
        beyond += error > estimate.uncertainty_ns
    assert beyond <= 2


def test_a_minute_on_a_jittery_line_is_good_enough_to_arm():
    """Jitter of 2 +- 1 ms each way: arming wants 0.5 ms."""
    for seed in range(10):
        world = World(seed, 10**9, 30e-6, JITTERS["2 +- 1 ms"])
        at = world.pings(240, 4)
        estimate = world.estimator.estimate(at)
        assert estimate.uncertainty_ns < 500_000
        assert abs(estimate.offset_ns - world.theta(at)) < 150_000
        assert abs(estimate.drift - 30e-6) < 5e-6


def test_unequal_ways_shift_the_estimate_within_the_bound():
    world = World(1, 10**9, 0.0, lambda rng: rng.uniform(0, 10_000), lambda rng: 2_000_000 + rng.uniform(0, 10_000))
    at = world.pings(100, 4)
    estimate = world.estimator.estimate(at)
    assert abs(estimate.offset_ns - world.theta(at)) <= estimate.bound_ns
    assert abs(estimate.offset_ns - world.theta(at)) > 900_000  # nothing can tell it from a clock that is off


def test_without_pings_it_says_so():
    with pytest.raises(ClockUnknown):
        ClockEstimator().estimate(0)


def test_impossible_stamps_are_left_out():
    estimator = ClockEstimator()
    assert not estimator.add(100, 0, 0, 50)  # came back before it left
    assert not estimator.add(100, 10, 5, 200)  # answered before it came
    assert not estimator.add(100, 0, 500, 200)  # the controller kept it longer than it was away
    assert estimator.add(100, 0, 10, 200)
    assert not estimator.add(20, 0, 10, 120)  # older than the last
    assert len(estimator) == 1


def test_a_steered_clock_is_followed():
    """After a change of drift by 400 ppm no line fits the whole minute; the old half is forgotten."""
    world = World(3, 10**9, 10e-6, JITTERS["quiet"])
    at = world.pings(120, 4)
    changed = World(4, round(world.theta(at) - 400e-6 * (at - START_NS)), 400e-6, JITTERS["quiet"])
    changed.estimator = world.estimator
    at = changed.pings(120, 4, start=at)
    estimate = world.estimator.estimate(at)
    assert abs(estimate.offset_ns - changed.theta(at)) <= estimate.uncertainty_ns
    assert estimate.samples < 240


def test_old_pings_are_thinned_and_leave_the_window():
    world = World(5)
    at = world.pings(1000, 10)
    assert 630 <= len(world.estimator) <= 645  # a minute of all, then one pair a second
    world.pings(3000, 10, start=at)
    assert 710 <= len(world.estimator) <= 725


def test_three_minutes_tell_the_drift_better_than_one():
    spread = {}
    for minutes in (1, 3):
        errors = []
        for seed in range(24):
            world = World(seed, 10**9, 30e-6, JITTERS["2 +- 1 ms"])
            at = world.pings(600 * minutes, 10)
            estimate = world.estimator.estimate(at)
            assert abs(estimate.offset_ns - world.theta(at)) <= estimate.uncertainty_ns
            errors.append(abs(estimate.drift - 30e-6))
        spread[minutes] = sum(errors)
    assert spread[3] < 0.85 * spread[1]


def test_a_drift_that_changes_with_the_temperature_is_followed():
    """By 0.1 parts in a million over three minutes, more than a body of a room does."""
    world = World(7, 10**9, 0.0, JITTERS["2 +- 1 ms"])
    world.theta = lambda t: 10**9 + 20e-6 * (t - START_NS) + 0.5 * 0.1e-6 / 180e9 * (t - START_NS) ** 2
    at = world.pings(1800, 10)
    estimate = world.estimator.estimate(at)
    assert abs(estimate.offset_ns - world.theta(at)) <= estimate.uncertainty_ns


def test_mappings_are_each_others_inverse():
    world = World(6, 3 * 10**9, 50e-6)
    at = world.pings(100, 4)
    estimate = world.estimator.estimate(at)
    for ahead in (-(10**9), 0, 150_000_000, 10**10):
        assert abs(estimate.to_node(estimate.to_controller(at + ahead)) - (at + ahead)) <= 2


@pytest.mark.parametrize("clock", [MonotonicClock(), EmulatedClock(5 * 10**9, 50.0), EmulatedClock(-(10**9), -50.0)])
def test_a_wait_never_ends_early(clock):
    for wait_ns in (0, 300_000, 2_000_000):
        at = clock.now_ns() + wait_ns
        assert clock.sleep_until(at, 100_000) >= at
        assert clock.now_ns() >= at


def test_an_emulated_clock_is_off_as_asked():
    before = time.monotonic_ns()
    clock = EmulatedClock(2 * 10**9, 100.0)
    offset = clock.now_ns() - time.monotonic_ns()
    assert abs(offset - 2 * 10**9) < 1_000_000 + (time.monotonic_ns() - before)
