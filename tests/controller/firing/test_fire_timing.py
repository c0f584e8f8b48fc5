"""The moment of a fire and the three numbers follow from the stamps alone."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from camera_nodes.wire import Stamps
from controller.firing.fire_timing import Skew, lead_ns, measure, order_fire, stamp_faults, worst_cameras
from controller.rig_file import CameraEntry, Rig, SyncLimits

MS = 1_000_000


def stamp(camera: str, error_ms: float, exposed_ms: float | None = None, source: str | None = "simulated") -> Stamps:
    return Stamps(
        fire_id="f",
        take_id="t",
        camera=camera,
        commanded_at_ns=5_000 * MS,
        clock_uncertainty_ns=round(0.1 * MS),
        released_at_ns=5_000 * MS + round(error_ms * MS),
        exposed_at_ns=None if exposed_ms is None else 5_000 * MS + round(exposed_ms * MS),
        exposure_source=None if exposed_ms is None else source,
    )


def missed(camera: str) -> Stamps:
    return Stamps(
        fire_id="f", take_id="t", camera=camera, commanded_at_ns=0, clock_uncertainty_ns=0, missed=True, reason="late"
    )


@given(st.lists(st.floats(-3, 3), min_size=1, max_size=68), st.floats(0, 100))
def test_skew_is_the_spread_of_the_errors_whatever_the_lag(errors: list[float], lag_ms: float) -> None:
    skew = measure([stamp(f"c{i}", error, error + lag_ms) for i, error in enumerate(errors)])
    spread = pytest.approx(max(errors) - min(errors), abs=1e-5)
    assert skew.command_skew_ms == spread
    assert skew.exposure_skew_ms == spread
    assert skew.clock_uncertainty_ms == pytest.approx(0.1)
    assert skew.exposure_source == "simulated"


def test_exposure_skew_of_a_part_of_the_rig_is_not_measured() -> None:
    skew = measure([stamp("a", 0, 58), stamp("b", 0)])
    assert (skew.exposure_skew_ms, skew.exposure_source) == (None, "not_measured")
    mixed = measure([stamp("a", 0, 58), stamp("b", 0, 58, "hot_shoe")])
    assert (mixed.exposure_skew_ms, mixed.exposure_source) == (None, "not_measured")


def test_nothing_fired_is_nothing_measured_and_is_flagged() -> None:
    assert measure([]) == measure([missed("a")]) == Skew()
    assert Skew().flags(SyncLimits()) == ["sync was not measured"]


def test_a_take_over_the_limit_is_always_flagged() -> None:
    limits = SyncLimits()
    assert Skew(4.9, 0.4, 4.9, "hot_shoe").flags(limits) == []
    assert len(Skew(5.1, 0.6, 5.1, "hot_shoe").flags(limits)) == 3


def test_the_camera_that_spoils_a_figure_is_named_with_it() -> None:
    stamps = {f"cam-{n}": stamp(f"cam-{n}", 0.1 * n, 58 + 0.1 * n) for n in range(6)}
    stamps["cam-7"] = stamp("cam-7", 0.2, 81.6)
    stamps["cam-8"] = missed("cam-8")
    flags = measure(stamps.values()).flags(SyncLimits(), worst_cameras(stamps))
    assert flags == ["exposure skew 23.60 ms is over 5 ms (cam-7 opened 23.3 ms late)"]
    stamps["cam-7"] = stamp("cam-7", -9)
    assert worst_cameras(stamps)["command skew"] == "cam-7 was released 9.2 ms early"
    assert worst_cameras({"cam-8": missed("cam-8")}) == {}


def test_silent_and_missed_cameras_are_named() -> None:
    faults = stamp_faults(["a", "b", "c"], {"a": stamp("a", 0), "b": missed("b")}, 2000)
    assert faults == {"b": "missed: late", "c": "no reply in 2000 ms after the fire"}


@given(st.lists(st.integers(0, 200 * MS), max_size=80), st.lists(st.integers(0, 100 * MS), max_size=68))
def test_the_lead_covers_the_floor_the_round_trips_and_the_longest_lag(trips: list[int], lags: list[int]) -> None:
    lead = lead_ns(SyncLimits(), trips, lags) - max(lags, default=0)
    assert lead >= 150 * MS
    assert sum(lead < 5 * trip for trip in trips) <= 0.01 * len(trips)
    if all(5 * trip <= 150 * MS for trip in trips):
        assert lead == 150 * MS


def test_the_rig_files_lag_goes_before_the_nodes_own() -> None:
    rig = Rig("r", (CameraEntry("a", 0, lag_ms=58.0), CameraEntry("b", 1), CameraEntry("c", 2)))
    order = order_fire("take", rig, {"a": 1, "b": 47 * MS, "c": None})
    assert order.lags_ns == {"a": 58 * MS, "b": 47 * MS, "c": 0}
    assert order_fire("take", rig, {}).fire_id != order.fire_id
    assert order_fire("take", replace(rig, name="s"), {}).exposure.iso is None
