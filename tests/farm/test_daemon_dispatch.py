"""What a daemon hands out, in what order, and when it hands out nothing. Workers are threads here: nothing dies."""

import contextlib
import errno
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from db import captures
from db.consents.withdrawals import stop_work
from db.engine import reading, transaction, utc_now
from db.models import CaptureSession, ConsentScope, Frame, Job, JobState, Subject, Take
from db.rigs import rig_records
from db.stage_runs.job_counts import count_jobs
from db.stage_runs.job_queue import IN_THE_CHAIR, PRIORITY, REPLACED, UNWANTED, URGENT
from db.store import Store
from processing.errors import DataError, DeviceUnavailable
from processing.farm import daemon
from processing.farm.daemon import FarmDaemon
from processing.farm.display.farm_status import report_of
from processing.farm.execution import task_execution
from processing.farm.execution.dask_cluster import Executor
from processing.farm.execution.stage_run import run_stage
from processing.farm.execution.task_execution import run_task
from processing.farm.farm_listener import FarmListener, Summary
from processing.farm.scheduling.tasks import Task, TaskOutcome, TaskResult
from processing.farm.scheduling.worker_capacity import WorkerCapacity
from processing.farm.store_watch import StoreWatch


class Threads(Executor):
    """One run at a time in a thread; `answers` may stand in for what a worker would say."""

    local = True

    def __init__(
        self, rooms: list[WorkerCapacity], answers: Callable[[Task, WorkerCapacity], TaskResult | None]
    ) -> None:
        super().__init__()
        self._rooms, self._answers = rooms, answers
        self._pool = ThreadPoolExecutor(1)

    def capacities(self) -> list[WorkerCapacity]:
        return self._rooms

    def submit(self, task: Task, room: WorkerCapacity, needs: Any, done: Callable[[TaskResult], None]) -> None:  # noqa: ARG002
        self._pool.submit(lambda: done(self._answers(task, room) or run_task(task)))

    def forget(self, key: str, attempt: int) -> None:
        """Nothing is remembered."""


class Heard(FarmListener):
    """What was started, in order, and what was warned of."""

    def __init__(self) -> None:
        self.started_runs: list[str] = []
        self.warnings: list[str] = []

    def started(self, label: str, stage: str) -> None:
        self.started_runs.append(f"{label} {stage}")

    def warned(self, message: str) -> None:
        self.warnings.append(message)


@pytest.fixture
def run(studio: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[Summary, Heard]]:
    def with_threads(
        rooms: list[WorkerCapacity] | None = None,
        answers: Callable[[Task, WorkerCapacity], TaskResult | None] = lambda _task, _room: None,
        **settings: Any,
    ) -> tuple[Summary, Heard]:
        @contextlib.contextmanager
        def executor(*_: Any) -> Iterator[Executor]:
            yield Threads(rooms or [WorkerCapacity("", 1, 8.0)], answers)

        monkeypatch.setattr(daemon, "executor", executor)
        heard = Heard()
        farm = FarmDaemon(studio.engine, studio.store, studio.settings(**settings), studio.template, heard)
        stop = threading.Timer(250, farm.stop)
        stop.start()
        try:
            return farm.run(until_idle=True), heard
        finally:
            stop.cancel()

    return with_threads


def open_session(studio: Any, rows: Any, *expressions: str) -> tuple[CaptureSession, list[Take]]:
    """Another subject's session with accepted takes; the subject is in the chair still."""
    store = Store(studio.store)
    with transaction(studio.engine) as tx:
        rig = rows.rig(tx)
        session = rows.session(tx, rows.subject(tx, ConsentScope.RESEARCH_RELEASE), rig)
        session.calibration = rig_records.newest_calibration(tx, rig)
        takes = [accepted(tx, rows, session, rig, store, expression) for expression in expressions]
    return session, takes


def accepted(tx: Any, rows: Any, session: CaptureSession, rig: Any, store: Store, expression: str) -> Take:
    again = len(list(tx.scalars(select(Take).where(Take.session_id == session.id))))
    data = [f"{session.code} {expression} {again} {view}".encode() for view in range(3)]
    take: Take = rows.accepted(tx, session, rig, expression, [(store.put_bytes(d), len(d)) for d in data])
    return take


