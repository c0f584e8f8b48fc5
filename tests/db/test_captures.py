"""Sessions and takes move only along their states; photographs are facts that are entered once."""

from typing import Any

import pytest
from mien_tests_db_fixtures import next_position
from sqlalchemy import Engine

from db import captures
from db.captures import FrameData, accept_take, add_frames, capture_take, fail_take, fire_take, plan_take
from db.engine import reading, transaction
from db.errors import AlreadyThere, NotFound, RecordError, StateConflict
from db.models import ExposureSource, SessionState, TakeState
from db.protocols import EXPRESSIONS
from db.reports.session_progress import session_progress
from db.rigs import rig_records
from db.session_rules import PUT_BESIDE
from db.stage_runs.ready_takes import ready_takes, take_photographs


def test_a_whole_session(engine: Engine, studio_rows: Any) -> None:
    with transaction(engine) as tx:
        rig = studio_rows.rig(tx)
        session = studio_rows.session(tx, studio_rows.subject(tx), rig)
        for name in EXPRESSIONS:
            studio_rows.accepted(tx, session, rig, name)
        assert ready_takes(tx) == []
        captures.close_session(tx, session)
    with reading(engine) as tx:
        ready = ready_takes(tx)
        assert [take.label for take in ready] == [f"{k}_{name}" for k, name in enumerate(EXPRESSIONS, start=1)]
        assert {(take.cameras, take.frames) for take in ready} == {(3, 3)}
        progress = session_progress(tx, captures.get_session(tx, "S001-1"))
        assert next_position(progress) is None
        assert progress.state is SessionState.CLOSED


def test_a_retake_supersedes_and_keeps_the_old_take(engine: Engine, studio_rows: Any) -> None:
    with transaction(engine) as tx:
        rig = studio_rows.rig(tx)
        session = studio_rows.session(tx, studio_rows.subject(tx), rig)
        first = studio_rows.accepted(tx, session, rig, 7)
        second = studio_rows.accepted(tx, session, rig, "jaw_forward")
        assert (first.code, first.state) == ("S001-1-E07-1", TakeState.SUPERSEDED)
        assert (second.code, second.state) == ("S001-1-E07-2", TakeState.ACCEPTED)
        progress = session_progress(tx, session).expressions[6]
        assert (progress.take, progress.attempts, progress.frames) == (second.code, 2, 3)
        assert next_position(session_progress(tx, session)) == 1


def test_a_take_that_lacks_a_photograph_names_the_camera(engine: Engine, studio_rows: Any) -> None:
    with transaction(engine) as tx:
        rig = studio_rows.rig(tx, cameras=3)
        session = studio_rows.session(tx, studio_rows.subject(tx), rig)
        take = plan_take(tx, session, 1)
        fire_take(tx, take)
        sha = studio_rows.sha("a")
        add_frames(tx, take, [FrameData(rig.cameras[i].id, sha, 10, 8, 12) for i in (0, 2)])
        with pytest.raises(StateConflict, match=r"from cam-01;"):
            capture_take(tx, take)
        fail_take(tx, take, "cam-01 gave no photograph")
        assert session_progress(tx, session).expressions[0].problem == "cam-01 gave no photograph"


def test_states_cannot_be_skipped_or_taken_back(engine: Engine, studio_rows: Any) -> None:
    with transaction(engine) as tx:
        rig = studio_rows.rig(tx)
        session = studio_rows.session(tx, studio_rows.subject(tx), rig)
        take = plan_take(tx, session, 1)
        with pytest.raises(StateConflict, match="is planned; it cannot become accepted"):
            accept_take(tx, take)
        fire_take(tx, take)
        with pytest.raises(StateConflict, match="is fired; it cannot become fired"):
            fire_take(tx, take)
        fail_take(tx, take, "test")
        for act in (fire_take, accept_take, lambda tx, take: captures.move_take(tx, take, PUT_BESIDE)):
            with pytest.raises(StateConflict, match="is failed"):
                act(tx, take)


def test_whoever_acts_second_is_told(engine: Engine, studio_rows: Any) -> None:
    with transaction(engine) as tx:
        rig = studio_rows.rig(tx)
        session = studio_rows.session(tx, studio_rows.subject(tx), rig)
        take = plan_take(tx, session, 1)
    with transaction(engine) as tx:
        stale = captures.get_take(tx, take.code)
    with transaction(engine) as tx:
        fire_take(tx, captures.get_take(tx, take.code))
    with pytest.raises(StateConflict, match="is fired"), transaction(engine) as tx:
        fire_take(tx, tx.merge(stale, load=False))


