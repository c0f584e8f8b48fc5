"""Sessions over several days in the records: pauses, skips, and the calibration of each take; on both databases."""

from typing import Any

import pytest
from mien_tests_db_fixtures import next_position
from sqlalchemy import Engine

from db import captures
from db.captures import FrameData, accept_take, add_frames, capture_take, fire_take, plan_take
from db.engine import reading, transaction
from db.errors import NotFound, StateConflict
from db.models import SessionState
from db.reports.session_progress import session_progress
from db.rigs import rig_records
from db.stage_runs.ready_takes import ready_takes


def test_a_paused_session_frees_the_rig_and_goes_on_when_it_is_free(engine: Engine, studio_rows: Any) -> None:
    with transaction(engine) as tx:
        rig = studio_rows.rig(tx)
        first = studio_rows.session(tx, studio_rows.subject(tx), rig)
        captures.pause_session(tx, first)
        with pytest.raises(StateConflict, match="paused"):
            plan_take(tx, first, 1)
        second = studio_rows.session(tx, studio_rows.subject(tx), rig)
        with pytest.raises(StateConflict, match=second.code):
            captures.resume_session(tx, first)
        captures.pause_session(tx, second)
        captures.resume_session(tx, first)
        assert first.state is SessionState.OPEN
        with pytest.raises(StateConflict, match="cannot become open"):
            captures.resume_session(tx, first)


def test_a_skipped_expression_is_not_asked_for_until_it_is_fired(engine: Engine, studio_rows: Any) -> None:
    with transaction(engine) as tx:
        rig = studio_rows.rig(tx)
        session = studio_rows.session(tx, studio_rows.subject(tx), rig)
        captures.skip_expression(tx, session, 1, "beard")
        captures.skip_expression(tx, session, 1, "a full beard")  # the later reason counts
        progress = session_progress(tx, session)
        assert (next_position(progress), progress.expressions[0].skipped) == (2, "a full beard")
        with pytest.raises(NotFound):
            captures.skip_expression(tx, session, 99, "why")
        take = plan_take(tx, session, 1)
        assert next_position(session_progress(tx, session)) == 1
        with pytest.raises(StateConflict, match=take.code):
            captures.skip_expression(tx, session, 1, "again")
        captures.fail_take(tx, take, "cam-01 gave no photograph")
        captures.skip_expression(tx, session, 1, "beard")
        assert captures.unskip_expression(tx, session, 1)
        assert not captures.unskip_expression(tx, session, 1)


def test_a_session_closes_without_what_was_skipped(engine: Engine, studio_rows: Any) -> None:
    with transaction(engine) as tx:
        rig = studio_rows.rig(tx)
        session = studio_rows.session(tx, studio_rows.subject(tx), rig)
        for position in range(1, 20):
            captures.skip_expression(tx, session, position, "tired")
        with pytest.raises(StateConflict, match="20_"):
            captures.close_session(tx, session)
        studio_rows.accepted(tx, session, rig, 20)
        captures.pause_session(tx, session)
        captures.close_session(tx, session)
    with reading(engine) as tx:
        assert [take.position for take in ready_takes(tx)] == [20]


def test_each_take_keeps_what_was_sent_for_it_and_the_calibration_of_its_day(engine: Engine, studio_rows: Any) -> None:
    with transaction(engine) as tx:
        rig = studio_rows.rig(tx)
        session = studio_rows.session(tx, studio_rows.subject(tx), rig)
        for day, name in enumerate(("neutral", "smile")):
            rig_records.add_calibration(tx, rig, "board", {"0_K": day})
            take = plan_take(tx, session, name, profile="cross" if day else None)
            fire_take(tx, take)
            captures.record_setup(tx, take, {"lights": {"scene": "cross"}, "day": day})
            add_frames(tx, take, [FrameData(c.id, studio_rows.sha(f"{name}{c.id}"), 10, 8, 12) for c in rig.cameras])
            capture_take(tx, take)
            accept_take(tx, take)
        captures.close_session(tx, session, incomplete=True)
    with reading(engine) as tx:
        takes = [captures.get_take(tx, ready.code) for ready in ready_takes(tx)]
        assert [take.profile for take in takes] == ["default", "cross"]
        assert [take.setup["day"] for take in takes] == [0, 1]
        assert len({ready.calibration_id for ready in ready_takes(tx)}) == 2
