"""Decisions one by one: consent at each step, calibrations that come later, takes given away, closes taken back."""

import hashlib
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, select, update

from controller.api.session_data import session_data
from controller.errors import ConfigurationError, NotPrepared, SessionError
from controller.firing.fire_timing import Skew
from controller.preflight.start_requirements import require_decision
from controller.rig_file import CameraEntry, Rig
from controller.sessions.operator_decisions import ClosingDecision, Decisions
from controller.sessions.session_store import SessionStore
from controller.studio import Studio
from db import captures
from db.audit import audit_log
from db.engine import reading, transaction, utc_now
from db.errors import ConsentError, NotFound, StateConflict
from db.models import ActKind, AuditEvent, Calibration, ConsentScope, Frame, SessionAct, SessionState, Take, TakeState
from db.rigs import rig_records
from db.stage_runs import job_queue
from db.stage_runs.job_queue import JobSpec
from db.stage_runs.ready_takes import session_marks
from db.subjects import give_consent, withdraw_consent

RIG = Rig("booth", tuple(CameraEntry(f"cam-{view:02d}", view) for view in range(6)))


class Desk:
    """A rig of six cameras, a subject, and takes whose photographs are rows."""

    def __init__(self, engine: Engine, studio_rows: Any, *scopes: ConsentScope, later: bool = False) -> None:
        self.engine, self.records, self.decisions = engine, SessionStore(engine, RIG), Decisions(engine, RIG)
        with transaction(engine) as tx:
            self.subject = studio_rows.subject(tx, *scopes).code
            from db.protocols import FACESCAPE, install_protocol

            install_protocol(tx, FACESCAPE)
        self.session = self.records.start_session(self.subject, None, None, consent_later=later)

    def shoot(self, position: int, *, accepted: bool = False, lacking: int = 0) -> str:
        take = self.records.plan(self.session, position)
        self.records.fired(take)
        with transaction(self.engine) as tx:
            row = captures.get_take(tx, take)
            cameras = rig_records.get_rig(tx, RIG.name).cameras[lacking:]
            captures.add_frames(
                tx, row, [captures.FrameData(c.id, hashlib.sha256(f"{take}{c.id}".encode()).hexdigest(), 9, 8, 12)
                          for c in cameras]
            )  # fmt: skip
        if lacking:
            self.records.failed(take, "cam-00 is silent", Skew())
        else:
            self.records.captured(take, Skew(), [], {})
        if accepted:
            self.records.accept(take)
        return take

    def state(self, take: str) -> TakeState:
        return self.records.take(take).state

    def consents(self) -> None:
        with transaction(self.engine) as tx:
            give_consent(tx, self.person(tx), ConsentScope.RESEARCH_RELEASE, date(2026, 1, 2))

    def withdraws(self) -> None:
        with transaction(self.engine) as tx:
            withdraw_consent(tx, self.person(tx))

    def person(self, tx: Any) -> Any:
        return captures.get_session(tx, self.session).subject

    def asked(self, take: str, begun: bool = False) -> None:
        """The farm has asked for a run of the take, or begun with it."""
        with transaction(self.engine) as tx:
            row = captures.get_take(tx, take)
            key = hashlib.sha256(f"job {take}".encode()).hexdigest()
            spec = JobSpec(key, "reconstruct", 1, {}, subject_id=row.session.subject_id, take_id=row.id)
            assert job_queue.enqueue(tx, spec)
            if begun:
                assert job_queue.claim(tx, "worker") is not None


@pytest.fixture
def desk(engine: Engine, studio_rows: Any) -> Desk:
    return Desk(engine, studio_rows, ConsentScope.RESEARCH_RELEASE)


def test_a_session_begun_before_the_consent_waits_for_it(engine: Engine, studio_rows: Any) -> None:
    desk = Desk(engine, studio_rows, later=True)
    desk.records.add_calibration("board", {"0_K": 1})
    take = desk.shoot(1, accepted=True)
    told = session_data(desk.records.state_of(desk.session))["consent"]
    assert told["later"]["by"] == audit_log.actor()
    assert "nothing is handed off" in told["told"]
    closed = desk.decisions.close(desk.session, True, ClosingDecision())
    assert closed.ready == ()
    with transaction(engine) as tx:
        assert session_marks(tx, unclosed=True) == []
        row = captures.get_take(tx, take)
        assert not job_queue.enqueue(
            tx, JobSpec("a" * 64, "s", 1, {}, subject_id=row.session.subject_id, take_id=row.id)
        )
        started = tx.scalars(select(AuditEvent).where(AuditEvent.action == "session.start")).one()
        assert started.detail["consent_later"] is True
    desk.consents()
    assert desk.decisions.hand_off(desk.session).ready == (take,)
    with reading(engine) as tx:
        assert [mark.code for mark in session_marks(tx, unclosed=False)] == [desk.session]


