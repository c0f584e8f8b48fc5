"""Takes that lack a photograph: kept by decision or not, and completed whenever the photograph comes."""

import os
import signal
import socket
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from patience import until
from sqlalchemy import Engine, select

from camera_nodes import wire
from controller.errors import AsideRefused, SessionError
from controller.firing.fire_timing import Skew
from controller.rig_file import AsideLimits, CameraEntry, Rig
from controller.sessions.late_photographs import faults_summary
from controller.sessions.session_store import SessionStore
from controller.studio import Studio
from controller.takes.take_progress import TakeProgress
from controller.takes.take_result import TakeResult
from controller.takes.take_under_way import TakeUnderWay
from db import captures
from db.audit import audit_log
from db.engine import reading, transaction
from db.errors import StateConflict
from db.models import AuditEvent, ConsentScope, Frame, TakeState
from db.rigs import rig_records
from db.takes import missing_photographs

CAMERAS = 8
WAIT_S = 60.0


class Booth:
    """A studio whose nodes are spoken by hand, so that each photograph comes when the test says."""

    def __init__(self, studio: Studio, speaker: Callable[..., Any], jpeg: Callable[..., bytes], session: str) -> None:
        self.studio, self.jpeg, self.session = studio, jpeg, session
        self._speaker = speaker
        self._nodes: dict[str, Any] = {}

    def upload(self, take: str, view: int) -> Any:
        camera = f"cam-{view:02d}"
        if camera not in self._nodes:
            self._nodes[camera] = self._speaker(self.studio, camera)
            assert isinstance(self._nodes[camera].greet(), wire.Welcome)
        return self._nodes[camera].upload(take, self.jpeg(view + 10 * int(take[-1])))

    def shoot(self, lacking: tuple[int, ...] = (), position: int = 1) -> TakeResult:
        """A take that was fired and concluded without the photographs of these views."""
        studio = self.studio
        script = studio.records.state_of(self.session)
        take = studio.records.plan(self.session, position, aside=studio.asides.reasons())
        studio.records.fired(take)
        tally = TakeProgress(take, [camera.name for camera in studio.rig.cameras], aside=studio.asides.reasons())
        studio.events.open(tally)
        for camera in studio.rig.cameras:
            if camera.view not in lacking and camera.name in tally.cameras:
                assert isinstance(self.upload(take, camera.view), wire.Stored)
        until(lambda: len(tally.frames) == len(tally.cameras) - len(lacking))
        line = next(line for line in script.expressions if line.position == position)
        under_way = TakeUnderWay(script, line, script.attempt(position), tally, script.profile)
        return studio.settlement.settle(under_way)

    def state(self, take: str) -> TakeState:
        return self.studio.records.take(take).state

    def problem(self, take: str) -> str:
        return self.studio.records.take(take).problem or ""


@pytest.fixture
def booth(home: Any, rig_of: Callable[..., Rig], speaker: Callable[..., Any], jpeg: Callable[..., bytes]) -> Booth:
    studio = home.open(rig_of(CAMERAS))
    return Booth(studio, speaker, jpeg, studio.start_session(home.subject, "short"))


def test_never_silently(booth: Booth) -> None:
    result = booth.shoot(lacking=(3,))
    assert result.state == "failed"
    command = f"mien session accept {booth.session}-E01 --without cam-03 --reason '...'"
    assert command in result.message
    studio = booth.studio
    for expression in ("neutral", None):
        with pytest.raises(SessionError, match=r"(?s)no photograph of cam-03.*mien session retake.*--without cam-03"):
            studio.accept(booth.session, expression)
    with pytest.raises(SessionError, match="Say why"):
        studio.accept(booth.session, "neutral", without=["cam-03"])
    with pytest.raises(SessionError, match="does not lack cam-04; it lacks cam-03"):
        studio.accept(booth.session, "neutral", without=["cam-03", "cam-04"], reason="cable")
    with pytest.raises(SessionError, match=r"no photograph of cam-03"):
        studio.accept(booth.session, result.take)
    assert booth.state(result.take) is TakeState.FAILED


