"""READY is said when everything holds that a fire needs, and never otherwise; faults are told by cause and place."""

import time
from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from readiness_views import (
    BREAKS,
    NOW,
    NOW_NS,
    SHOW,
    all_well,
    armed,
    failed,
    gone,
    make_rig,
    with_cameras,
    with_session,
)

from camera_nodes import wire
from controller.node_links.fire_phase import CameraArming, after
from controller.readiness.causes import CAUSES
from controller.readiness.fault import Fault, Weight, since_when
from controller.readiness.judgement import judge
from controller.readiness.studio_view import LastTake, StudioView, TakeStage


def broken(names: Iterable[str]) -> StudioView:
    view = all_well()
    for name in sorted(names):
        view = BREAKS[name][2](view)
    return view


def the(view: StudioView, cause: str) -> Fault:
    (found,) = [fault for fault in judge(view).faults if fault.cause == cause]
    return found


def test_ready_is_said_when_everything_holds() -> None:
    found = judge(all_well())
    assert found.ready
    assert found.faults == ()
    assert found.bar.line() == "READY: smile"
    assert (found.bar.tone, found.bar.shape) == ("good", "circle")


@pytest.mark.parametrize("name", BREAKS)
def test_each_thing_alone_takes_ready_away_and_gives_it_back(name: str) -> None:
    cause, word, _ = BREAKS[name]
    found = judge(broken([name]))
    assert not found.ready
    assert found.bar.word == word
    assert found.bar.text
    if cause:
        (fault,) = [fault for fault in found.faults if fault.weight < Weight.NOTE or fault.cause == cause]
        assert fault.cause == cause
        assert fault.text
        assert fault.remedy is not None
        assert fault.remedy.text
    assert judge(broken([])).ready


@settings(max_examples=150, deadline=None)
@given(st.sets(st.sampled_from(sorted(BREAKS)), max_size=6))
def test_ready_is_said_if_and_only_if_all_of_it_holds(names: set[str]) -> None:
    found = judge(broken(names))
    assert found.ready == (not names)
    assert [fault.rank for fault in found.faults] == list(range(len(found.faults)))
    assert [fault.weight for fault in found.faults] == sorted(fault.weight for fault in found.faults)
    assert len({fault.id for fault in found.faults}) == len(found.faults)
    for fault in found.faults:
        assert fault.cause in CAUSES
        assert "\n" not in fault.short


def test_what_a_person_decided_is_told_of_and_holds() -> None:
    view = with_session(replace(all_well(), calibration_at=None), without=("calibration",))
    found = judge(view)
    assert found.ready
    assert [fault.cause for fault in found.faults] == ["calibration", "begun_without"]
    assert {fault.level for fault in found.faults} == {"warning"}


def test_nothing_asks_for_a_decision_about_takes_of_who_has_withdrawn() -> None:
    view = with_session(
        all_well(),
        consent="withdrawn",
        last=LastTake("t", SHOW, "smile", "undecided", looks=2, advice="a"),
        undecided=("u",),
    )
    assert [fault.cause for fault in judge(view).faults] == ["consent"]


def test_a_computer_that_is_off_is_one_line() -> None:
    found = the(broken(["a computer is off"]), "computer_off")
    assert found.text == "pi-00 is off, or off the network: 4 cameras (cam-00, cam-01, cam-02, cam-03)"
    assert found.short == "pi-00 off (4 cameras)"
    assert found.id == "computer_off:pi-00"
    assert found.cameras == ("cam-00", "cam-01", "cam-02", "cam-03")
    assert found.remedy is not None
    assert (found.remedy.action, found.remedy.command[:27]) == ("aside", "mien rig aside cam-00 cam-0")
    assert judge(broken(["a computer is off"])).bar.line() == "CANNOT FIRE: pi-00 off (4 cameras)"


def test_a_computer_of_which_one_camera_is_heard_is_not_off() -> None:
    view = with_cameras(all_well(), {key: {"heard": False, "discrepancy": gone()} for key in range(3)})
    assert the(view, "node_gone").text == "cam-00, cam-01, cam-02 at pi-00 are not heard: the node does not run"


def test_of_a_computer_with_one_camera_nobody_can_tell() -> None:
    view = with_cameras(all_well(4, on_each_computer=1), {2: {"heard": False, "discrepancy": gone()}})
    assert the(view, "node_gone").text == "cam-02 at pi-02 is not heard: the node does not run, or pi-02 is off"


