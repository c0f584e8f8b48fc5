"""Shutter lags: measured by shots of their own, kept by profile, used at the next fire; and what is left of them."""

import math
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from camera_nodes import wire
from controller.api.shutter_lag_routes import LagBody, lag_data, shots_data
from controller.errors import RigNotReady
from controller.firing.fire_timing import order_fire
from controller.rig_file import ExposureEntry, Rig
from controller.shutter_lag.lag_measurement import FREE_S, patience_s
from controller.shutter_lag.lag_statistics import (
    ShutterLagEstimate,
    expected_range,
    expected_range_of,
    outlook,
    settings_text,
    share_over,
)

LAGS_MS = (10.0, 24.0, 31.0)


# --- what is left over a rig ---


@pytest.mark.parametrize(("cameras", "told"), [(2, 1.128), (10, 3.078), (68, 4.733), (100, 5.015)])
def test_the_expected_range_is_tippetts(cameras: int, told: float) -> None:
    assert expected_range(cameras) == pytest.approx(told, abs=2e-3)


@settings(max_examples=8, deadline=None)
@given(st.lists(st.floats(0.1, 2.0), min_size=2, max_size=20), st.integers(0, 2**32 - 1))
def test_range_and_share_over_the_limit_are_what_drawing_gives(sigmas: list[float], seed: int) -> None:
    drawn = np.random.default_rng(seed).normal(size=(20_000, len(sigmas))) * sigmas
    ranges = np.ptp(drawn, axis=1)
    assert expected_range_of(sigmas) == pytest.approx(float(ranges.mean()), rel=0.03)
    for limit in (0.5 * ranges.mean(), ranges.mean(), 1.5 * ranges.mean()):
        assert share_over(sigmas, float(limit)) == pytest.approx(float((ranges > limit).mean()), abs=0.02)


def test_a_rig_that_can_hold_five_milliseconds_is_told_from_one_that_cannot() -> None:
    good = outlook([ShutterLagEstimate(f"c{i}", 30, 55.0, 0.3) for i in range(68)], 5.0)
    poor = outlook([ShutterLagEstimate(f"c{i}", 30, 55.0, 1.2) for i in range(68)], 5.0)
    assert good is not None
    assert poor is not None
    assert good.holds
    assert good.range_ms == pytest.approx(4.733 * 0.3 * math.sqrt(1 + 1 / 30), rel=1e-3)
    assert "68 cameras expect 1.44 ms (4.7 sigma) beside the limit of 5 ms: the rig can hold it" in good.text()
    assert not poor.holds
    assert "CANNOT" in poor.text()


def test_few_shots_widen_what_is_expected_and_one_camera_expects_nothing() -> None:
    few, many = (outlook([ShutterLagEstimate(name, shots, 50.0, 0.5) for name in "abc"], 5.0) for shots in (5, 500))
    assert few is not None
    assert many is not None
    assert few.range_ms > 1.05 * many.range_ms
    assert outlook([ShutterLagEstimate("a", 30, 50.0, 0.5)], 5.0) is None
    steady = outlook([ShutterLagEstimate("a", 30, 50.0, 0.0), ShutterLagEstimate("b", 30, 60.0, 0.0)], 5.0)
    assert steady is not None
    assert (steady.range_ms, steady.over, steady.holds) == (0.0, 0.0, True)


def test_a_lag_belongs_to_settings_not_to_lights() -> None:
    entry = ExposureEntry(iso="100", shutter="1/125", scene="soft")
    assert settings_text(entry) == settings_text(replace(entry, scene="hard")) == "iso 100, shutter 1/125"
    assert settings_text(ExposureEntry()) == "as the bodies are"


# --- a studio with real nodes ---


@pytest.fixture
def studio(
    home: Any, rig_of: Callable[..., Rig], fleet: Any, photos: Path, sim_url: Callable[..., str]
) -> Callable[..., Any]:
    """studio(): three cameras whose lags differ by 21 ms; neither the rig file nor the nodes know."""

    def begin(**changes: Any) -> Any:
        rig = replace(rig_of(len(LAGS_MS)), **changes)
        opened = home.open(rig)
        cameras = list(zip(rig.cameras, LAGS_MS, strict=True))
        fleet.start(opened, {camera.name: sim_url(camera.view, photos, lag_ms=lag) for camera, lag in cameras})
        opened.wait_for_cameras(60)
        return opened

    return begin


def test_lags_are_measured_kept_and_used_at_the_next_fire(studio: Callable[..., Any], home: Any, fleet: Any) -> None:
    opened = studio()
    session = opened.start_session(home.subject, "short")
    before = opened.fire(session, "neutral")
    assert before.skew.exposure_skew_ms > 15  # fired as if all lags were the same

    answer = shots_data(opened, LagBody(shots=5))
    found = {entry["camera"]: entry["mean_ms"] for entry in answer["lags"]}
    assert [found[camera.name] for camera in opened.rig.cameras] == pytest.approx(LAGS_MS, abs=0.3)
    assert answer["kept"]
    assert answer["measured_by"] == ["simulated"]
    assert answer["outlook"]["cameras"] == 3
    assert answer["observed_ms"] >= 0
    assert not answer["unmeasured"]

    order = order_fire("t", opened.rig, {})
    assert set(order.lags_ns.values()) == {0}
    used = opened.lag_store.applied(order, "default").lags_ns
    assert [used[camera.name] / 1e6 for camera in opened.rig.cameras] == pytest.approx(LAGS_MS, abs=0.3)
    after = opened.fire(session, "smile")
    assert after.kept, after.message
    command = after.skew.command_skew_ms
    assert abs(after.skew.exposure_skew_ms - command) < 1.5  # what is left is the commands' own lateness

    takes = [take.code for take in opened.state_of(session).takes]
    assert takes == [before.take, after.take]  # lag shots are no takes
    for camera in opened.rig.cameras:
        folder = fleet.folder / "spool" / camera.name / "rejected"
        assert not folder.exists() or not list(folder.iterdir())  # their photographs were let go, not refused