def test_no_take_that_lacks_photographs_replaces_a_whole_one(booth: Booth) -> None:
    studio = booth.studio
    whole = booth.shoot()
    studio.accept(booth.session, whole.take)
    partial = booth.shoot(lacking=(3,))
    with pytest.raises(StateConflict, match=f"{whole.take} is accepted and whole"):
        studio.accept(booth.session, partial.take, without=["cam-03"], reason="cable")
    assert (booth.state(whole.take), booth.state(partial.take)) == (TakeState.ACCEPTED, TakeState.FAILED)
    studio.decisions.undo(booth.session, whole.take)
    assert studio.accept(booth.session, partial.take, without=["cam-03"], reason="cable").code == partial.take


def test_kept_by_decision_with_the_reason_in_the_record(booth: Booth) -> None:
    studio = booth.studio
    first = booth.shoot(position=1)
    second = booth.shoot(lacking=(3, 6))
    with pytest.raises(SessionError, match=r"lacks more: cam-03, cam-06.*--without cam-03,cam-06"):
        studio.accept(booth.session, "neutral", without=["cam-06"], reason="cable")
    line = studio.accept(booth.session, "neutral", without=["cam-06", "cam-03"], reason="the child was tired")
    assert line.code == second.take
    assert line.state is TakeState.ACCEPTED
    assert booth.state(first.take) is TakeState.SUPERSEDED
    assert {(a.camera, a.kind.value, a.reason) for a in line.absent} == {
        ("cam-03", "decided", "the child was tired"),
        ("cam-06", "decided", "the child was tired"),
    }
    assert line.problem.startswith("kept without cam-03, cam-06 by decision: the child was tired")
    assert line.flagged
    handed = studio.close(booth.session, incomplete=True)
    assert handed.photographs == CAMERAS - 2
    assert handed.without[line.code].keys() == {"cam-03", "cam-06"}
    with reading(studio.engine) as tx:
        logged = {e.action: e.detail for e in tx.scalars(select(AuditEvent)) if e.action.startswith("take.")}
        assert audit_log.verify_chain(tx).broken is None
    assert logged["take.keep_without"] == {"cameras": ["cam-03", "cam-06"]}
    assert logged["take.accept"]["beside"] == [first.take]
    review = studio.reviewer.result(line.code, wait_s=WAIT_S)
    assert review is not None
    assert review.sheet


def test_an_earlier_attempt_may_be_the_better_one(booth: Booth) -> None:
    studio = booth.studio
    first, second = booth.shoot(lacking=(3,)), booth.shoot(lacking=(3, 6))
    with pytest.raises(SessionError, match=f"no take {booth.session}-E01-7"):
        studio.accept(booth.session, f"{booth.session}-E01-7", without=["cam-03"], reason="cable")
    line = studio.accept(booth.session, first.take, without=["cam-03"], reason="cable")
    assert (line.code, line.state) == (first.take, TakeState.ACCEPTED)
    assert booth.state(second.take) is TakeState.FAILED
    third = booth.shoot()
    with pytest.raises(SessionError, match=f"{third.take} is captured and stands"):
        studio.accept(booth.session, second.take, without=["cam-03", "cam-06"], reason="cable")


def test_more_than_the_farm_can_do_without_is_refused_by_rule(booth: Booth) -> None:
    studio = booth.studio
    studio.asides.put(["cam-00"], "shutter stuck", "back")
    result = booth.shoot(lacking=(3, 4))
    assert "--without" not in result.message  # not offered, for it would be refused
    with pytest.raises(AsideRefused, match=r"(?s)of 8 views the farm can do without 2.*cam-03 and cam-04 stand side"):
        studio.accept(booth.session, "neutral", without=["cam-03", "cam-04"], reason="cable")
    with pytest.raises(SessionError, match="It cannot be kept without"):
        studio.accept(booth.session, "neutral")
    second = booth.shoot(lacking=(3,))  # with the one that is aside two are missing: that may be
    assert "--without cam-03 " in second.message
    assert studio.accept(booth.session, "neutral", without=["cam-03"], reason="cable").state is TakeState.ACCEPTED