def test_computers_of_one_name_are_told_apart() -> None:
    off = {"heard": False, "discrepancy": gone()}
    same = with_cameras(
        all_well(),
        {
            n: {"computer": f"raspberrypi/{n // 4}", "disk": f"raspberrypi/{n // 4}:7"} | (off if n > 3 else {})
            for n in range(8)
        },
    )
    assert the(same, "computer_off").place == "raspberrypi (cam-04 ...)"
    nameless = with_cameras(
        all_well(), {n: {"computer": f"{n // 4}", "node": f"cam-{n:02d}"} | (off if n > 3 else {}) for n in range(8)}
    )
    assert the(nameless, "computer_off").place == "the computer of cam-04, cam-05, cam-06, cam-07"


def test_a_hub_that_is_gone_is_one_line_and_half_a_hub_is_not() -> None:
    assert the(broken(["a hub is gone"]), "hub_gone").text == (
        "hub 1-1 of pi-00 is gone: 4 cameras (cam-00, cam-01, cam-02, cam-03)"
    )
    half = with_cameras(all_well(), {key: {"discrepancy": gone("missing", "no body")} for key in range(2)})
    assert the(half, "no_body").cameras == ("cam-00", "cam-01")


def test_a_long_list_is_shortened_and_names_all_to_programs() -> None:
    view = with_cameras(all_well(68), {key: {"lag_known": False} for key in range(42)})
    found = the(view, "lags")
    assert found.text == ("the shutter lag of cam-00, cam-01, cam-02, cam-03, cam-04, cam-05 and 36 more is not known")
    assert len(found.cameras) == len(found.data()["cameras"]) == 42


def test_the_worst_is_named_where_a_figure_is_over_its_limit() -> None:
    view = with_cameras(all_well(), {1: {"battery_percent": 20}, 5: {"battery_percent": 12}})
    assert the(view, "battery").text == "cam-05: battery 12 %, 25 % are needed; also cam-01"
    view = with_cameras(all_well(), {1: {"clock_uncertainty_ns": 600_000}, 3: {"clock_uncertainty_ns": 910_000}})
    assert the(view, "clock").text == "cam-03: clock uncertain by 0.91 ms, the limit is 0.5 ms; also cam-01"


def test_cards_and_disks_need_room_for_what_is_left_of_the_session() -> None:
    near_its_end = with_session(with_cameras(all_well(), {2: {"photos_left": 3}}), remaining=3)
    assert judge(near_its_end).ready
    assert the(with_session(near_its_end, remaining=4), "card").short == "cam-02 card has room for 3 frames"
    before = replace(near_its_end, session=None)
    assert the(before, "card").text == "cam-02: card has room for 3 frames, 40 are needed"


def test_42_cameras_that_woke_late_are_one_line_and_name_the_computer() -> None:
    view = all_well(68, on_each_computer=68)
    late = {f"cam-{n:02d}": f"missed: {10 + n / 10:.1f} ms late: not released" for n in range(42)}
    view = replace(with_session(view, last=failed(late)), here="pi-00/boot-0")
    found = judge(view)
    assert found.bar.line() == "RETAKE: 42 cameras woke late"
    assert found.faults[0].text == "42 cameras woke late: this computer is overloaded; worst cam-41, 14.1 ms"
    assert the(replace(view, here="other"), "take_late").text.startswith("42 cameras woke late: pi-00 is overloaded")
    several = replace(with_session(all_well(68), last=failed(late)))
    assert the(several, "take_late").text.startswith("42 cameras woke late: their computers are overloaded")
    assert found.faults[0].remedy is not None
    assert found.faults[0].remedy.command == f"mien session retake {SHOW}-E02"


@pytest.mark.parametrize(
    ("reason", "bar"),
    [
        ("its photograph did not come; nothing came in for 15 s", "cam-02 no photograph"),
        ("sim:seed=2 no longer answers: look at its cable and its power", "cam-02 asleep"),
        ("the camera has not answered for 4 s: look at its cable and power", "cam-02 asleep"),
        ("sim: is busy", "cam-02 busy"),
        ("the card of sim: is full (3 photographs): empty or change it (card_full)", "cam-02 card full"),
        ("battery 3 %", "cam-02 battery low"),
        ("iso: is '100' after setting '200'", "cam-02 settings refused"),
        ("no reply in 2000 ms after the fire", "cam-02 not heard"),
        ("missed: the fire arrived 3.2 ms too late", "cam-02 woke late"),
        ("its photograph was rejected: it was taken at another time", "cam-02 photograph rejected"),
        ("something else", "cam-02 failed"),
    ],
)
def test_the_bar_says_in_two_words_why_a_take_failed(reason: str, bar: str) -> None:
    found = judge(with_session(all_well(), last=failed({"cam-02": reason})))
    assert found.bar.line() == f"RETAKE: {bar}"
    assert found.faults[0].cameras == ("cam-02",)
    assert not found.ready