@pytest.mark.parametrize("later", [True, False])
def test_everything_withdrawn_in_the_middle_stops_every_act_and_loses_nothing(
    engine: Engine, studio_rows: Any, later: bool
) -> None:
    desk = Desk(engine, studio_rows, *([] if later else [ConsentScope.RESEARCH_RELEASE]), later=later)
    if later:
        desk.consents()
    accepted, waiting = desk.shoot(1, accepted=True), desk.shoot(2)
    planned = desk.records.plan(desk.session, 3)
    desk.withdraws()
    acts: list[Callable[[], Any]] = [
        lambda: desk.records.fired(planned),
        lambda: desk.records.plan(desk.session, 4),
        lambda: desk.records.accept(waiting),
        lambda: desk.records.accept(waiting, choose=True),
        lambda: desk.decisions.undo(desk.session),
        lambda: desk.decisions.reassign(desk.records.state_of(desk.session), waiting, "anger"),
    ]
    for act in acts:
        with pytest.raises(ConsentError, match=r"(?s)in quarantine.*mien session close"):
            act()
    desk.records.failed(planned, "not fired")
    closed = desk.decisions.close(desk.session, True, desk.decisions.kept(desk.records.state_of(desk.session), (), ()))
    assert closed.ready == ()
    assert "quarantine" in closed.held[0].why
    assert (desk.state(accepted), desk.state(waiting)) == (TakeState.ACCEPTED, TakeState.CAPTURED)
    desk.consents()  # signs again
    assert desk.decisions.reopen(desk.session) is SessionState.OPEN
    desk.records.accept(waiting)


def test_a_later_calibration_serves_the_takes_that_have_none_and_no_other(desk: Desk) -> None:
    early, failed = desk.shoot(1, accepted=True), desk.shoot(2, lacking=1)
    held = desk.decisions.hand_off(desk.session).held
    assert [reason.takes for reason in held] == [(early,)]
    assert "mien rig calibration" in held[0].do
    first = desk.records.add_calibration("board", {"0_K": 1})
    late = desk.shoot(3)
    second = desk.records.add_calibration("board", {"0_K": 2})
    with transaction(desk.engine) as tx:  # the second was made long after the session
        tx.execute(
            update(Calibration).where(Calibration.version == second).values(made_at=utc_now() + timedelta(days=9))
        )
    served = desk.decisions.calibrate(desk.session)
    assert {(one.take, one.version) for one in served} == {(early, first), (failed, first)}
    assert desk.decisions.calibrate(desk.session) == []
    assert desk.decisions.hand_off(desk.session).ready == (early,)
    assert [one.version for one in desk.decisions.calibrate(take=late, version=second)] == [second]
    with pytest.raises(NotFound, match="it has 1, 2"):
        desk.decisions.calibrate(desk.session, version=7)
    with reading(desk.engine) as tx:
        acts = tx.scalars(select(SessionAct).where(SessionAct.kind == ActKind.CALIBRATE)).all()
        assert [act.detail["chosen"] for act in acts] == [False, False, True]


def test_a_take_given_to_another_expression_is_found_by_both_names(desk: Desk) -> None:
    smile, anger = desk.shoot(2, accepted=True), desk.shoot(4)
    given = desk.decisions.reassign(desk.records.state_of(desk.session), smile, "anger")
    assert (given.was, given.take, given.state) == (smile, f"{desk.session}-E04-2", "accepted")
    script = desk.records.state_of(desk.session)
    assert script.accepted(4).code == given.take
    assert script.accepted(4).former == (smile,)
    assert script.next_expression().name == "neutral"
    assert script.take_code(2) == f"{desk.session}-E02-2"
    assert desk.shoot(2) == f"{desk.session}-E02-2"  # the code that it had is nobody else's
    with pytest.raises(SessionError, match=f"it is {given.take} now"):
        script.find_take(smile)
    camera = desk.records.filed(smile, "cam-00")  # a node that still calls it by its old name
    assert camera == desk.records.filed(given.take, "cam-00")
    assert desk.state(anger) is TakeState.CAPTURED
    desk.decisions.undo(desk.session, given.take)
    assert desk.records.take(smile).code == smile
    assert desk.state(smile) is TakeState.ACCEPTED
    with reading(desk.engine) as tx:
        assert len(tx.scalars(select(Frame).join(Take).where(Take.code == smile)).all()) == len(RIG.cameras)


