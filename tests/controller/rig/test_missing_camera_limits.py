"""Which cameras a take may do without: the rig file's limits, what the farm needs, and who stands beside whom."""

import math
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from common.view_counts import FEWEST_VIEWS, allowed_missing
from controller.rig.missing_camera_limits import broken_rules, farm_spares, neighbours_of
from controller.rig_file import AsideLimits, CameraEntry, Rig, format_rig, parse_rig

CALM = settings(deadline=None)  # other tests run on this machine


def rig_of(frontal: int, side: int, **limits: Any) -> Rig:
    tiers = ["frontal"] * frontal + ["side"] * side
    cameras = tuple(CameraEntry(f"cam-{view:02d}", view, tier=tier) for view, tier in enumerate(tiers))
    return Rig("rig", cameras, aside=AsideLimits(**limits))


def looking_at_origin(places: list[tuple[float, float, float]]) -> dict[str, Any]:
    """params.json's keys of cameras at these places; which way they look does not matter here, but for one turn."""
    found: dict[str, Any] = {}
    for view, place in enumerate(places):
        angle = 0.3 * view
        R = np.array([[math.cos(angle), 0, math.sin(angle)], [0, 1, 0], [-math.sin(angle), 0, math.cos(angle)]])
        found[f"{view}_Rt"] = np.c_[R, -R @ np.array(place)].tolist()
    return found


@CALM
@given(st.integers(FEWEST_VIEWS, 200))
def test_the_studio_spares_what_the_farm_spares(cameras: int) -> None:
    assert farm_spares(cameras) == allowed_missing(cameras)


@CALM
@given(st.integers(1, FEWEST_VIEWS - 1))
def test_a_rig_too_small_for_a_scan_never_loses_all_its_cameras(cameras: int) -> None:
    assert farm_spares(cameras) < cameras


@CALM
@given(st.data())
def test_a_set_is_allowed_if_and_only_if_every_count_is_kept_and_no_two_are_neighbours(data: st.DataObject) -> None:
    frontal, side = data.draw(st.integers(1, 12)), data.draw(st.integers(0, 12))
    most = {key: data.draw(st.integers(0, 6)) for key in ("max", "max_frontal", "max_side")}
    rig = rig_of(frontal, side, **most, allow_neighbours=data.draw(st.booleans()))
    names = [camera.name for camera in rig.cameras]
    out = data.draw(st.sets(st.sampled_from(names)))
    beside = neighbours_of(rig, None)
    broken = broken_rules(rig, out, beside)

    views = sorted(int(name[-2:]) for name in out)
    may = (
        len(out) <= min(most["max"], farm_spares(len(names)))
        and sum(view < frontal for view in views) <= most["max_frontal"]
        and sum(view >= frontal for view in views) <= most["max_side"]
        and (rig.aside.allow_neighbours or all(b - a > 1 for a, b in pairwise(views)))
    )
    assert (not broken) == may
    # What is allowed stays allowed with fewer missing, and what is refused says which rule.
    for name in out if may else ():
        assert not broken_rules(rig, out - {name}, beside)
    assert all("[aside]" in rule or "the farm" in rule for rule in broken)


@CALM
@given(st.integers(5, 40), st.floats(500, 5000), st.integers(0, 39))
def test_on_a_ring_the_neighbours_are_left_and_right_whatever_the_numbering(n: int, radius: float, seed: int) -> None:
    order = np.random.default_rng(seed).permutation(n)
    places = [(0.0, 0.0, 0.0)] * n
    for spot, view in enumerate(order):
        angle = 2 * math.pi * spot / n
        places[view] = (radius * math.sin(angle), 0.0, radius * math.cos(angle))
    beside = neighbours_of(rig_of(n, 0), looking_at_origin(places))
    for spot, view in enumerate(order):
        wanted = {f"cam-{order[(spot + step) % n]:02d}" for step in (-1, 1)}
        assert beside[f"cam-{view:02d}"] == wanted


def test_the_ends_of_an_open_arc_are_no_neighbours() -> None:
    n = 13
    places = [(math.sin(a), 0.0, math.cos(a)) for a in (math.radians(-120 + 20 * view) for view in range(n))]
    beside = neighbours_of(rig_of(n, 0), looking_at_origin(places))
    assert beside["cam-00"] == {"cam-01"}
    assert beside[f"cam-{n - 1:02d}"] == {f"cam-{n - 2:02d}"}