def test_the_subject_in_the_chair_goes_first(studio: Any, studio_rows: Any, run: Any) -> None:
    open_session(studio, studio_rows, "neutral", "smile")
    summary, heard = run()
    assert summary.done == 15
    first = heard.started_runs[:6]
    assert len({label.split()[0] for label in first}) == 1
    assert {label.split()[1] for label in first} == {"1_neutral", "2_smile"}
    assert len({label.split()[0] for label in heard.started_runs}) == 2


def stages_with_urgent_ones() -> dict[str, Any]:
    here = Path(__file__).parent
    return {"stages": (str(here / "toy_stages"), str(here / "urgent_stages")), "first_look": True}


def test_what_a_person_waits_for_goes_before_all_else_that_is_queued(studio: Any, studio_rows: Any, run: Any) -> None:
    farm = FarmDaemon(studio.engine, studio.store, studio.settings(), studio.template)
    session, _ = open_session(studio, studio_rows, "neutral", "smile")
    farm.plan_once()  # the closed session's runs, and the chair's, wait already
    with transaction(studio.engine) as tx:
        here = tx.merge(session)
        accepted(tx, studio_rows, here, here.rig, Store(studio.store), "mouth_stretch")
    _, heard = run(**stages_with_urgent_ones())
    looks = [started.endswith(" glance") for started in heard.started_runs]
    assert sum(looks) == 3, "one of each take of the open session, none of the closed one's"
    assert all(looks[:3])
    assert {label.split()[1] for label in heard.started_runs[:3]} == {"1_neutral", "2_smile", "3_mouth_stretch"}


def test_a_look_does_not_wait_for_the_neutral(studio: Any, studio_rows: Any, run: Any) -> None:
    session, _ = open_session(studio, studio_rows, "smile")
    _, heard = run(**stages_with_urgent_ones())
    assert [label.split()[1:] for label in heard.started_runs[:1]] == [["2_smile", "glance"]]
    with transaction(studio.engine) as tx:
        captures.close_session(tx, tx.merge(session), incomplete=True)


def test_looks_are_made_where_the_studio_wants_them_and_never_of_closed_sessions(
    studio: Any, studio_rows: Any, run: Any
) -> None:
    session, _ = open_session(studio, studio_rows, "neutral")
    _, heard = run(**(stages_with_urgent_ones() | {"first_look": False}))
    assert not [started for started in heard.started_runs if started.endswith("glance")]
    with transaction(studio.engine) as tx:
        captures.close_session(tx, tx.merge(session), incomplete=True)
    _, heard = run(**stages_with_urgent_ones())
    assert heard.started_runs == []


def test_a_look_that_nobody_waits_for_any_more_goes_last(studio: Any, studio_rows: Any) -> None:
    session, _ = open_session(studio, studio_rows, "neutral")
    farm = FarmDaemon(studio.engine, studio.store, studio.settings(**stages_with_urgent_ones()), studio.template)

    def priority_of_the_look() -> int:
        with reading(studio.engine) as tx:
            return tx.scalars(select(Job.priority).where(Job.stage == "glance")).one()

    farm.plan_once()
    assert priority_of_the_look() == URGENT
    with transaction(studio.engine) as tx:
        captures.close_session(tx, tx.merge(session), incomplete=True)
    farm.plan_once()
    assert priority_of_the_look() == REPLACED


def test_open_sessions_wait_where_the_studio_wants_it_so(studio: Any, studio_rows: Any, run: Any) -> None:
    open_session(studio, studio_rows, "neutral")
    summary, _ = run(open_sessions=False)
    assert summary.done == 9


def test_an_open_session_without_its_neutral_is_no_problem_until_it_is_closed(
    studio: Any, studio_rows: Any, run: Any
) -> None:
    session, _ = open_session(studio, studio_rows, "smile")
    assert run()[0].problems == {}
    with transaction(studio.engine) as tx:
        captures.close_session(tx, tx.merge(session), incomplete=True)
    assert "No take is neutral" in run()[0].problems[session.code]


