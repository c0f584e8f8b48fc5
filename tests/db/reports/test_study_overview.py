"""What a data manager is told of the study is what the rows say."""

from datetime import date
from typing import Any

from sqlalchemy import Engine

from db import captures
from db.engine import reading, transaction
from db.models import ConsentScope, SessionState, TakeState
from db.reports.study_overview import coverage, missing_frames, release_candidates, subject_history
from db.subjects import get_subject, withdraw_consent

DAY = date(2026, 6, 1)


def test_a_study_of_two(engine: Engine, studio_rows: Any) -> None:
    with transaction(engine) as tx:
        rig = studio_rows.rig(tx)
        for number in range(2):
            subject = studio_rows.subject(tx, ConsentScope.RESEARCH_RELEASE, ConsentScope.PUBLICATION)
            subject.age = 29 + number
            session = studio_rows.session(tx, subject, rig)
            lost = captures.plan_take(tx, session, 2)
            captures.fire_take(tx, lost)
            captures.fail_take(tx, lost, "cam-01 gave no photograph")
            studio_rows.accepted(tx, session, rig, 1)
            if number:
                studio_rows.accepted(tx, session, rig, 2)
            captures.close_session(tx, session, incomplete=True)
    with transaction(engine) as tx:
        withdraw_consent(tx, get_subject(tx, "S002"), [ConsentScope.RESEARCH_RELEASE])
    with reading(engine) as tx:
        (short,) = missing_frames(tx)  # the second subject's was taken again
        assert (short.code, short.label, short.cameras) == ("S001-1-E02-1", "2_smile", ("cam-00", "cam-01", "cam-02"))
        assert missing_frames(tx, session="S002-1") == []
        first, second = release_candidates(tx, DAY, stage="bake")
        assert (first.code, first.accepted, first.expressions, first.pictures) == ("S001", 1, 20, "yes")
        assert (first.why, second.why) == ("no run of bake is done", "no consent to a research release")
        cells = [(c.gender, c.age_from, c.subjects, c.consenting, c.captured) for c in coverage(tx, DAY)]
        assert cells == [(None, 20, 1, 1, 0), (None, 30, 1, 1, 0)]
        history = subject_history(tx, get_subject(tx, "S002"))
        (line,) = history.sessions
        assert (line.state, line.photographs, line.bytes) == (SessionState.CLOSED, 6, 6000)
        assert line.takes == {TakeState.ACCEPTED: 2, TakeState.FAILED: 1}
        assert [event.action for event in history.events][-1] == "consent.withdraw"