def test_a_whole_take_with_a_figure_over_its_limit_names_the_worst_camera() -> None:
    told = "exposure skew 23.60 ms is over 5 ms (cam-07 opened 23.4 ms late); cam-01: ISO 100 instead of 200"
    last = LastTake("t", f"{SHOW}-E02", "smile", "undecided", problem=told, looks=0)
    found = judge(with_session(all_well(), last=last))
    assert found.bar.line() == "LOOK: cam-07 opened 23.4 ms late"
    assert the(with_session(all_well(), last=last), "flagged").text == f"t: {told}"


def test_a_take_that_is_coming_in_tells_how_far_it_is() -> None:
    view = replace(all_well(), take=TakeStage(f"{SHOW}-E02-1", "coming", 8, 5))
    assert judge(view).bar.line() == "COMING IN: 5/8"
    assert judge(replace(view, take=TakeStage("t", "coming", 8, 5, ("cam-07",)))).bar.text == "5/8, cam-07 failed"


def test_the_exposure_of_the_take_under_way_is_not_missed_yet() -> None:
    waiting = with_cameras(all_well(), {2: {"unresolved": f"{SHOW}-E02-1", "state": "exposed"}})
    coming = replace(waiting, take=TakeStage(f"{SHOW}-E02-1", "coming", 8, 7))
    assert judge(coming).faults == ()
    assert {fault.cause for fault in judge(waiting).faults} == {"unresolved", "reading"}


def test_a_camera_that_is_aside_is_not_missed() -> None:
    found = judge(with_cameras(all_well(), {2: {"aside": "stuck (until it is brought back)", "discrepancy": gone()}}))
    assert found.ready
    assert [fault.text for fault in found.faults] == ["aside: cam-02: stuck (until it is brought back)"]


def test_a_fault_keeps_its_id_and_its_beginning_as_long_as_it_lasts() -> None:
    first = judge(broken(["a computer is off"]))
    told = since_when(first, {}, NOW)
    known = {fault.id: fault.since for fault in told.faults if fault.since}
    later = broken(["a computer is off", "the studio's disk is nearly full"])
    again = since_when(judge(replace(later, now=NOW + timedelta(minutes=5))), known, NOW + timedelta(minutes=5))
    assert {fault.cause: fault.since for fault in again.faults} == {
        "computer_off": NOW,
        "studio_disk": NOW + timedelta(minutes=5),
    }


def test_a_fire_with_another_profile_leaves_the_settings_known() -> None:
    view = all_well()
    arming = view.cameras[2].arming
    assert arming is not None
    polarised = CameraArming(NOW_NS, wire.Exposure(iso="400"), arming.armed)
    assert judge(with_cameras(view, {2: {"arming": after(arming, polarised)}})).ready
    refused = replace(arming, at_ns=NOW_NS, armed=None, refused="iso: is '100' after setting '200'", taken=())
    assert the(with_cameras(view, {2: {"arming": after(arming, refused)}}), "not_armed").cameras == ("cam-02",)


def test_one_trouble_of_a_camera_is_told_once() -> None:
    full = with_cameras(
        all_well(),
        {
            2: {
                "photos_left": 0,
                "arming": replace(armed(make_rig(3), "cam-02"), armed=None, taken=(), refused="the card is full"),
            }
        },
    )
    assert [fault.cause for fault in judge(full).faults] == ["card_full"]


@pytest.mark.parametrize("cause", ["the preflight is running", "a camera is being recovered", "a body still reads"])
def test_what_is_over_by_itself_is_no_alarm(cause: str) -> None:
    bar = judge(broken([cause])).bar
    assert (bar.word, bar.tone, bar.shape) == ("CANNOT FIRE", "wait", "bars")


def test_programs_are_told_no_nulls() -> None:
    for name in BREAKS:
        for fault in judge(broken([name])).data()["faults"].values():
            assert None not in fault.values()
            assert None not in fault.get("remedy", {}).values()


def test_it_is_cheap_with_68_cameras() -> None:
    """Ten times a second must cost a small part of a core, whatever is wrong."""
    well = all_well(68)
    ill = replace(well, cameras=tuple(replace(c, heard=False, discrepancy=gone(name=c.name)) for c in well.cameras))
    for view in (well, ill):
        took = []
        for _ in range(30):
            began = time.thread_time_ns()
            judge(view)
            took.append(time.thread_time_ns() - began)
        assert min(took) < 5_000_000, f"{min(took) / 1e6:.2f} ms"


def test_times_are_those_of_the_view() -> None:
    old = replace(all_well(), now_ns=NOW_NS + 40 * 60 * 10**9)
    assert judge(old).bar.line() == "CHECK: run the preflight (41 min old)"