def test_what_a_retake_replaces_goes_last(studio: Any, studio_rows: Any, run: Any) -> None:
    session, _ = open_session(studio, studio_rows, "neutral", "smile")
    farm = FarmDaemon(studio.engine, studio.store, studio.settings(), studio.template)
    farm.plan_once()
    with transaction(studio.engine) as tx:
        here = tx.merge(session)
        accepted(tx, studio_rows, here, here.rig, Store(studio.store), "smile")
    farm.plan_once()
    with reading(studio.engine) as tx:
        jobs = list(tx.scalars(select(Job).join(Take, Take.id == Job.take_id).where(Take.session_id == session.id)))
    assert sorted(job.priority for job in jobs) == [IN_THE_CHAIR] * 6 + [REPLACED] * 3
    with transaction(studio.engine) as tx:
        captures.close_session(tx, tx.merge(session), incomplete=True)
    farm.plan_once()
    with reading(studio.engine) as tx:
        assert set(tx.scalars(select(Job.priority))) == {PRIORITY, REPLACED}
    _, heard = run()
    assert len(heard.started_runs) == 18
    assert all("2_smile" in label for label in heard.started_runs[-3:])


def test_runs_of_cameras_that_were_calibrated_anew_are_set_aside(studio: Any, run: Any) -> None:
    FarmDaemon(studio.engine, studio.store, studio.settings(), studio.template).plan_once()
    with transaction(studio.engine) as tx:
        session = tx.scalars(select(CaptureSession)).one()
        session.calibration = rig_records.add_calibration(tx, session.rig, "anew", {"0_K": [[2.0]]})
        for take in tx.scalars(select(Take)):
            take.calibration_id = session.calibration.id
    summary, _ = run()
    stands = summary.jobs
    assert (stands.done, stands.stopped, stands.failed, stands.parked) == (9, 3, 0, 0)  # what they feed stays behind
    assert not stands.troubled
    with reading(studio.engine) as tx:
        assert set(tx.scalars(select(Job.error).where(Job.state == JobState.PARKED))) == {UNWANTED}
    report = report_of(studio.engine)
    assert report["troubles"] == []
    assert report["jobs"]["stopped"] == 3


def test_what_a_withdrawal_stopped_is_no_trouble(studio: Any, run: Any) -> None:
    FarmDaemon(studio.engine, studio.store, studio.settings(), studio.template).plan_once()
    with transaction(studio.engine) as tx:
        subject = tx.scalars(select(Subject)).one()
        subject.consents[0].withdrawn_at = utc_now()
        tx.flush()
        assert stop_work(tx, subject) == 9
    summary, heard = run()
    assert heard.started_runs == []
    assert (summary.jobs.stopped, summary.jobs.troubled) == (9, False)


def test_nothing_begins_on_a_full_disk(run: Any) -> None:
    summary, heard = run(disk_floor_gb=1e9)
    assert heard.started_runs == []
    assert len(heard.warnings) == 1
    assert "no run begins until there is room" in heard.warnings[0]
    assert summary.problems == {"disk": heard.warnings[0]}
    assert run()[0].done == 9


def test_workers_without_room_are_asked_later_and_no_attempt_is_counted(studio: Any, run: Any) -> None:
    full = [True]

    def answers(task: Task, _room: WorkerCapacity) -> TaskResult | None:
        if full:
            full.clear()
            return TaskResult(task.key, task.attempt, TaskOutcome.NO_ROOM, error="gpu-1 has 0.1 GB free")
        return None

    summary, heard = run([WorkerCapacity("gpu-1", 1, 8.0)], answers, backoff_s=3600.0)
    assert summary.done == 0
    assert summary.problems == {"disk": "gpu-1 has 0.1 GB free"}
    assert heard.warnings == ["gpu-1 has 0.1 GB free"]
    with transaction(studio.engine) as tx:
        assert tx.execute(update(Job).values(not_before=None).where(Job.not_before.is_not(None))).rowcount == 1
    summary, _ = run()
    assert summary.done == 9
    with reading(studio.engine) as tx:
        assert set(tx.scalars(select(Job.attempts))) == {1}