def test_what_the_farm_has_begun_with_stays_what_it_is(desk: Desk) -> None:
    asked, begun = desk.shoot(2, accepted=True), desk.shoot(3, accepted=True)
    desk.asked(asked)
    desk.decisions.reassign(desk.records.state_of(desk.session), asked, "anger")
    with reading(desk.engine) as tx:
        assert job_queue.count_ready(tx) == (0, 0)  # nothing is made under the name that it had
    desk.decisions.close(desk.session, True, ClosingDecision())
    assert desk.decisions.reopen(desk.session) is SessionState.OPEN
    desk.asked(begun, begun=True)
    with pytest.raises(StateConflict, match="the farm has begun with it"):
        desk.decisions.reassign(desk.records.state_of(desk.session), begun, "sadness")
    desk.decisions.close(desk.session, True, ClosingDecision())
    for act in (lambda: desk.decisions.reopen(desk.session), lambda: desk.decisions.undo(desk.session)):
        with pytest.raises(StateConflict, match="stays closed: the farm has begun"):
            act()


def test_a_session_is_reopened_as_paused_while_another_is_open(desk: Desk) -> None:
    desk.decisions.close(desk.session, True, ClosingDecision())
    other = desk.records.start_session(desk.subject, None, None)
    assert desk.decisions.reopen(desk.session) is SessionState.PAUSED
    assert desk.records.open_session() == other


def test_an_undo_is_not_passed_over_a_later_decision(desk: Desk) -> None:
    first, second = desk.shoot(1), desk.shoot(1)
    desk.records.accept(first)
    desk.records.accept(second, choose=True)
    with pytest.raises(StateConflict, match="Something else was decided"):
        desk.decisions.undo(desk.session, first)
    assert "is accepted again" in desk.decisions.undo(desk.session).text
    desk.decisions.undo(desk.session)
    assert (desk.state(first), desk.state(second)) == (TakeState.CAPTURED, TakeState.CAPTURED)
    assert "dropped" in desk.decisions.undo(desk.session).text
    assert desk.records.take(second).dropped
    desk.records.accept(second, choose=True)
    assert not desk.records.take(second).dropped


def test_what_lacks_is_named_and_a_decision_is_wanted_for_each() -> None:
    found = {"calibration": "there is none", "lags": "measure them"}
    with pytest.raises(NotPrepared, match=r"(?s)calibration.*lags.*--without calibration,lags"):
        require_decision("S001", found, ())
    with pytest.raises(NotPrepared, match="lags"):
        require_decision("S001", found, ["calibration"])
    assert require_decision("S001", found, ["calibration", "lags", "cameras"]) == found
    with pytest.raises(ConfigurationError, match="calibraton"):
        require_decision("S001", found, ["calibraton"])


def test_on_real_nodes_what_is_shown_is_fired_and_a_withdrawal_stops_the_next_fire(
    home: Any, rig_of: Callable[..., Rig], fleet: Any, photos: Path, sim_url: Callable[..., str]
) -> None:
    studio: Studio = home.open(rig_of(2))
    fleet.start(studio, {camera.name: sim_url(camera.view, photos) for camera in studio.rig.cameras})
    studio.wait_for_cameras(60)
    with pytest.raises(NotPrepared, match=r"(?s)calibration.*--without calibration"):
        studio.begin_session(home.subject, "short")
    session = studio.begin_session(home.subject, "short", without=["calibration"])
    assert studio.state_of(session).without.keys() == {"calibration"}
    first = studio.fire(session, shown="neutral")
    assert session_data(studio.state_of(session))["next"] == "smile"
    with pytest.raises(SessionError, match="neutral was shown as next, and smile is next by now"):
        studio.fire(session, shown="neutral")
    assert studio.fire(session, shown="smile").expression == "smile"
    with pytest.raises(SessionError, match=r"(?s)2 takes wait to be decided.*E01-1.*E02-1"):
        studio.accept(session)
    studio.accept(session, first.take)
    again = studio.retake(session, first.take)
    assert again.kept, again.message
    assert studio.accept(session, first.take).code == first.take  # and not the one that came after it
    assert studio.records.take(again.take).state is TakeState.SUPERSEDED
    with transaction(studio.engine) as tx:
        withdraw_consent(tx, captures.get_session(tx, session).subject)
    before = studio.state_of(session)
    for act in (
        lambda: studio.fire(session),
        lambda: studio.retake(session, "neutral"),
        lambda: studio.accept(session),
    ):
        with pytest.raises(ConsentError, match="has withdrawn its consent"):
            act()
    studio.pause_session(session)
    with pytest.raises(ConsentError, match="has withdrawn its consent"):
        studio.resume_session(session)
    assert studio.state_of(session).takes == before.takes
    handed = studio.close(session, incomplete=True)
    assert (handed.ready, handed.left) == ((), (f"{session}-E02-1",))