def test_frames_are_entered_once(engine: Engine, studio_rows: Any) -> None:
    with transaction(engine) as tx:
        rig = studio_rows.rig(tx)
        other = studio_rows.rig(tx, name="other booth")
        session = studio_rows.session(tx, studio_rows.subject(tx), rig)
        take = plan_take(tx, session, 1)
        one = FrameData(rig.cameras[0].id, studio_rows.sha("one"), 10, 8, 12, exposed_at_ns=2**62)
        assert add_frames(tx, take, [one]) == 1
        assert add_frames(tx, take, [one, one]) == 0
        with pytest.raises(StateConflict, match="not "):
            add_frames(tx, take, [FrameData(rig.cameras[0].id, studio_rows.sha("two"), 10, 8, 12)])
        with pytest.raises(RecordError, match="not in the rig"):
            add_frames(tx, take, [FrameData(other.cameras[0].id, studio_rows.sha("one"), 10, 8, 12)])
        with pytest.raises(StateConflict, match="cannot be recorded"):
            add_frames(tx, take, [FrameData(rig.cameras[1].id, "not a hash", 10, 8, 12)])
        assert list(take_photographs(tx, [take.id])[take.id]) == [0]


def test_sessions_open_pause_resume_close(engine: Engine, studio_rows: Any) -> None:
    with transaction(engine) as tx:
        rig = studio_rows.rig(tx)
        session = studio_rows.session(tx, studio_rows.subject(tx), rig)
        with pytest.raises(StateConflict, match="S001-1"):
            studio_rows.session(tx, studio_rows.subject(tx), rig)
        captures.pause_session(tx, session)
        with pytest.raises(StateConflict, match="is paused; a take needs an open session"):
            plan_take(tx, session, 1)
        captures.resume_session(tx, session)
        with pytest.raises(StateConflict, match="1_neutral"):
            captures.close_session(tx, session)
        captures.close_session(tx, session, incomplete=True)
        with pytest.raises(StateConflict, match="is closed"):
            captures.resume_session(tx, session)
        assert studio_rows.session(tx, session.subject, rig).code == "S001-2"
        assert captures.open_session_of(tx, rig) is not None


def test_the_three_numbers_and_unknown_names(engine: Engine, studio_rows: Any) -> None:
    with transaction(engine) as tx:
        rig = studio_rows.rig(tx)
        session = studio_rows.session(tx, studio_rows.subject(tx), rig)
        take = plan_take(tx, session, "smile")
        captures.record_sync(
            tx,
            take,
            command_skew_ms=1.5,
            clock_uncertainty_ms=0.2,
            exposure_skew_ms=2.5,
            exposure_source=ExposureSource.SIMULATED,
        )
        row = session_progress(tx, session).expressions[1]
        assert (row.command_skew_ms, row.clock_uncertainty_ms, row.exposure_skew_ms) == (1.5, 0.2, 2.5)
        for call in (
            lambda: plan_take(tx, session, "wink"),
            lambda: plan_take(tx, session, 21),
            lambda: captures.get_take(tx, "S001-1-E99-1"),
            lambda: captures.get_session(tx, "S404-1"),
            lambda: rig_records.get_rig(tx, "attic"),
        ):
            with pytest.raises(NotFound):
                call()


def test_a_rig_may_change_its_bodies_but_not_its_views(engine: Engine, studio_rows: Any) -> None:
    with transaction(engine) as tx:
        rig = studio_rows.rig(tx)
        place = rig_records.CameraPlace(0, "cam-00", "gphoto2:usb", rig.cameras[0].tier, "new body")
        rest = [rig_records.CameraPlace(c.view_index, c.name, c.url, c.tier, c.serial) for c in rig.cameras[1:]]
        assert rig_records.ensure_rig(tx, "booth", [place, *rest]).id == rig.id
        assert rig_records.get_rig(tx, "booth").cameras[0].serial == "new body"
        with pytest.raises(AlreadyThere, match="another name"):
            rig_records.ensure_rig(tx, "booth", rest)
        first = rig_records.add_calibration(tx, rig, "board", {"0_K": [[1.0, 0.0, 4.0]]})
        assert rig_records.add_calibration(tx, rig, "board", {"0_K": [[1.0, 0.0, 4.0]]}).id == first.id
        assert rig_records.add_calibration(tx, rig, "board", {"0_K": [[2.0, 0.0, 4.0]]}).version == 2