def test_the_last_photograph_makes_a_failed_take_whole(booth: Booth) -> None:
    studio = booth.studio
    result = booth.shoot(lacking=(3, 6))
    booth.upload(result.take, 6)
    assert booth.state(result.take) is TakeState.FAILED
    assert "still missing: cam-03" in booth.problem(result.take)
    booth.upload(result.take, 3)
    assert booth.state(result.take) is TakeState.CAPTURED
    problem = booth.problem(result.take)
    assert "the photograph of cam-03 came late" in problem
    assert "it had failed: cam-03" in problem
    assert f"mien session accept {booth.session}-E01" in studio.late.messages[-1]
    assert studio.reviewer.result(result.take, wait_s=WAIT_S) is not None
    assert studio.accept(booth.session).code == result.take


def test_late_after_it_was_kept_without(booth: Booth) -> None:
    studio = booth.studio
    result = booth.shoot(lacking=(3,))
    studio.accept(booth.session, without=["cam-03"], reason="cable out")
    assert isinstance(booth.upload(result.take, 3), wire.Stored)
    line = studio.records.take(result.take)
    assert line.state is TakeState.ACCEPTED
    assert line.frames == CAMERAS
    (absent,) = line.absent
    assert absent.came_at is not None
    assert "cable out" in booth.problem(result.take)
    assert "came late" in booth.problem(result.take)
    handed = studio.close(booth.session, incomplete=True)
    assert (handed.photographs, handed.without) == (CAMERAS, {})


def test_late_after_the_session_was_handed_over(booth: Booth) -> None:
    studio = booth.studio
    result = booth.shoot(lacking=(3,))
    studio.accept(booth.session, without=["cam-03"], reason="cable out")
    studio.close(booth.session, incomplete=True)
    booth.upload(result.take, 3)
    line = studio.records.take(result.take)
    assert (line.state, line.frames) == (TakeState.ACCEPTED, CAMERAS)
    assert "Nothing is missing of it any more" in studio.late.messages[-1]


def test_late_after_a_retake_stands(booth: Booth) -> None:
    studio = booth.studio
    failed = booth.shoot(lacking=(3,))
    again = booth.shoot()
    studio.accept(booth.session)
    booth.upload(failed.take, 3)
    assert (booth.state(failed.take), booth.state(again.take)) == (TakeState.SUPERSEDED, TakeState.ACCEPTED)
    assert f"{again.take} stands" in booth.problem(failed.take)
    assert studio.state_of(booth.session).next_expression().name == "smile"


def test_late_after_a_retake_that_failed_too(booth: Booth) -> None:
    first, second = booth.shoot(lacking=(3,)), booth.shoot(lacking=(3,))
    booth.upload(first.take, 3)
    assert (booth.state(first.take), booth.state(second.take)) == (TakeState.CAPTURED, TakeState.FAILED)
    booth.upload(second.take, 3)  # the later one is whole now, and the first was not decided on
    assert (booth.state(first.take), booth.state(second.take)) == (TakeState.CAPTURED, TakeState.CAPTURED)


def test_late_does_not_undo_what_somebody_accepted(booth: Booth) -> None:
    studio = booth.studio
    good = booth.shoot()
    studio.accept(booth.session)
    worse = booth.shoot(lacking=(3,))
    booth.upload(worse.take, 3)
    assert (booth.state(good.take), booth.state(worse.take)) == (TakeState.ACCEPTED, TakeState.CAPTURED)
    assert f"{good.take} stays accepted" in studio.late.messages[-1]
    assert studio.accept(booth.session, "neutral").code == worse.take  # unless somebody wants it
    assert booth.state(good.take) is TakeState.SUPERSEDED


