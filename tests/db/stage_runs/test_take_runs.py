"""Runs by take and files that may be shown, on both databases."""

from typing import Any

import pytest
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from db.engine import transaction
from db.errors import ConsentError, NotFound
from db.models import ConsentScope, JobState, RunVerdict, Subject, Take
from db.stage_runs import job_queue
from db.stage_runs.artefacts import OutputFile
from db.stage_runs.job_queue import InputFile, JobSpec
from db.stage_runs.run_reviews import save_run_review
from db.stage_runs.served_files import served_file
from db.stage_runs.take_runs import labels_of, lately_done, newest_takes, processed_sessions, takes_of_session
from db.subjects import withdraw_consent


def run(tx: Session, rows: Any, subject: Subject, take: Take, stage: str, version: int = 1) -> str:
    """A done run with one output; its key."""
    key = rows.sha(f"{stage} {version} {take.code}")
    inputs = [InputFile("template", rows.sha("template"))]
    job_queue.enqueue(tx, JobSpec(key, stage, version, {}, inputs, subject.id, take.id))
    lease = job_queue.claim(tx, "farm", stages={stage: version})
    assert lease is not None
    assert lease.key == key
    job_queue.finish(tx, lease, [OutputFile("scan", rows.sha(f"made {key}"), 7, "model/ply")])
    save_run_review(tx, lease.job_id, RunVerdict.REVIEW, ["holes", "noise"], {})
    return key


def setup(tx: Session, rows: Any) -> tuple[Subject, Take]:
    subject = rows.subject(tx, ConsentScope.RESEARCH_RELEASE)
    rig = rows.rig(tx)
    session = rows.session(tx, subject, rig)
    return subject, rows.accepted(tx, session, rig, 2)


def test_the_newest_run_of_a_stage_is_a_takes_run(engine: Engine, studio_rows: Any) -> None:
    with transaction(engine) as tx:
        subject, take = setup(tx, studio_rows)
        run(tx, studio_rows, subject, take, "reconstruct", 1)
        newer = run(tx, studio_rows, subject, take, "reconstruct", 2)
        job_queue.enqueue(tx, JobSpec(studio_rows.sha("m"), "register", 1, {}, (), subject.id, take.id))
    with transaction(engine) as tx:
        [found] = takes_of_session(tx, "S001-1")
        assert (found.take, found.label, found.subject, found.shown) == ("S001-1-E02-1", "2_smile", "S001", True)
        scan = found.runs["reconstruct"]
        assert (scan.key, scan.verdict, scan.reasons) == (newer, "review", ("holes", "noise"))
        assert scan.files["scan"].sha256 == studio_rows.sha(f"made {newer}")
        assert scan.template == studio_rows.sha("template")
        assert found.runs["register"].state is JobState.QUEUED
        assert [take.take for take in newest_takes(tx, 5)] == ["S001-1-E02-1"]
        assert [(one.session, one.takes, one.shown) for one in processed_sessions(tx, "reconstruct")] == [
            ("S001-1", 1, True)
        ]
        job = job_queue.get_job(tx, newer)
        assert labels_of(tx, [job.id]) == {job.id: ("S001-1-E02-1", "S001 2_smile")}
        count, seconds = lately_done(tx)
        assert count == 2
        assert 0 <= seconds < 60
        with pytest.raises(NotFound, match="No session S009-1"):
            takes_of_session(tx, "S009-1")


def test_what_is_withdrawn_is_not_shown(engine: Engine, studio_rows: Any) -> None:
    with transaction(engine) as tx:
        subject, take = setup(tx, studio_rows)
        made = studio_rows.sha(f"made {run(tx, studio_rows, subject, take, 'reconstruct')}")
        assert served_file(tx, made).media == "model/ply"
        assert served_file(tx, studio_rows.sha("template")).sha256 == studio_rows.sha("template")
        with pytest.raises(NotFound):
            served_file(tx, studio_rows.sha("unknown"))
        withdraw_consent(tx, subject)
        with pytest.raises(ConsentError, match="nothing of it is shown"):
            served_file(tx, made)
        [found] = takes_of_session(tx, "S001-1")
        assert not found.shown
        assert found.runs["reconstruct"].files == {}
        assert served_file(tx, studio_rows.sha("template"))


def test_failed_runs_are_queued_again_by_the_beginning_of_their_keys(engine: Engine, studio_rows: Any) -> None:
    with transaction(engine) as tx:
        subject, take = setup(tx, studio_rows)
        key = studio_rows.sha("k")
        job_queue.enqueue(tx, JobSpec(key, "bake", 1, {}, (), subject.id, take.id))
        lease = job_queue.claim(tx, "farm")
        assert lease is not None
        job_queue.fail(tx, lease, "no", retry=False)
        with pytest.raises(NotFound, match="begins with %"):
            job_queue.retry_beginning(tx, ["%"])
        assert job_queue.retry_beginning(tx, [key[:6]]) == 1
        assert job_queue.get_job(tx, key).state is JobState.QUEUED
