"""A body is recovered by the gentlest rung that does it, each step is told, and never near a fire."""

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st
from patience import Patience

from camera_nodes import wire
from camera_nodes.backends import make_camera
from camera_nodes.camera import CameraState
from camera_nodes.camera_control.recovery import recover_camera
from camera_nodes.wire import Exposure

RUNGS = ("reopen", "usb_reset", "power_cycle")


class Teller:
    def __init__(self):
        self.steps = []

    def __call__(self, rung, outcome, text):
        self.steps.append((rung, outcome))
        self.text = text


def quick(_rung):
    return 0.0


@given(stuck=st.sampled_from(RUNGS), rungs=st.lists(st.sampled_from(RUNGS), min_size=1, max_size=3, unique=True))
def test_it_answers_by_the_first_rung_that_is_enough(stuck, rungs):
    """Whatever holds the body, and whatever is tried: each rung is told, nothing is tried after the one that did it."""
    camera, tell = make_camera(f"sim:stuck_until={stuck}"), Teller()
    enough = [rung for rung in rungs if RUNGS.index(rung) >= RUNGS.index(stuck)]
    answers = recover_camera(camera, tuple(rungs), tell, threading.Event(), quick)
    assert answers == bool(enough)
    assert (camera.state is CameraState.IDLE) == answers
    tried = rungs[: rungs.index(enough[0]) + 1] if enough else rungs
    expected = [step for rung in tried for step in ((rung, "begun"), (rung, "failed"))]
    if enough:
        expected[-1] = (tried[-1], "answers")
    assert tell.steps == expected


def test_a_rung_that_cannot_be_had_is_passed_over():
    camera, tell = make_camera("gphoto2:ptpip:127.0.0.1"), Teller()
    assert not recover_camera(camera, ("usb_reset", "power_cycle"), tell, threading.Event(), quick)
    assert [outcome for _, outcome in tell.steps] == ["begun", "impossible", "begun", "impossible"]
    assert "over the network" in tell.text


def test_what_a_body_was_armed_for_is_let_go():
    camera = make_camera("sim:seed=1")
    camera.open()
    camera.arm(Exposure())
    assert recover_camera(camera, RUNGS, Teller(), threading.Event(), quick)
    assert camera.state is CameraState.IDLE


def test_an_end_of_the_node_is_not_waited_out():
    stopping = threading.Event()
    stopping.set()
    tell = Teller()
    assert not recover_camera(make_camera("sim:stuck_until=power_cycle"), RUNGS, tell, stopping, lambda _rung: 3600.0)
    assert tell.steps == [("reopen", "begun"), ("reopen", "failed")]


# --- on a node


def steps(studio, recovery_id):
    return [
        (m.rung, m.outcome)
        for _, m, _ in studio.seen
        if isinstance(m, wire.RecoverStep) and m.recovery_id == recovery_id
    ]


def ended(studio, recovery_id):
    return studio.wait(wire.RecoverStep, lambda m: m.recovery_id == recovery_id and m.last)


def test_a_dead_body_comes_back_and_is_announced(studio, start_node):
    start_node("sim:stuck_until=usb_reset&seed=4")
    assert studio.wait(wire.Hello, lambda h: h.fault is not None).serial == ""
    studio.wait_for_clock("cam-00")
    studio.send("cam-00", wire.Recover(recovery_id="r1", rungs=("usb_reset",)))
    last = ended(studio, "r1")
    assert (last.rung, last.outcome) == ("usb_reset", "answers")
    assert "SIM000004" in last.text
    assert steps(studio, "r1") == [("usb_reset", "begun"), ("usb_reset", "answers")]
    studio.wait(wire.Hello, lambda h: h.fault is None and h.serial == "SIM000004")
    assert isinstance(studio.arm("cam-00", "f1"), wire.Armed)


def test_the_same_recovery_asked_again_is_answered_and_not_done_again(studio, start_node):
    start_node()
    studio.wait_for_clock("cam-00")
    studio.send("cam-00", wire.Recover(recovery_id="r1", rungs=("reopen",)))
    first = ended(studio, "r1")
    studio.send("cam-00", wire.Recover(recovery_id="r1", rungs=("reopen",)))
    again = studio.wait(wire.RecoverStep, lambda m: m.last, count=2)
    assert again == first
    assert steps(studio, "r1") == [("reopen", "begun"), ("reopen", "answers"), ("reopen", "answers")]