def test_late_after_the_studio_was_restarted(booth: Booth, home: Any, speaker: Callable[..., Any]) -> None:
    result = booth.shoot(lacking=(3,))
    home.stack.close()
    studio = home.open(booth.studio.rig)
    later = Booth(studio, speaker, booth.jpeg, booth.session)
    later.upload(result.take, 3)
    assert later.state(result.take) is TakeState.CAPTURED
    assert studio.reviewer.result(result.take, wait_s=WAIT_S) is not None


def test_late_for_an_expression_that_was_skipped_meanwhile(booth: Booth) -> None:
    studio = booth.studio
    result = booth.shoot(lacking=(3,))
    studio.skip(booth.session, "neutral", "tired")
    booth.upload(result.take, 3)
    assert booth.state(result.take) is TakeState.CAPTURED
    studio.accept(booth.session, "neutral")
    assert studio.state_of(booth.session).skipped == {}


def test_what_comes_in_the_moment_it_is_given_up_is_not_lost(booth: Booth) -> None:
    """The photograph is committed after the take was found wanting and before that is written down."""
    studio, failed = booth.studio, booth.studio.records.failed

    def slow(take: str, *rest: Any) -> None:
        booth.upload(take, 3)
        failed(take, *rest)

    studio.records.failed = slow  # type: ignore[method-assign]
    result = booth.shoot(lacking=(3,))
    assert booth.state(result.take) is TakeState.CAPTURED
    assert result.kept
    assert "is whole now" in result.message


def test_a_take_that_was_never_fired_is_never_kept(booth: Booth) -> None:
    studio = booth.studio
    take = studio.records.plan(booth.session, 1)
    studio.records.failed(take, "nothing was fired")
    with pytest.raises(SessionError, match="Nothing to accept"):
        studio.accept(booth.session, "neutral")
    with transaction(studio.engine) as tx:
        row = captures.get_take(tx, take)
        cameras = [camera.id for camera in captures.missing_cameras(tx, row)]
        with pytest.raises(StateConflict, match="never fired"):
            missing_photographs.keep_without(tx, row, cameras, "why", "kept")


def test_a_node_that_stood_still_delivers_late_and_the_take_is_whole(
    home: Any, rig_of: Callable[..., Rig], fleet: Any, photos: Path, sim_url: Callable[..., str]
) -> None:
    """Real processes: the node stops after its stamps, the take fails and is kept without, the studio is restarted."""
    places = {}
    for name in ("control", "bulk"):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            places[name] = f"tcp://127.0.0.1:{probe.getsockname()[1]}"
    rig = rig_of(CAMERAS, frame_timeout_s=6.0)
    studio = home.open(rig, **places)
    fleet.start(studio, {camera.name: sim_url(camera.view, photos) for camera in rig.cameras})
    studio.wait_for_cameras(WAIT_S)
    session = studio.start_session(home.subject, "short")
    release, still = studio.link.release, fleet.processes["cam-05"].pid

    def stop_one(order: Any) -> Any:
        report = release(order)
        os.kill(still, signal.SIGSTOP)
        return report

    studio.link.release = stop_one  # type: ignore[method-assign]
    try:
        result = studio.fire(session)
        assert result.faults.keys() == {"cam-05"}
        take = studio.accept(session, without=["cam-05"], reason="its computer hangs").code
        home.stack.close()
        studio = home.open(rig, **places)
    finally:
        os.kill(still, signal.SIGCONT)
    until(lambda: studio.records.take(take).frames == CAMERAS)
    line = studio.records.take(take)
    assert line.state is TakeState.ACCEPTED
    assert [absence.came_at is not None for absence in line.absent] == [True]


# --- whatever the order of events ---