def test_a_result_of_an_earlier_attempt_does_not_count(studio: Any, run: Any) -> None:
    def answers(task: Task, _room: WorkerCapacity) -> TaskResult | None:
        if task.stage == "measure" and task.attempt == 1:
            return TaskResult(task.key, task.attempt, TaskOutcome.ATTEMPT, error="stumbled")
        return None

    summary, _ = run(answers=answers)
    assert (summary.done, summary.failed_attempts) == (9, 3)
    with reading(studio.engine) as tx:
        assert set(tx.scalars(select(Job.attempts).where(Job.stage == "measure"))) == {2}


def test_status_tells_what_runs_for_whom(studio: Any, run: Any) -> None:
    seen: list[dict[str, Any]] = []

    def answers(_task: Task, _room: WorkerCapacity) -> TaskResult | None:
        if not seen:
            seen.append(report_of(studio.engine))
        return None

    run(answers=answers)
    (running,) = seen[0]["running"]
    assert running["label"].endswith("1_neutral")
    assert running["stage"] == "measure"
    assert running["attempt"] == 1
    assert 0 <= running["silent_s"] < 60
    with reading(studio.engine) as tx:
        assert count_jobs(tx).running == 0


GPU_1 = WorkerCapacity("tcp://10.0.0.7:41", 1, 8.0, label="gpu-1")


def without_store(task: Task, room: WorkerCapacity) -> TaskResult | None:
    """What gpu-1 says, which has an empty folder where the store should be."""
    if room != GPU_1:
        return None
    elsewhere = Path(task.store).with_name("empty")
    elsewhere.mkdir(exist_ok=True)
    return run_task(replace(task, store=str(elsewhere)))


def test_a_worker_without_the_store_fails_no_run(studio: Any, run: Any) -> None:
    """Beside a good one all runs end well; the bad one, free at once after each, would otherwise eat the queue."""
    summary, heard = run([GPU_1, WorkerCapacity("good", 1, 8.0)], without_store, backoff_s=0.0)
    assert (summary.done, summary.failed_attempts, summary.problems) == (9, 0, {})
    assert len(heard.warnings) == 1
    assert "worker gpu-1 is set aside" in heard.warnings[0]
    assert "carries no identity, as an empty mount point does" in heard.warnings[0]
    assert studio.all_done()
    with reading(studio.engine) as tx:
        assert set(tx.scalars(select(Job.attempts))) == {1}
    assert not any(Path(studio.store).with_name("empty").iterdir())


def test_alone_it_is_named_and_its_runs_wait(studio: Any, run: Any) -> None:
    summary, heard = run([GPU_1], without_store, backoff_s=3600.0)
    assert (summary.done, summary.jobs.troubled) == (0, False)
    assert summary.problems["workers"].startswith("worker gpu-1 is set aside: ")
    assert heard.warnings == [f"{summary.problems['workers']}. Its runs wait for another, or for it"]
    told = report_of(studio.engine)["aside"]
    assert told == [{"worker": summary.problems["workers"], "runs": 1}]
    assert run()[0].done == 9  # its machine is mended
    assert report_of(studio.engine)["aside"] == []


def test_it_comes_back_by_itself(studio: Any, run: Any) -> None:
    asked: list[str] = []

    def mended_later(task: Task, room: WorkerCapacity) -> TaskResult | None:
        asked.append(task.key)
        return without_store(task, room) if len(asked) <= 2 else None

    good = WorkerCapacity("good", 1, 8.0)
    hold = studio.order("hold-2_smile")
    threading.Timer(2.5, hold.unlink).start()
    _, heard = run([GPU_1, good], mended_later, backoff_s=0.0)
    assert studio.all_done()
    assert heard.warnings[-1] == "worker gpu-1 runs things again" or len(heard.warnings) == 1