def test_no_recovery_near_a_fire(studio, start_node):
    start_node(max_late_ms=10_000.0)
    studio.wait_for_clock("cam-00")
    assert isinstance(studio.arm("cam-00", "f1"), wire.Armed)
    studio.send("cam-00", wire.Recover(recovery_id="r1"))
    refused = ended(studio, "r1")
    assert (refused.outcome, refused.text) == ("refused", "the camera is armed: a fire is near")
    studio.fire("cam-00", "f1")
    assert not studio.wait(wire.Stamps).missed
    studio.wait(wire.FrameSpooled)


def test_no_fire_while_it_is_recovered(studio, start_node):
    """The body stays away for good, so the recovery lasts as long as the test looks at it."""
    start_node("sim:stuck_until=power_cycle", max_late_ms=10_000.0)
    studio.wait_for_clock("cam-00")
    studio.send("cam-00", wire.Recover(recovery_id="r1", rungs=("usb_reset",)))
    studio.wait(wire.RecoverStep)
    refused = studio.arm("cam-00", "f1")
    assert refused.reasons == ("the camera is being recovered: wait until that is over",)
    studio.send("cam-00", wire.Recover(recovery_id="r2"))
    assert ended(studio, "r2").text == "the camera is being recovered"
    studio.fire("cam-00", "f1")
    stamps = studio.wait(wire.Stamps)
    assert stamps.missed
    assert "being recovered" in stamps.reason


def test_the_photograph_is_read_first(studio, start_node):
    start_node("sim:lag_ms=5&download_ms=700", max_late_ms=10_000.0)
    studio.wait_for_clock("cam-00")
    studio.arm("cam-00", "f1")
    studio.fire("cam-00", "f1")
    studio.wait(wire.Stamps)
    studio.send("cam-00", wire.Recover(recovery_id="r1", rungs=("reopen",)))
    assert ended(studio, "r1").outcome == "answers"
    spooled_at = next(at for _, m, at in studio.seen if isinstance(m, wire.FrameSpooled))
    first = next(m for _, m, _ in studio.seen if isinstance(m, wire.RecoverStep))
    assert (first.rung, first.text) == ("", "waits: the last photograph is still being read from the camera")
    begun_at = next(at for _, m, at in studio.seen if isinstance(m, wire.RecoverStep) and m.rung == "reopen")
    assert begun_at >= spooled_at
    assert isinstance(studio.arm("cam-00", "f2"), wire.Armed)


def test_in_the_window_nothing_is_answered_and_afterwards_it_is_refused_or_done(studio, start_node):
    start_node("sim:lag_ms=5&jitter_ms=0&download_ms=200", max_late_ms=10_000.0)
    studio.wait_for_clock("cam-00")
    studio.arm("cam-00", "f1")
    fire = studio.fire("cam-00", "f1", in_ms=800)
    studio.send("cam-00", wire.View(on=True, every_ms=100))
    studio.send("cam-00", wire.Recover(recovery_id="r1", rungs=("reopen",)))
    stamps = studio.wait(wire.Stamps)
    assert not stamps.missed, stamps.reason
    begin, end = fire.at_ns - 600_000_000, fire.at_ns + wire.QUIET_AFTER_NS - stamps.clock_uncertainty_ns
    assert [m for _, m, at in studio.seen if begin < at < end] == []
    assert ended(studio, "r1").outcome == "refused"
    assert "a fire is near" in ended(studio, "r1").text
    studio.wait(wire.FrameSpooled)


def test_a_node_stops_in_the_middle_of_a_recovery(studio, start_node):
    node = start_node("sim:stuck_until=power_cycle")
    studio.wait_for_clock("cam-00")
    studio.send("cam-00", wire.Recover(recovery_id="r1", rungs=("usb_reset",)))
    studio.wait(wire.RecoverStep)
    patience = Patience(15)
    node.stop()
    assert not patience.spent()  # of the 15 s and more that the body would have been waited for


@pytest.mark.parametrize("stuck", ["", "socket"])
def test_what_a_body_may_be_stuck_until_is_held_to(stuck):
    from camera_nodes.errors import BadAddress

    if stuck:
        with pytest.raises(BadAddress, match="stuck_until is one of reopen, usb_reset, power_cycle"):
            make_camera(f"sim:stuck_until={stuck}")
    else:
        make_camera("sim:stuck_until=")