def test_lags_outlive_the_studio_and_end_with_the_profiles_settings(studio: Callable[..., Any], home: Any) -> None:
    opened = studio(profiles={"hard": ExposureEntry(iso="200")})
    opened.measure_lags(5, "hard")
    rig = opened.rig
    assert not lag_data(opened, "default")["kept"]
    assert lag_data(opened, "hard")["kept"]
    again = home.open(rig)
    assert [record.profile for record in again.lag_store.of("hard").values()] == ["hard"] * 3
    changed = home.open(replace(rig, profiles={"hard": ExposureEntry(iso="400")}))
    assert not changed.lag_store.of("hard")


def test_a_profile_that_was_not_measured_goes_by_the_default_profiles_lags(studio: Callable[..., Any]) -> None:
    opened = studio(profiles={"hard": ExposureEntry(iso="200")})
    opened.measure_lags(5)
    answer = lag_data(opened, "hard")
    assert answer["kept"]
    assert {entry["profile"] for entry in answer["lags"]} == {"default"}
    used = opened.lag_store.applied(order_fire("t", opened.rig, {}, "hard"), "hard").lags_ns
    assert [used[camera.name] / 1e6 for camera in opened.rig.cameras] == pytest.approx(LAGS_MS, abs=0.3)
    opened.measure_lags(5, "hard")
    assert {entry["profile"] for entry in lag_data(opened, "hard")["lags"]} == {"hard"}
    assert {entry["profile"] for entry in lag_data(opened, "default")["lags"]} == {"default"}


def test_each_camera_falls_back_on_its_own(home: Any, rig_of: Callable[..., Rig]) -> None:
    plain = rig_of(4)
    cameras = (*plain.cameras[:2], replace(plain.cameras[2], lag_ms=30.0), plain.cameras[3])
    rig = replace(plain, cameras=cameras, profiles={"hard": ExposureEntry(iso="200")})
    store = home.open(rig).lag_store
    store.keep(
        "default",
        [ShutterLagEstimate("cam-00", 30, 50.0, 0.3), ShutterLagEstimate("cam-01", 30, 51.0, 0.3)],
        "hot_shoe",
    )
    store.keep("hard", [ShutterLagEstimate("cam-00", 30, 60.0, 0.3)], "hot_shoe")
    order = order_fire("t", rig, {"cam-02": 1, "cam-03": 40_000_000}, "hard")
    lags = store.applied(order, "hard").lags_ns
    assert [lags[camera.name] / 1e6 for camera in cameras] == [60.0, 51.0, 30.0, 40.0]
    assert [(camera, lag.profile) for camera, lag in store.used("hard").items()] == [
        ("cam-00", "hard"),
        ("cam-01", "default"),
    ]


def test_nothing_is_taken_in_while_a_lag_shot_is_near_and_it_goes_on_between_shots(
    home: Any,
    rig_of: Callable[..., Rig],
    speaker: Callable[..., Any],
    jpeg: Callable[..., bytes],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("controller.shutter_lag.lag_measurement.FREE_S", 0.5)
    opened = home.open(rig_of(1))
    node = speaker(opened, "cam-00")
    node.greet()
    refusals: list[BaseException] = []

    def measure() -> None:
        try:
            opened.measure_lags(5)
        except RigNotReady as error:
            refusals.append(error)

    measuring = threading.Thread(target=measure)
    measuring.start()
    arm = node.hear(wire.Arm)
    node.offer("lag-earlier-1", jpeg(1))
    assert node.hear(wire.Stored, bulk=True, patience_s=0.5) is None
    node.say(wire.ArmRefused(fire_id=arm.fire_id, camera="cam-00", reasons=("busy",)))
    assert node.hear(wire.Stored, bulk=True) is not None
    while measuring.is_alive():
        if arm := node.hear(wire.Arm, patience_s=0.2):
            node.say(wire.ArmRefused(fire_id=arm.fire_id, camera="cam-00", reasons=("busy",)))
    assert "busy" in str(refusals[0])


def test_the_command_waits_longer_for_more_shots() -> None:
    assert patience_s(200) - patience_s(100) >= 100 * FREE_S


def test_a_camera_that_is_not_there_stops_the_shots_by_name(home: Any, rig_of: Callable[..., Rig]) -> None:
    opened = home.open(rig_of(2))
    with pytest.raises(RigNotReady, match="cam-01"):
        opened.measure_lags(5)