@CALM
@given(st.lists(st.tuples(*[st.floats(-1, 1)] * 3), min_size=12, max_size=12))
def test_in_a_wall_of_rows_above_and_below_are_neighbours_too_and_nobody_else(
    off_mm: list[tuple[float, float, float]],
) -> None:
    straight = [(100.0 * column, 90.0 * row, 0.0) for row in range(3) for column in range(4)]
    places = [(x + a, y + b, z + c) for (x, y, z), (a, b, c) in zip(straight, off_mm, strict=True)]
    beside = neighbours_of(rig_of(12, 0), looking_at_origin(places))
    assert beside["cam-05"] == {"cam-04", "cam-06", "cam-01", "cam-09"}


@CALM
@given(st.lists(st.tuples(*[st.floats(-2000, 2000)] * 3), min_size=2, max_size=14, unique=True))
def test_neighbours_are_mutual_and_the_nearest_pair_is_one(places: list[tuple[float, float, float]]) -> None:
    n = len(places)
    points = np.array(places)
    distances = np.linalg.norm(points[:, None] - points[None], axis=2) + np.where(np.eye(n, dtype=bool), np.inf, 0)
    assume(distances.min() > 1)
    beside = neighbours_of(rig_of(n, 0), looking_at_origin(places))
    assert all(one in beside[other] for one, others in beside.items() for other in others)
    a, b = np.unravel_index(distances.argmin(), distances.shape)
    assert f"cam-{a:02d}" in beside[f"cam-{b:02d}"]
    assert all(beside.values())  # however lonely, each camera has a neighbour


def test_a_camera_without_a_place_is_beside_the_next_numbers() -> None:
    places = [(1000.0 * view, 0.0, 0.0) for view in (0, 3, 1, 4, 2, 5)]
    calibration = looking_at_origin(places) | {"2_valid": False}
    beside = neighbours_of(rig_of(6, 0), calibration)
    assert beside["cam-02"] == {"cam-01", "cam-03"}
    assert "cam-04" in beside["cam-00"] or "cam-04" in beside["cam-01"]
    assert "cam-01" not in beside["cam-00"]
    for broken in ({"0_Rt": "nonsense"}, {"0_Rt": [[1.0]]}, {"0_Rt": [[math.nan] * 4] * 3}, None):
        assert neighbours_of(rig_of(3, 0), broken)["cam-01"] == {"cam-00", "cam-02"}


def test_a_refusal_names_the_rule_the_cameras_and_what_to_do() -> None:
    rig = rig_of(4, 8, max=3, max_frontal=1)
    (rule,) = broken_rules(rig, ["cam-00", "cam-02"], neighbours_of(rig, None))
    assert (
        rule
        == "2 frontal cameras would be missing (cam-00, cam-02), 1 may be ('max_frontal' in [aside] of the rig file)"
    )
    (rule,) = broken_rules(rig, ["cam-05", "cam-06"], neighbours_of(rig, None))
    assert "cam-05 and cam-06 stand side by side" in rule
    assert "allow_neighbours = true" in rule
    (rule,) = broken_rules(rig_of(6, 0), ["cam-01"], {})
    assert "of 6 views the farm can do without 0" in rule


def test_the_section_is_read_written_and_checked() -> None:
    document = {"name": "a", "camera": [{"name": "cam-00", "view": 0}], "aside": {"max": 6, "allow_neighbours": True}}
    rig = parse_rig(document, "rig.toml")
    assert rig.aside == AsideLimits(max=6, allow_neighbours=True)
    import tomllib

    assert parse_rig(tomllib.loads(format_rig(rig)), "rig.toml") == rig
    from controller.errors import ConfigurationError

    with pytest.raises(ConfigurationError, match="did you mean 'max_frontal'"):
        parse_rig(document | {"aside": {"max_frontl": 1}}, "rig.toml")
    with pytest.raises(ConfigurationError, match="'max' in \\[aside\\] must be 0 or above"):
        parse_rig(document | {"aside": {"max": -1}}, "rig.toml")
    with pytest.raises(ConfigurationError, match="must be bool"):
        parse_rig(document | {"aside": {"allow_neighbours": 1}}, "rig.toml")
    assert replace(rig, aside=AsideLimits()).without({"cam-00"}).cameras == ()
