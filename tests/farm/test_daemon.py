"""The farm on SQLite and on PostgreSQL, with real worker processes and injected faults."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from patience import run_patiently
from sqlalchemy import func, select, update

from db import captures
from db.engine import reading, transaction
from db.models import Artefact, ConsentScope, Job, JobState, RunVerdict
from db.rigs import rig_records
from db.stage_runs.artefacts import artefacts_of_take, lineage
from db.stage_runs.job_queue import claim
from db.stage_runs.ready_takes import ready_takes
from db.stage_runs.run_reviews import count_verdicts, reviewed_runs
from db.store import Store
from processing.farm.display.farm_status import farm_report, show_status
from processing.farm.execution.run_journal import run_journal_of
from processing.farm.execution.task_execution import run_task
from processing.farm.scheduling.missing_runs import missing_runs
from processing.farm.scheduling.retry_jobs import retry_jobs
from processing.farm.scheduling.run_planning import all_plans
from processing.farm.scheduling.tasks import TaskOutcome
from processing.stages.discovery import discover

# Dask drops a socket that was still connecting when a cluster in this process closes; it is nobody's harm.
pytestmark = pytest.mark.filterwarnings("ignore:.*socket.socket.*:pytest.PytestUnraisableExceptionWarning")

TOYS = Path(__file__).parent / "toy_stages"
JUDGES = Path(__file__).parent / "judging_stages"
NAMES = ("1_neutral", "2_smile", "3_mouth_stretch")
STAGES = 3
BOTH = pytest.mark.parametrize("database_url", ["sqlite", "postgresql"], indirect=True)


@BOTH
def test_everything_is_made_once_with_lineage_and_a_second_run_does_nothing(studio: Any) -> None:
    first = studio.run(workers=2)
    assert studio.all_done()
    assert first.done == len(NAMES) * STAGES
    assert studio.runs() == dict.fromkeys(NAMES, 1)

    store = Store(studio.store)
    with reading(studio.engine) as tx:
        for take_id, name in zip(studio.takes, NAMES, strict=True):
            files = artefacts_of_take(tx, take_id)
            assert set(files) == {("measure", "size"), ("compare", "ratio"), ("compare", "text"), ("conclude", "word")}
            for artefact in files.values():
                store.verify(artefact.sha256)
                assert store.size(artefact.sha256) == artefact.bytes
            ratio = json.loads(store.open(files["compare", "ratio"].sha256).read())
            assert ratio["take"] == name
            assert ratio["expression"] == name.partition("_")[2]
            family = lineage(tx, files["conclude", "word"].id)
            photographs = 3 if name == "1_neutral" else 6  # an expression comes from the neutral's photographs too
            assert len(family.frames) == photographs
    assert {p.suffix for p in (Path(studio.store) / "runs").glob("*")} == {".done"}
    assert not list((Path(studio.store) / "tmp").glob("*"))

    second = studio.run()
    assert (second.done, second.planned) == (0, 0)
    assert studio.runs() == dict.fromkeys(NAMES, 1)


def test_a_killed_worker_costs_one_attempt_and_nothing_else(studio: Any) -> None:
    studio.order("crash-2_smile")
    summary = studio.run(workers=2)
    assert studio.all_done()
    assert summary.failed_attempts >= 1
    assert studio.runs()["2_smile"] == 2
    with reading(studio.engine) as tx:
        attempts = tx.scalar(select(Job.attempts).where(Job.stage == "measure", Job.take_id == studio.takes[1]))
    assert attempts == 2


def test_poison_blocks_its_descendants_alone_and_retry_mends_it(studio: Any) -> None:
    poison = studio.order("poison-2_smile")
    summary = studio.run()
    states = studio.states()
    assert states.pop(("2_smile", "measure")) == JobState.FAILED
    assert states.pop(("2_smile", "compare")) == JobState.QUEUED
    assert states.pop(("2_smile", "conclude")) == JobState.QUEUED
    assert set(states.values()) == {JobState.DONE}
    assert summary.jobs.failed == 1
    assert summary.jobs.blocked == 2
    assert studio.runs()["2_smile"] == 1  # the input is at fault: no second attempt

    with reading(studio.engine) as tx:
        digest = hashlib.sha256(studio.template.read_bytes()).hexdigest()
        plans = all_plans(tx, {"template": digest}, discover(TOYS), studio.settings().params)
        why = {(m.take, m.stage): m.why for m in missing_runs(tx, plans, discover(TOYS))}
    assert why == {
        ("2_smile", "measure"): "failed: 2_smile is poisoned",
        ("2_smile", "compare"): "behind 2_smile measure (failed): mend that, then mien farm retry",
        ("2_smile", "conclude"): "behind 2_smile measure (failed): mend that, then mien farm retry",
    }

    poison.unlink()
    assert retry_jobs(studio.home, studio.url, []) == 1
    studio.run()
    assert studio.all_done()


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_stage_that_keeps_failing_is_parked_with_its_log(studio: Any) -> None:
    studio.order("stumble-3_mouth_stretch")
    summary = studio.run(max_attempts=2)
    assert studio.states()["3_mouth_stretch", "measure"] == JobState.PARKED
    assert studio.runs()["3_mouth_stretch"] == 2
    assert summary.jobs.parked == 1
    command = [
        sys.executable,
        "-m",
        "mien",
        "farm",
        "status",
        "--json",
        "--home",
        studio.home,
        "--database",
        studio.url,
    ]
    status = json.loads(run_patiently(command).stdout)
    assert status["jobs"]["parked"] == 1
    (trouble,) = status["troubles"]
    assert "ValueError: 3_mouth_stretch stumbled" in trouble["error"]
    assert "measure.py" in trouble["error"]  # where it happened


@pytest.mark.parametrize("database_url", ["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)], indirect=True)
def test_two_daemons_do_nothing_twice(studio: Any, another_session: Any) -> None:
    with transaction(studio.engine) as tx:
        another_session(tx, studio.store)
    farms = [studio.farm(workers=1), studio.farm(workers=1)]
    with reading(studio.engine) as tx:
        assert len(ready_takes(tx)) == 6
    threads = [threading.Thread(target=farm.run, kwargs={"until_idle": True}) for farm in farms]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=600)
    assert studio.runs() == dict.fromkeys(NAMES, 2)  # once a subject
    assert sum(farm.summary.done for farm in farms) == 6 * STAGES
    with reading(studio.engine) as tx:
        assert tx.scalar(select(func.count()).select_from(Job)) == 6 * STAGES
        assert set(tx.scalars(select(Job.attempts))) == {1}
        assert tx.scalar(select(func.count()).select_from(Artefact)) == 6 * 4


def test_a_result_that_was_stored_but_not_recorded_is_found_again(studio: Any) -> None:
    """The daemon dies between the worker's last rename and the database's commit."""
    farm = studio.farm()
    farm.plan_once()
    with transaction(studio.engine) as tx:
        lease = claim(tx, "a daemon that dies", stages=["measure"])
        assert lease is not None
        task = farm.task_of(tx, lease)
    result = run_task(task)
    assert not result.error
    ran = studio.runs()
    with transaction(studio.engine) as tx:
        past = datetime.now(UTC) - timedelta(seconds=1)
        tx.execute(update(Job).where(Job.key == lease.key).values(lease_until=past))
    studio.run()
    assert studio.all_done()
    assert studio.runs() == dict.fromkeys(NAMES, 1)
    assert sum(ran.values()) == 1


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_run_that_another_process_computes_still_does_not_keep_a_worker(studio: Any) -> None:
    """The daemon that sent it died; the worker is at it, and the next daemon's has other things to do meanwhile."""
    farm = studio.farm()
    farm.plan_once()
    with transaction(studio.engine) as tx:
        lease = claim(tx, "the next daemon", stages=["measure"])
        assert lease is not None
        task = farm.task_of(tx, lease)
    notes = run_journal_of(studio.store)
    with notes.alone(task.key, lambda: None):
        result = run_task(task)
    assert result.outcome == TaskOutcome.ELSEWHERE
    assert not studio.runs()
    assert run_task(task).outcome == TaskOutcome.DONE


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_photograph_that_rotted_in_the_store_is_named(studio: Any) -> None:
    with reading(studio.engine) as tx:
        sha256 = captures.get_take(tx, ready_takes(tx)[2].code).frames[0].sha256
    place = Store(studio.store).local_path(sha256)
    place.chmod(0o644)
    place.write_bytes(b"rot")
    studio.run()
    with reading(studio.engine) as tx:
        failed = tx.scalars(select(Job).where(Job.state == JobState.FAILED)).one()
    assert sha256 in (failed.error or "")


