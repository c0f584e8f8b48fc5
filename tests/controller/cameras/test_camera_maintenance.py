"""One camera is recovered, its faults are told, its missing photograph is given up; and none of it near a fire."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from patience import Patience, until

from camera_nodes import wire
from controller.cameras import body_recovery, camera_faults, camera_maintenance
from controller.errors import RigNotReady, SessionError
from controller.rig_file import Rig
from db.audit import audit_log
from db.engine import reading
from db.rigs.camera_events import events_of

RUNGS = body_recovery.RUNGS
WAIT_S = 60.0


def finished(studio: Any, recovery: str) -> body_recovery.RecoveryProgress:
    patience, told = Patience(WAIT_S), 0
    while not patience.spent():
        found = studio.maintenance.recoveries.progress(recovery, told, 1.0)
        told = len(found.steps)
        if found.done:
            return found
    raise AssertionError(f"not done: {found}")


def written(studio: Any, action: Any) -> list[Any]:
    studio.maintenance.writer.settle()
    with reading(studio.engine) as tx:
        return events_of(tx, studio.rig.name, action)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(body_recovery, "SILENCE_S", 0.3)
    monkeypatch.setattr(camera_maintenance, "WRITE_OFF_S", 0.5)


# --- with real nodes


def test_a_dead_body_is_recovered_beside_one_that_does_not_notice(
    home: Any, rig_of: Callable[..., Rig], fleet: Any, sim_url: Callable[..., str], photos: Path
) -> None:
    studio = home.open(rig_of(2))
    fleet.start(studio, {"cam-00": sim_url(0, photos, stuck_until="usb_reset"), "cam-01": sim_url(1, photos)})
    until(lambda: (state := studio.link.nodes().get("cam-00")) and state.hello.fault)
    until(lambda: "cam-01" in studio.roster().ready)
    session = studio.start_session(home.subject, "short")
    with pytest.raises(RigNotReady, match="cam-00"):
        studio.fire(session, "neutral")
    found = finished(studio, studio.maintenance.recover("cam-00", ["usb_reset"]))
    assert found.answers
    assert [(step.rung, step.outcome) for step in found.steps] == [("usb_reset", "begun"), ("usb_reset", "answers")]
    assert found.often == ""
    studio.wait_for_cameras(WAIT_S)
    fired = studio.fire(session, "neutral")
    assert fired.kept, fired.message
    assert fired.frames == 2
    neighbour = studio.link.nodes()["cam-01"]
    assert neighbour.hello.fault is None
    (event,) = written(studio, "camera.recover")
    assert event.camera == "cam-00"
    assert event.detail["session"] == session
    assert event.detail["answers"] is True
    assert event.detail["steps"][-1] == {"rung": "usb_reset", "outcome": "answers"}


def test_a_camera_that_needs_it_twice_is_named_and_after_a_restart_too(
    home: Any, rig_of: Callable[..., Rig], fleet: Any, sim_url: Callable[..., str], photos: Path
) -> None:
    rig = rig_of(1)
    studio = home.open(rig)
    fleet.start(studio, {"cam-00": sim_url(0, photos)})
    studio.wait_for_cameras(WAIT_S)
    session = studio.start_session(home.subject, "short")
    assert finished(studio, studio.maintenance.recover("cam-00", ["reopen"])).often == ""
    expected = "cam-00 was recovered twice in this session: change its cable or set it aside"
    assert finished(studio, studio.maintenance.recover("cam-00", ["reopen"])).often == expected
    studio.wait_for_cameras(WAIT_S)
    found = studio.preflight()
    (check,) = [check for check in found.checks if check.name == "recovered"]
    assert (check.level, check.cameras) == ("warning", {"cam-00": expected.removeprefix("cam-00 ")})
    fleet.stop()
    home.stack.close()  # the studio ends, and another is started in the same home
    again = home.open(rig)
    assert again.records.open_session() == session
    assert again.maintenance.recoveries.often() == {"cam-00": expected}
    with reading(again.engine) as tx:
        assert audit_log.verify_chain(tx).broken is None


# --- with a node spoken by hand


@pytest.fixture
def pair(home: Any, rig_of: Callable[..., Rig], speaker: Callable[..., Any]) -> tuple[Any, Any]:
    studio = home.open(rig_of(1))
    node = speaker(studio, "cam-00")
    node.greet()
    return studio, node


def status(**changes: Any) -> wire.Status:
    base = {"camera": "cam-00", "state": "idle", "free_bytes": 1, "spooled": 0, "spooled_bytes": 0}
    return wire.Status(**(base | changes))


def test_each_step_is_told_as_it_happens(pair: Any) -> None:
    studio, node = pair
    recovery = studio.maintenance.recover("cam-00", RUNGS)
    asked = node.hear(wire.Recover)
    assert (asked.recovery_id, asked.rungs) == (recovery, RUNGS)
    steps = (
        ("reopen", "begun", False), ("reopen", "failed", False), ("usb_reset", "begun", False),
        ("usb_reset", "impossible", False), ("", "given_up", True),
    )  # fmt: skip
    for told, (rung, outcome, last) in enumerate(steps):
        node.say(
            wire.RecoverStep(recovery_id=recovery, camera="cam-00", rung=rung, outcome=outcome, text="why", last=last)
        )
        found = studio.maintenance.recoveries.progress(recovery, told, WAIT_S)
        assert len(found.steps) == told + 1
        assert (found.steps[-1].rung, found.steps[-1].outcome, found.done) == (rung, outcome, last)
    assert not found.answers
    assert [step.line() for step in found.steps] == [
        "reopening it: why", "reopening it did not help: why", "USB reset: why", "USB reset is not possible here: why",
        "given up: why",
    ]  # fmt: skip


def test_a_step_told_again_after_a_reconnection_counts_once(pair: Any) -> None:
    studio, node = pair
    recovery = studio.maintenance.recover("cam-00", RUNGS)
    answers = wire.RecoverStep(
        recovery_id=recovery, camera="cam-00", rung="reopen", outcome="answers", text="here", last=True
    )
    for _ in range(3):
        node.say(answers)
    assert finished(studio, recovery).answers
    node.say(status())
    until(lambda: studio.link.nodes()["cam-00"].status)
    assert len(studio.maintenance.recoveries.progress(recovery).steps) == 1
    assert len(written(studio, "camera.recover")) == 1


def test_nothing_is_fired_during_a_recovery_and_none_begins_during_a_fire(home: Any, pair: Any) -> None:
    studio, node = pair
    session = studio.start_session(home.subject, "short")
    recovery = studio.maintenance.recover("cam-00", RUNGS)
    node.say(wire.RecoverStep(recovery_id=recovery, camera="cam-00", rung="usb_reset", outcome="begun"))
    studio.maintenance.recoveries.progress(recovery, 0, WAIT_S)
    named = r"Nothing was fired\. cam-00 is being recovered \(USB reset\): wait"
    for act in (lambda: studio.fire(session, "neutral"), studio.preflight, lambda: studio.measure_lags(5)):
        with pytest.raises(RigNotReady, match=named):
            act()
    assert studio.state_of(session).takes == ()
    with pytest.raises(SessionError, match="being recovered already"):
        studio.maintenance.recover("cam-00", RUNGS)
    node.say(wire.RecoverStep(recovery_id=recovery, camera="cam-00", rung="", outcome="given_up", last=True))
    finished(studio, recovery)
    with studio.firing.hold(), pytest.raises(SessionError, match="A take is being fired"):
        studio.maintenance.recover("cam-00", RUNGS)
    assert studio.maintenance.recoveries.under_way() == {}


@pytest.mark.usefixtures("quick")
def test_a_node_that_falls_silent_is_not_waited_for_for_ever(pair: Any) -> None:
    studio, _ = pair
    found = finished(studio, studio.maintenance.recover("cam-00", RUNGS))
    assert not found.answers
    assert found.steps[-1].outcome == "silent"
    assert "pkill -x cam-00" in found.steps[-1].text
    studio.maintenance.require_quiet()
    assert written(studio, "camera.recover") == []  # nothing was done with the body, as far as is known


def test_a_refusal_counts_for_nothing(pair: Any) -> None:
    studio, node = pair
    for _ in range(2):
        recovery = studio.maintenance.recover("cam-00", RUNGS)
        text = "the camera is armed: a fire is near"
        node.say(wire.RecoverStep(recovery_id=recovery, camera="cam-00", outcome="refused", text=text, last=True))
        assert not finished(studio, recovery).answers
    assert studio.maintenance.recoveries.often() == {}
    assert written(studio, "camera.recover") == []


def test_another_cameras_word_and_an_unknown_recovery_change_nothing(
    home: Any, rig_of: Callable[..., Rig], speaker: Callable[..., Any]
) -> None:
    studio = home.open(rig_of(2))
    first, second = speaker(studio, "cam-00"), speaker(studio, "cam-01")
    first.greet()
    second.greet()
    recovery = studio.maintenance.recover("cam-00", RUNGS)
    for name, camera in ((recovery, "cam-01"), ("nobody", "cam-01")):
        second.say(wire.RecoverStep(recovery_id=name, camera=camera, outcome="answers", last=True))
    second.say(status(camera="cam-01"))
    until(lambda: studio.link.nodes()["cam-01"].status)
    assert not studio.maintenance.recoveries.progress(recovery).done


def test_unknown_and_absent_cameras_are_named(home: Any, rig_of: Callable[..., Rig]) -> None:
    studio = home.open(rig_of(1))
    with pytest.raises(SessionError, match="cam-77 is not in the rig file"):
        studio.maintenance.recover("cam-77", RUNGS)
    with pytest.raises(RigNotReady, match=r"cam-00 cannot be recovered: no node announces it\. .*systemctl"):
        studio.maintenance.recover("cam-00", RUNGS)
    assert studio.maintenance.recoveries.under_way() == {}


# --- faults


def test_faults_outside_a_fire_are_shown_and_kept(home: Any, rig_of: Callable[..., Rig], pair: Any) -> None:
    studio, node = pair
    for code in ("stray", "unresolved", "written_off", "not_deleted", "photo_damaged", "capture_target"):
        node.say(wire.NodeFault(camera="cam-00", code=code, text=f"about {code}", take_id="S001-1-E01-1"))
    until(lambda: len(studio.maintenance.faults.faults("cam-00")) == 6)
    shown = studio.maintenance.history("cam-00").faults
    assert len(shown) == camera_maintenance.SHOWN
    assert "capture_target: about capture_target" in shown[0]
    assert [event.detail["code"] for event in written(studio, "camera.fault")] == [
        "stray", "unresolved", "written_off", "not_deleted", "photo_damaged", "capture_target",
    ]  # fmt: skip
    home.stack.close()
    again = home.open(rig_of(1))
    assert [fault.code for fault in again.maintenance.faults.faults("cam-00")][:2] == [
        "capture_target",
        "photo_damaged",
    ]


def test_a_fault_of_a_fire_belongs_to_its_take_alone(pair: Any) -> None:
    studio, node = pair
    node.say(wire.NodeFault(camera="cam-00", code="photo_missing", text="x", fire_id="f", take_id="S001-1-E01-1"))
    node.say(status())
    until(lambda: studio.link.nodes()["cam-00"].status)
    assert studio.maintenance.faults.faults("cam-00") == []


def test_a_node_that_never_stops_complaining_fills_nothing(pair: Any) -> None:
    studio, node = pair
    for number in range(200):
        node.say(wire.NodeFault(camera="cam-00", code="stray", text=f"IMG_{number:04d}.JPG belongs to no exposure"))
        node.say(wire.NodeFault(camera="cam-00", code="system_time", text=f"chrony is off by {number / 7:.3f} ms"))
    newest = "IMG_0199.JPG belongs to no exposure"
    until(lambda: any(fault.text == newest for fault in studio.maintenance.faults.faults("cam-00")))
    faults = until(lambda: [f for f in studio.maintenance.faults.faults("cam-00") if f.count == 200])
    assert [fault.code for fault in faults] == ["system_time"]  # one kind, whatever its figures
    assert len(studio.maintenance.faults.faults("cam-00")) == camera_faults.REMEMBERED
    assert len(written(studio, "camera.fault")) == camera_faults.RECORDED


# --- write-off


def test_a_photograph_that_never_came_is_given_up_by_name(pair: Any) -> None:
    studio, node = pair
    with pytest.raises(SessionError, match="nothing to write off"):
        studio.maintenance.write_off("cam-00", "")
    node.say(status(unresolved="S001-1-E03-1", strays=2))
    until(lambda: (state := studio.link.nodes()["cam-00"].status) and state.unresolved)
    (report,) = studio.cameras()
    assert report.unresolved == "S001-1-E03-1"
    assert "S001-1-E03-1" not in " ".join(report.problems)  # the next arming may find that there is no photograph
    assert any("2 files belong to no take" in warning for warning in report.warnings)
    checks = {check.name: check for check in studio.maintenance.checks()}
    assert checks["photographs"].level == "fault"
    told = checks["photographs"].cameras["cam-00"]
    assert all(words in told for words in ("S001-1-E03-1", "mien rig recover cam-00", "mien rig write-off cam-00"))
    assert checks["strays"].level == "warning"

    taken: list[str] = []
    asking = threading.Thread(target=lambda: taken.append(studio.maintenance.write_off("cam-00", "the card was lost")))
    asking.start()
    message = node.hear(wire.WriteOff)
    assert (message.take_id, message.why) == ("S001-1-E03-1", "the card was lost")
    node.say(wire.NodeFault(camera="cam-00", code="written_off", text="given up", take_id="S001-1-E03-1"))
    node.say(status())
    asking.join(WAIT_S)
    assert taken == ["S001-1-E03-1"]
    (event,) = written(studio, "camera.write_off")
    assert (event.camera, event.detail["take"], event.detail["reason"]) == (
        "cam-00", "S001-1-E03-1", "the card was lost",
    )  # fmt: skip
    assert {check.level for check in studio.maintenance.checks()} == {"ok"}


@pytest.mark.usefixtures("quick")
def test_a_node_that_does_not_write_off_is_named(pair: Any) -> None:
    studio, node = pair
    node.say(status(unresolved="S001-1-E03-1"))
    until(lambda: (state := studio.link.nodes()["cam-00"].status) and state.unresolved)
    with pytest.raises(RigNotReady, match=r"cam-00: its node has not written S001-1-E03-1 off"):
        studio.maintenance.write_off("cam-00", "")
    assert written(studio, "camera.write_off") == []