@pytest.mark.parametrize(
    "fault",
    [MemoryError("of 9 GB"), PermissionError(errno.EACCES, "Permission denied"), ImportError("libGL.so.1"),
     OSError("libusb.so: cannot open shared object file"), OSError(errno.ESTALE, "Stale file handle"),
     OSError(errno.ENOSPC, "No space left on device"), OSError(errno.EDQUOT, "Disk quota exceeded"),
     OSError(errno.EIO, "Input/output error"), OSError(errno.ENOLCK, "No locks available"),
     BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable"), RuntimeError("can't start new thread"),
     RuntimeError("CUDA error: unspecified launch failure"), ModuleNotFoundError("No module named 'open3d'"),
     DeviceUnavailable("device 'cuda' cannot be used: Found no NVIDIA driver on your system")],
)  # fmt: skip
@pytest.mark.parametrize("wrapped", [False, True])
def test_what_a_machine_lacks_is_no_fault_of_a_run(
    run: Any, monkeypatch: pytest.MonkeyPatch, fault: Exception, wrapped: bool
) -> None:
    """Also where the stage says it as a fault of its data, because of it."""
    ill = True

    def on_an_ill_machine(*given: Any, **more: Any) -> Any:
        if not ill:
            return run_stage(*given, **more)
        if wrapped:
            raise DataError("the photographs cannot be read") from fault
        raise fault

    def answers(_task: Task, room: WorkerCapacity) -> None:
        nonlocal ill
        ill = room == GPU_1

    monkeypatch.setattr(task_execution, "run_stage", on_an_ill_machine)
    summary, heard = run([GPU_1, WorkerCapacity("good", 1, 8.0)], answers, backoff_s=3600.0)
    assert (summary.done, summary.failed_attempts) == (9, 0)
    assert len(heard.warnings) == 1
    assert "worker gpu-1 is set aside" in heard.warnings[0]


def test_a_run_that_finds_every_machine_full_fills_them_itself(run: Any) -> None:
    def full(task: Task, _room: WorkerCapacity) -> TaskResult | None:
        if task.label.endswith("2_smile") and task.stage == "measure":
            return TaskResult(task.key, task.attempt, TaskOutcome.DISK_FULL, error="full")
        return None

    rooms = [WorkerCapacity(f"w{k}", 1, 8.0) for k in range(6)]
    summary, _ = run(rooms, full, backoff_s=0.0, max_attempts=1)
    assert summary.jobs.parked == 1
    assert summary.done == 6


def test_a_file_that_nobody_has_is_the_inputs_fault(studio: Any, run: Any) -> None:
    store = Store(studio.store)
    with reading(studio.engine) as tx:
        lost = tx.scalars(select(Frame.sha256).where(Frame.take_id == studio.takes[1])).first()
    (Path(studio.store) / "sha256" / lost[:2] / lost).unlink()
    assert not store.exists(lost)
    summary, _ = run([WorkerCapacity("one", 1, 8.0)])
    assert summary.jobs.failed == 1
    assert summary.done == 6


def test_a_store_without_identity_is_told_by_what_the_daemon_sees(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """As of studios from before stores had one, where records and store do not agree."""
    monkeypatch.setattr(StoreWatch, "_first_look", lambda _watch: "")
    summary, heard = run([GPU_1, WorkerCapacity("good", 1, 8.0)], without_store, backoff_s=3600.0)
    assert (summary.done, summary.failed_attempts) == (9, 0)
    assert "It is there for the daemon" in heard.warnings[0]


def test_no_run_begins_without_the_daemons_own_store(studio: Any, run: Any) -> None:
    FarmDaemon(studio.engine, studio.store, studio.settings(), studio.template).plan_once()
    store, aside = Path(studio.store), Path(studio.store).with_name("aside")
    store.rename(aside)
    for problem in ("is away", "is empty and carries no identity"):
        summary, heard = run()
        assert heard.started_runs == []
        assert problem in summary.problems["store"]
        assert summary.jobs.troubled is False
        store.mkdir(exist_ok=True)  # the mount point
    store.rmdir()
    aside.rename(store)
    assert run()[0].done == 9