def test_interrupted_by_ctrl_c_then_resumed(studio: Any, waiting: Any) -> None:
    params = f'params = {{ measure = {{ control = "{studio.control}" }} }}'
    (studio.home / "studio.toml").write_text(f'[farm]\nstages = ["{TOYS}"]\npoll_s = 0.2\nworkers = 1\n{params}\n')
    hold = studio.order("hold-2_smile")
    command = ["farm", "run", "--home", str(studio.home), "--database", studio.url, "--template", str(studio.template)]
    daemon = subprocess.Popen([sys.executable, "-m", "mien", *command], stderr=subprocess.PIPE, start_new_session=True)
    try:
        waiting(studio.control / "reached-2_smile")
        os.killpg(daemon.pid, signal.SIGINT)  # as a terminal does: to the daemon and its workers
        _, errors = daemon.communicate(timeout=600)
    finally:
        daemon.kill()
    assert daemon.returncode == 130, errors.decode()
    assert b"nothing is lost" in errors
    states = studio.states()
    assert JobState.LEASED not in states.values()
    assert states["2_smile", "measure"] == JobState.QUEUED
    with reading(studio.engine) as tx:
        assert tx.scalar(select(Job.attempts).where(Job.stage == "measure", Job.take_id == studio.takes[1])) == 0

    hold.unlink()
    resumed = studio.run(workers=1)
    assert studio.all_done()
    assert resumed.done == len(NAMES) * STAGES - sum(state == JobState.DONE for state in states.values())
    assert studio.runs() == {"1_neutral": 1, "2_smile": 2, "3_mouth_stretch": 1}


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_session_without_neutral_is_reported_and_others_go_on(studio: Any, studio_rows: Any) -> None:
    store = Store(studio.store)
    with transaction(studio.engine) as tx:
        rig = studio_rows.rig(tx)
        session = studio_rows.session(tx, studio_rows.subject(tx, ConsentScope.RESEARCH_RELEASE), rig)
        session.calibration = rig_records.newest_calibration(tx, rig)
        photographs = [(store.put_bytes(f"lone {v}".encode()), 6) for v in range(3)]
        studio_rows.accepted(tx, session, rig, "smile", photographs)
        captures.close_session(tx, session, incomplete=True)
    summary = studio.run()
    assert summary.done == len(NAMES) * STAGES
    assert "No take is neutral" in summary.problems[session.code]


def test_what_a_stage_says_of_its_result_is_recorded_with_the_run_and_listed(
    studio: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    studio.run(stages=(str(TOYS), str(JUDGES)))
    with reading(studio.engine) as tx:
        assert count_verdicts(tx) == {RunVerdict.ACCEPT: 2, RunVerdict.REDO: 1}
        (bad,) = reviewed_runs(tx, RunVerdict.REVIEW, RunVerdict.REDO)
        assert len(reviewed_runs(tx)) == 3
        pictures = {artefact.sha256 for artefact in tx.scalars(select(Artefact).where(Artefact.output == "quality"))}
    assert (bad.stage, bad.label.split()[1], bad.reasons) == ("judge", "2_smile", ("it smiles", "camera 3 moved"))
    assert bad.figures["bytes"] > 0
    assert bad.picture in pictures
    report = farm_report(studio.home, studio.url)
    assert report["verdicts"] == {"accept": 2, "redo": 1}
    assert [r["reasons"] for r in report["reviews"]] == [["it smiles", "camera 3 moved"]]
    show_status(report)
    said = capsys.readouterr().out
    assert "2 accepted, 0 to look at, 1 to do again" in said
    assert "camera 3 moved" in said
