"""Subjects by expressions before a release, on both databases."""

from datetime import date
from typing import Any

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from db import captures
from db.engine import transaction
from db.models import ConsentScope, RunVerdict, Subject, Take
from db.reports.expression_coverage import expression_coverage, holds_of
from db.stage_runs import job_queue
from db.stage_runs.job_queue import JobSpec
from db.stage_runs.run_reviews import save_run_review
from db.takes import take_decisions

DAY = date(2026, 6, 1)
STAGES = ("reconstruct", "bake")


def run(tx: Session, rows: Any, subject: Subject, take: Take, stage: str, verdict: RunVerdict | None = None) -> None:
    key = rows.sha(f"{stage} {take.code}")
    job_queue.enqueue(tx, JobSpec(key, stage, 1, {}, (), subject.id, take.id))
    lease = job_queue.claim(tx, "farm", stages=[stage])
    assert lease is not None
    job_queue.finish(tx, lease, [])
    if verdict is not None:
        save_run_review(tx, lease.job_id, verdict, [], {})


def test_each_expression_says_how_far_it_is(engine: Engine, studio_rows: Any) -> None:
    with transaction(engine) as tx:
        rig = studio_rows.rig(tx)
        subject = studio_rows.subject(tx, ConsentScope.RESEARCH_RELEASE)
        session = studio_rows.session(tx, subject, rig)
        takes = [studio_rows.accepted(tx, session, rig, position) for position in (1, 2, 3, 4, 5)]
        for take, verdict in zip(takes[:2], (RunVerdict.ACCEPT, RunVerdict.REDO), strict=True):
            run(tx, studio_rows, subject, take, "reconstruct", verdict)
            run(tx, studio_rows, subject, take, "bake")
        run(tx, studio_rows, subject, takes[2], "reconstruct")
        job_queue.enqueue(tx, JobSpec(studio_rows.sha("x"), "bake", 1, {}, (), subject.id, takes[3].id))
        lease = job_queue.claim(tx, "farm")
        assert lease is not None
        job_queue.fail(tx, lease, "no", retry=False)
        waiting = captures.plan_take(tx, session, 6)
        captures.fire_take(tx, waiting)
        studio_rows.frames(tx, waiting, rig)
        captures.capture_take(tx, waiting)
        take_decisions.skip(tx, session, 7, "tired")
    with transaction(engine) as tx:
        found = expression_coverage(tx, DAY, STAGES)
        [row] = found.subjects
        assert row.cells[:8] == (
            "ready", "redo", "working", "failed", "accepted", "undecided", "skipped", "missing",
        )  # fmt: skip
        assert found.protocols[0].labels[:2] == ("1_neutral", "2_smile")
        assert row.leaves == 0  # its session is open
        assert "its session is open" in row.holds
        assert "not processed yet: 3_mouth_stretch, 5_jaw_left" in row.holds
        captures.close_session(tx, captures.get_session(tx, "S001-1"), incomplete=True)
        [row] = expression_coverage(tx, DAY, STAGES).subjects
        assert row.leaves == 1
        assert "its session is closed" not in row.holds


def test_who_does_not_consent_leaves_nothing(engine: Engine, studio_rows: Any) -> None:
    with transaction(engine) as tx:
        rig = studio_rows.rig(tx)
        for scope in (ConsentScope.RESEARCH_RELEASE, ConsentScope.PUBLICATION):
            subject = studio_rows.subject(tx, scope)
            session = studio_rows.session(tx, subject, rig)
            take = studio_rows.accepted(tx, session, rig, 1)
            for stage in STAGES:
                run(tx, studio_rows, subject, take, stage)
            captures.close_session(tx, session, incomplete=True)
        research, shown = expression_coverage(tx, DAY, STAGES).subjects
        assert (research.leaves, research.pictures) == (1, "no")
        assert (shown.leaves, shown.pictures) == (0, "yes")
        assert shown.holds[0] == "no consent to a research release"
        assert holds_of([research, shown]) == {"no take": 2, "no consent to a research release": 1}
        early = expression_coverage(tx, date(2026, 1, 1), STAGES).subjects
        assert [row.leaves for row in early] == [0, 0]
