"""Runs of subjects through the farm: asked for when the session is closed, made again when a take changes."""

import json
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from common.files.hashes import file_sha256
from db import captures
from db.engine import reading, transaction
from db.erasure.take_withdrawals import erase_take, withdraw_take
from db.errors import ConsentError
from db.models import Artefact, CaptureSession, ConsentScope, Job, JobState, SessionState, Subject, Take
from db.stage_runs.artefacts import lineage
from db.stage_runs.job_counts import count_jobs
from db.stage_runs.job_queue import retry
from db.stage_runs.run_reviews import reviewed_runs
from db.stage_runs.served_files import served_file
from db.stage_runs.subject_runs import SubjectRun, standing_runs, subject_runs
from db.store import Store
from db.subject_data.subject_rows import subject_records
from db.subjects import get_subject, withdraw_consent
from processing.farm.scheduling.missing_runs import missing_runs
from processing.farm.scheduling.run_planning import all_plans
from processing.stages.discovery import discover

TOYS = Path(__file__).parent / "toy_stages"
SUBJECTS = Path(__file__).parent / "subject_stages"
STAGES = (str(TOYS), str(SUBJECTS))


def gathered(studio: Any) -> list[SubjectRun]:
    with reading(studio.engine) as tx:
        return subject_runs(tx, "gather")


def content(studio: Any, run: SubjectRun) -> dict[str, Any]:
    return dict(json.loads(Store(studio.store).open(run.run.files["sizes"].sha256).read()))


def why(studio: Any, **plan: Any) -> dict[tuple[str, str], str]:
    stages = discover(TOYS, SUBJECTS)
    with reading(studio.engine) as tx:
        plans = all_plans(tx, {"template": file_sha256(studio.template)}, stages, studio.settings().params, **plan)
        return {(m.take, m.stage): m.why for m in missing_runs(tx, plans, stages)}


def test_a_subjects_run_reads_all_its_takes_and_is_done_once(studio: Any) -> None:
    summary = studio.run(stages=STAGES)
    assert summary.jobs.done == summary.jobs.total == 3 * 3 + 1
    (run,) = gathered(studio)
    assert (run.subject, run.takes) == ("S001", ("1_neutral", "2_smile", "3_mouth_stretch"))
    assert run.stands
    assert run.shown
    assert list(content(studio, run)["sizes"]) == list(run.takes)
    with reading(studio.engine) as tx:
        job = tx.get_one(Job, run.job_id)
        assert job.take_id is None
        assert job.subject_id == run.subject_id
        (artefact,) = tx.scalars(select(Artefact).where(Artefact.job_id == job.id, Artefact.output == "sizes"))
        assert len(lineage(tx, artefact.id).frames) == 9  # the photographs of all takes
        assert [(r.take, r.label) for r in reviewed_runs(tx)] == [("", "S001")]
        assert standing_runs(tx, "gather")["S001"].run.key == run.run.key
        records = subject_records(tx, get_subject(tx, "S001"))
        assert {"gather"} <= {row["stage"] for row in records.tables["job"]}
        assert any("gather" in file.name for file in records.files)
    again = studio.run(stages=STAGES)
    assert (again.done, again.planned) == (0, 0)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_nothing_of_a_subject_is_asked_for_while_its_session_is_open(studio: Any) -> None:
    with transaction(studio.engine) as tx:
        tx.execute(update(CaptureSession).values(state=SessionState.OPEN, closed_at=None))
    studio.run(stages=STAGES)
    assert gathered(studio) == []
    said = why(studio)
    assert set(said) == {("S001", "gather")}
    assert said["S001", "gather"].startswith("waits for ")
    assert "mouth_stretch" not in said["S001", "gather"]
    assert "jaw_left" in said["S001", "gather"]
    with transaction(studio.engine) as tx:
        session = tx.scalars(select(CaptureSession)).one()
        captures.close_session(tx, session, incomplete=True)
    assert why(studio) == {("S001", "gather"): "not asked for yet: mien farm run"}
    studio.run(stages=STAGES)
    assert len(gathered(studio)) == 1
    assert why(studio) == {}


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_what_is_waited_for_is_said_by_expression(studio: Any) -> None:
    studio.order("poison-2_smile")
    studio.farm(stages=STAGES).plan_once()
    assert why(studio)["S001", "gather"] == "waits for 3 of 3 expressions: neutral, smile, mouth_stretch"
    studio.run(stages=STAGES)
    assert why(studio)["S001", "gather"].startswith("behind 2_smile measure (failed)")


def test_a_withdrawn_take_takes_its_subjects_run_along_and_the_next_is_made_without_it(studio: Any) -> None:
    studio.run(stages=STAGES)
    (before,) = gathered(studio)
    sizes = before.run.files["sizes"].sha256
    with reading(studio.engine) as tx:
        assert served_file(tx, sizes).media == "application/json"
        code = tx.get_one(Take, studio.takes[1]).code
    with transaction(studio.engine) as tx:
        withdraw_take(tx, "S001", code)
    with reading(studio.engine) as tx, pytest.raises(ConsentError):
        served_file(tx, sizes)
    (hidden,) = gathered(studio)
    assert (hidden.stands, hidden.shown, dict(hidden.run.files)) == (False, False, {})
    with reading(studio.engine) as tx:
        assert standing_runs(tx, "gather") == {}
    studio.run(stages=STAGES)
    after = gathered(studio)[0]
    assert after.takes == ("1_neutral", "3_mouth_stretch")
    assert after.stands
    report = erase_take(studio.engine, Store(studio.store), "S001", code)
    assert report.finished
    assert [run.run.key for run in gathered(studio)] == [after.run.key]
    assert not Store(studio.store).exists(sizes)


def test_a_withdrawal_stops_a_subjects_run_and_retry_does_not_wake_it(studio: Any) -> None:
    studio.order("poison-2_smile")
    studio.run(stages=STAGES)
    with transaction(studio.engine) as tx:
        done = withdraw_consent(tx, get_subject(tx, "S001"))
        assert done.stopped == 4  # measure, compare and conclude of the smile, and what is of the subject
        assert retry(tx) == 0
    (run,) = gathered(studio)
    assert run.run.state is JobState.PARKED
    assert not run.shown
    with reading(studio.engine) as tx:
        assert count_jobs(tx).troubled is False
        assert tx.scalar(select(Subject.code)) == "S001"
    assert ConsentScope.RESEARCH_RELEASE in done.closed


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_take_kept_late_makes_the_subjects_run_again_and_the_old_one_waits_last(studio: Any) -> None:
    studio.farm(stages=STAGES).plan_once()
    with transaction(studio.engine) as tx:
        withdraw_take(tx, "S001", tx.get_one(Take, studio.takes[2]).code)
        tx.execute(update(Job).where(Job.stage == "gather").values(state=JobState.QUEUED, error=None))
    studio.farm(stages=STAGES).plan_once()
    with reading(studio.engine) as tx:
        newest, oldest = tx.scalars(select(Job.priority).where(Job.stage == "gather").order_by(Job.id.desc()))
    assert oldest > newest