RIG = Rig(
    "booth",
    tuple(CameraEntry(f"cam-{view:02d}", view) for view in range(4)),
    aside=AsideLimits(allow_neighbours=True),
)
EVENTS = st.lists(
    st.tuples(st.sampled_from(["shoot", "late", "keep", "accept"]), st.integers(0, 3), st.integers(0, 3)), max_size=14
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(EVENTS)
def test_a_take_is_kept_if_and_only_if_it_is_whole_or_was_decided(engine: Engine, studio_rows: Any, plan: Any) -> None:
    """After any history: what stands is whole but for what was decided, what failed lacks something, one counts."""
    records = SessionStore(engine, RIG)
    with transaction(engine) as tx:
        subject = studio_rows.subject(tx, ConsentScope.RESEARCH_RELEASE)
        busy = captures.open_session_of(tx, rig_records.get_rig(tx, RIG.name))
        if busy is not None:
            captures.close_session(tx, busy, incomplete=True)
        session = studio_rows.session(tx, subject, rig_records.get_rig(tx, RIG.name)).code
    takes: list[str] = []
    for what, view, other in plan:
        if what == "shoot":
            takes.append(records.plan(session, 1))
            records.fired(takes[-1])
            lacking = {f"cam-{view:02d}", f"cam-{other:02d}"} if other else set()
            for camera in RIG.cameras:
                if camera.name not in lacking:
                    add(engine, records, takes[-1], camera.name)
            if lacking:
                records.failed(takes[-1], "Take was not kept\n" + "\n".join(f"  {c}  lost" for c in lacking), Skew())
            else:
                records.captured(takes[-1], Skew(), [], {})
        elif takes:
            take = takes[other % len(takes)]
            line = records.take(take)
            if what == "late":
                before = {t.code: t.state for t in records.state_of(session).takes}
                add(engine, records, take, f"cam-{view:02d}")
                after = {t.code: t.state for t in records.state_of(session).takes}
                accepted = {code for code, state in before.items() if state is TakeState.ACCEPTED}
                assert accepted == {code for code, state in after.items() if state is TakeState.ACCEPTED}
            elif what == "keep" and line.state is TakeState.FAILED:
                with suppress(StateConflict):  # a whole one is accepted
                    records.accept_without(take, records.lacking(take), "cable")
            elif what == "accept" and line.state is TakeState.CAPTURED:
                records.accept(take)
    script = records.state_of(session)
    assert len([take for take in script.takes if take.state is TakeState.ACCEPTED]) <= 1
    for take in script.takes:
        assert (take.state is TakeState.FAILED) == bool(records.lacking(take.code)), take
        decided = {absence.camera for absence in take.absent if absence.came_at is None}
        assert take.frames + len(decided | set(records.lacking(take.code))) == len(RIG.cameras)
        came = {absence.camera for absence in take.absent if absence.came_at is not None}
        assert came <= records.photographs(take.code).keys()


def add(engine: Engine, records: SessionStore, take: str, camera: str) -> None:
    """The transaction in which ingest adds a photograph."""
    with transaction(engine) as tx:
        row = captures.get_take(tx, take)
        number = records._cameras[camera]
        sha256 = f"{row.id:032x}{number:032x}"
        if captures.add_frames(tx, row, [captures.FrameData(number, sha256, 9, 8, 12)]):
            records._arrived(tx, row, camera)
        assert tx.scalar(select(Frame.id).where(Frame.sha256 == sha256)) is not None


def test_what_failed_is_told_in_one_line() -> None:
    text = (
        "Take S001-1-E01-1 was not kept: 2 of 8 cameras failed.\n  cam-03  no reply\n  cam-10  missed: late\nFix these"
    )
    assert faults_summary(text) == "cam-03: no reply; cam-10: missed: late"
    assert faults_summary(text, but=frozenset({"cam-03"})) == "cam-10: missed: late"
    assert faults_summary(text, but=frozenset({"cam-03", "cam-10"})) == ""
    assert faults_summary("the controller failed") == "the controller failed"
