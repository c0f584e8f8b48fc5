"""Stage runs in SQL: enqueue by content key, claim under a lease, finish with artefacts in one transaction.

A worker holds a job as long as it renews the lease; a job whose lease ran out is given back and may be claimed by
another. What the slow worker then does is refused (LeaseLost), because every step is guarded by state and worker.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Update, case, func, insert, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from db.consents.withdrawals import STOPPED, lock_participants, may_be_modelled, stopped, withdrawn_takes
from db.engine import changed, in_chunks, utc_now
from db.errors import LeaseLost, NotFound, RecordError
from db.models import Artefact, Base, Job, JobInput, JobState, JobSubject, JobTake, Take
from db.stage_runs import job_statements as statements
from db.stage_runs.artefacts import OutputFile, record_artefacts

MAX_ATTEMPTS = 3
BACKOFF_S = 30.0
PRIORITY, IN_THE_CHAIR, REPLACED = 100, 10, 900  # usual; of a subject whose session is open; of a take taken again
URGENT = 1  # somebody beside the subject waits for it
UNWANTED = "no longer wanted: its photographs or cameras have changed since"
NOBODY_WAITS = (UNWANTED, STOPPED)  # errors of parked jobs that are no trouble
_ERROR_LIMIT = 20_000
_ROWS_ONLY = {"synchronize_session": False}


@dataclass(frozen=True)
class InputFile:
    """An input that no job makes, by the SHA-256 that identifies it (a take's listing, a template's file)."""

    name: str
    sha256: str
    label: str = ""  # of many under one name, see InputMade


@dataclass(frozen=True)
class InputMade:
    """An input that another job makes; that job is enqueued before or together with the one that reads it."""

    name: str
    key: str
    output: str
    label: str = ""  # of many under one name, in their order: a take's label, a subject's code


@dataclass(frozen=True)
class JobSpec:
    """A stage run to be done. Equal keys are one job, whoever asks."""

    key: str
    stage: str
    version: int
    params: Mapping[str, Any]
    inputs: Sequence[InputFile | InputMade] = ()
    subject_id: int | None = None
    take_id: int | None = None
    priority: int = PRIORITY  # the lowest runs first
    # Whom a run over several takes is of: of a subject, itself; of a study, which has no `subject_id`, every member.
    subjects: Sequence[int] = ()

    @property
    def of_study(self) -> bool:
        """Whether it is made of several people."""
        return self.subject_id is None and bool(self.subjects)


@dataclass(frozen=True)
class Lease:
    """A claimed job."""

    job_id: int
    key: str
    stage: str
    version: int
    params: Mapping[str, Any]
    subject_id: int | None
    take_id: int | None
    worker: str
    attempt: int
    until: datetime
    # name -> (SHA-256, None) or (SHA-256 of the artefact, the artefact's id)
    inputs: Mapping[str, tuple[str, int | None]] = field(default_factory=dict)
    many: Mapping[str, Mapping[str, tuple[str, int | None]]] = field(default_factory=dict)  # ... by label, in order

    @property
    def artefacts(self) -> list[int]:
        """The ids of all artefacts that it reads."""
        read = [*self.inputs.values(), *(source for labelled in self.many.values() for source in labelled.values())]
        return [artefact for _, artefact in read if artefact is not None]


def enqueue(tx: Session, spec: JobSpec) -> bool:
    """Ask for a stage run; True when it is new. A job of this key that exists, in whatever state, is left as it is.

    Raises NotFound when an input comes from a job that was never enqueued.
    """
    return enqueue_all(tx, [spec]) == 1


def enqueue_all(tx: Session, specs: Sequence[JobSpec]) -> int:
    """Ask for stage runs, in any order; how many were new. A few statements, however many runs. Raises as `enqueue`.

    Nothing is asked for a subject that withdrew, for a take that was withdrawn, nor of a study with a member that does
    not consent to be part of a statistical model.
    """
    own = {spec.subject_id for spec in specs if spec.subject_id is not None}
    may = lock_participants(tx, own | {subject for spec in specs for subject in spec.subjects})
    models = may_be_modelled(tx) if any(spec.of_study for spec in specs) else set()
    gone = withdrawn_takes(tx, {spec.take_id for spec in specs if spec.take_id is not None})
    specs = [
        s
        for s in specs
        if (s.subject_id is None or s.subject_id in may) and s.take_id not in gone
        and (not s.of_study or set(s.subjects) <= models)
    ]  # fmt: skip
    unique = {spec.key: spec for spec in specs}
    ids = _ids_of(tx, unique)
    now = db_now(tx)
    rows = [
        {
            "key": spec.key,
            "stage": spec.stage,
            "version": spec.version,
            "params": dict(spec.params),
            "subject_id": spec.subject_id,
            "take_id": spec.take_id,
            "priority": spec.priority,
            "state": JobState.QUEUED,
            "attempts": 0,
            "created_at": now,
        }
        for spec in unique.values()
        if spec.key not in ids
    ]
    new = {key: job_id for job_id, key in _insert_new(tx, Job, rows, Job.id, Job.key)}
    ids |= new
    ids |= _ids_of(tx, [key for key in unique if key not in ids])  # another daemon asked for them this moment
    inputs = [(unique[key], given) for key in new for given in unique[key].inputs]
    ids |= _ids_of(tx, {given.key for _, given in inputs if isinstance(given, InputMade)} - set(ids))
    if inputs:
        tx.execute(insert(JobInput), [_input_row(ids, spec, given) for spec, given in inputs])
    served = {(ids[spec.key], spec.take_id) for spec in specs if spec.take_id is not None}
    _insert_new(tx, JobTake, [{"job_id": job, "take_id": take} for job, take in sorted(served)], JobTake.job_id)
    of = {(ids[spec.key], subject) for spec in specs for subject in spec.subjects}
    _insert_new(tx, JobSubject, [{"job_id": job, "subject_id": who} for job, who in sorted(of)], JobSubject.job_id)
    return len(new)


def claim(
    tx: Session,
    worker: str,
    *,
    lease_s: float = 60.0,
    stages: Iterable[str] | Mapping[str, int] | None = None,
    now: datetime | None = None,
) -> Lease | None:
    """Take the most urgent job whose inputs are all made; None when there is none. Only `stages`, when given.

    stages: names, or names with the one version of each that the claimer can run.
    Commit at once: the lease begins with this call. Two claimers never get the same job.
    """
    now = now or db_now(tx)
    statement = statements.claim_next(statements.stages_wanted(stages))
    return _claimed(tx, statement, worker, now, now + timedelta(seconds=lease_s))


def heartbeat(tx: Session, lease: Lease, *, lease_s: float = 60.0, now: datetime | None = None) -> datetime:
    """Renew the lease and return its new end. Raises LeaseLost: stop working, the result would be refused."""
    now = now or db_now(tx)
    until = now + timedelta(seconds=lease_s)
    _guarded(tx, lease, {"lease_until": until, "heartbeat_at": now})
    return until


def finish(
    tx: Session,
    lease: Lease,
    outputs: Sequence[OutputFile],
    *,
    frame_ids: Sequence[int] = (),
    now: datetime | None = None,
) -> list[Artefact]:
    """leased -> done, with its artefacts and their lineage in the same transaction; files are in the store already.

    Parents are the artefacts the job read, and the photographs `frame_ids`. Raises LeaseLost.
    """
    now = now or db_now(tx)
    values = {"state": JobState.DONE, "finished_at": now, "lease_until": None, "not_before": None, "error": None}
    _guarded(tx, lease, values)
    return record_artefacts(tx, lease.job_id, outputs, parents=lease.artefacts, frame_ids=frame_ids, made_at=now)


def finished_under(tx: Session, lease: Lease) -> bool:
    """Whether the job was finished by this very claim: committed, and the answer lost. Not by another's."""
    ours = (Job.id == lease.job_id, Job.worker == lease.worker, Job.attempts == lease.attempt)
    return tx.scalar(select(Job.id).where(*ours, Job.state == JobState.DONE)) is not None


def fail(
    tx: Session,
    lease: Lease,
    error: str,
    *,
    retry: bool,
    max_attempts: int = MAX_ATTEMPTS,
    backoff_s: float = BACKOFF_S,
    now: datetime | None = None,
) -> JobState:
    """End an attempt that went wrong, and return the job's new state.

    retry=False: the input is at fault, another attempt would end alike: failed.  retry=True: queued again after
    backoff_s x 2^(attempt - 1), and parked after `max_attempts`.  Raises LeaseLost.
    """
    now = now or db_now(tx)
    values: dict[str, Any] = {"error": error[-_ERROR_LIMIT:], "lease_until": None, "finished_at": now}
    if not retry:
        values["state"] = JobState.FAILED
    elif lease.attempt < max_attempts:
        values["state"] = JobState.QUEUED
        values["not_before"] = now + timedelta(seconds=backoff_s * 2 ** (lease.attempt - 1))
    else:
        values["state"] = JobState.PARKED
    _guarded(tx, lease, values)
    state: JobState = values["state"]
    return state


def give_back(tx: Session, lease: Lease) -> None:
    """leased -> queued without counting the attempt: the worker was asked to stop. Raises LeaseLost."""
    _guarded(tx, lease, {"state": JobState.QUEUED, "lease_until": None, "worker": None}, uncounted=True)


def postpone(tx: Session, lease: Lease, why: str, delay_s: float, *, now: datetime | None = None) -> JobState:
    """leased -> queued without counting the attempt, to be tried again in `delay_s`: its worker is at fault, not it.

    Raises LeaseLost.
    """
    values = {
        "state": JobState.QUEUED, "lease_until": None, "worker": None,
        "error": why[-_ERROR_LIMIT:], "not_before": (now or db_now(tx)) + timedelta(seconds=delay_s),
    }  # fmt: skip
    _guarded(tx, lease, values, uncounted=True)
    return JobState.QUEUED


def worker_aside(worker: str, reason: str) -> str:
    """What a waiting job says of a worker that could not run it, for its machine is at fault."""
    return f"worker {worker} is set aside: {reason}"


def workers_aside(tx: Session) -> list[tuple[str, int]]:
    """What waiting jobs say of workers that are set aside, and how many say so."""
    waiting = select(Job.error, func.count()).where(Job.state == JobState.QUEUED)
    waiting = waiting.where(Job.error.like(worker_aside("%", "%")))
    return [(error or "", n) for error, n in tx.execute(waiting.group_by(Job.error).order_by(func.max(Job.id).desc()))]


def set_aside(tx: Session, lease: Lease) -> JobState:
    """leased -> parked as no longer wanted: what it was to be made from has changed since. Raises LeaseLost."""
    _guarded(tx, lease, {"state": JobState.PARKED, "error": UNWANTED, "lease_until": None}, uncounted=True)
    return JobState.PARKED


def count_set_aside(tx: Session) -> int:
    """How many parked jobs wait for nobody: no longer wanted, or stopped by a withdrawal."""
    here = select(func.count()).select_from(Job).where(Job.state == JobState.PARKED)
    return tx.scalar(here.where(Job.error.in_(NOBODY_WAITS))) or 0


def prioritise(tx: Session, subjects_in_the_chair: Collection[int]) -> int:
    """What waits for these subjects goes first; what went first for others waits its turn again; how many changed."""
    waiting = (Job.state == JobState.QUEUED, Job.priority.in_((PRIORITY, IN_THE_CHAIR)))
    here = list(subjects_in_the_chair)
    up = update(Job).where(*waiting, Job.subject_id.in_(here), Job.priority != IN_THE_CHAIR)
    down = update(Job).where(*waiting, Job.subject_id.not_in(here), Job.priority == IN_THE_CHAIR)
    raised = changed(tx, up.values(priority=IN_THE_CHAIR)) if here else 0
    return raised + changed(tx, down.values(priority=PRIORITY))


def set_last(tx: Session, session_id: int, wanted: Collection[str]) -> int:
    """What waits for takes of this session under other keys than `wanted` goes last; how many changed.

    A take was taken again since, or its cameras calibrated anew. What is wanted again waits its usual turn.
    """
    queued = select(Job.key, Job.priority).where(Job.state == JobState.QUEUED)
    of_takes = queued.join(Take, Job.take_id == Take.id).where(Take.session_id == session_id)
    of_subject = queued.where(statements.reads_session(session_id))
    last: list[str] = []
    usual: list[str] = []
    for key, priority in (*tx.execute(of_takes), *tx.execute(of_subject)):
        if (key in wanted) == (priority == REPLACED):
            (usual if key in wanted else last).append(key)
    return _set_priority(tx, last, REPLACED) + _set_priority(tx, usual, PRIORITY)


def _set_priority(tx: Session, keys: Sequence[str], priority: int) -> int:
    count = 0
    for chunk in in_chunks(keys):
        guard = (Job.state == JobState.QUEUED, Job.key.in_(chunk))
        count += changed(tx, update(Job).where(*guard).values(priority=priority))
    return count


def count_ready(tx: Session, stages: Mapping[str, int] | None = None) -> tuple[int, int]:
    """How many queued jobs have every input made: those due now, and those whose back-off has yet to end."""
    due = func.coalesce(func.sum(case((statements.DUE, 1), else_=0)), 0)
    queued = select(func.count(), due).where(Job.state == JobState.QUEUED, statements.INPUTS_MADE)
    queued = queued.where(*statements.of_stages(statements.stages_wanted(stages)))
    both, ready = tx.execute(queued, {"at_now": db_now(tx)}).one()
    return ready, both - ready


def give_back_others(tx: Session, worker: str, known: Collection[str]) -> int:
    """Give back what this worker holds without knowing it: a claim was committed and the answer lost; how many."""
    held = (Job.state == JobState.LEASED, Job.worker == worker, Job.key.not_in(list(known)))
    values = {"state": JobState.QUEUED, "attempts": Job.attempts - 1, "lease_until": None, "worker": None}
    return changed(tx, update(Job).where(*held).values(values))


def reclaim_expired(tx: Session, *, max_attempts: int = MAX_ATTEMPTS, now: datetime | None = None) -> int:
    """Give back every job whose lease ran out (parking those out of attempts); how many there were."""
    now = now or db_now(tx)
    lost = (Job.state == JobState.LEASED, Job.lease_until < now)
    error = "the lease ran out: the worker died, hung, or lost the database"
    common = {"lease_until": None, "error": error}
    parked = update(Job).where(*lost, Job.attempts >= max_attempts).values(state=JobState.PARKED, **common)
    queued = update(Job).where(*lost).values(state=JobState.QUEUED, **common)
    return changed(tx, parked) + changed(tx, queued)


def retry(tx: Session, keys: Sequence[str] | None = None) -> int:
    """failed or parked -> queued with attempts counted anew: the given jobs, or all; how many changed.

    What a withdrawal stopped stays stopped.
    """
    again = update(Job).where(Job.state.in_((JobState.FAILED, JobState.PARKED)), ~stopped())
    if keys is not None:
        again = again.where(Job.key.in_(list(keys)))
    return changed(tx, again.values(state=JobState.QUEUED, attempts=0, not_before=None, worker=None))


def retry_beginning(tx: Session, starts: Sequence[str]) -> int:
    """As retry, jobs by the beginnings of their keys. Raises NotFound for one that begins none."""
    found: list[str] = []
    for start in starts:
        matching = list(tx.scalars(select(Job.key).where(Job.key.startswith(start, autoescape=True))))
        if not matching:
            raise NotFound(f"No run has a key that begins with {start}; see: mien farm status")
        found += matching
    return retry(tx, found)


def get_job(tx: Session, key: str) -> Job:
    """A job by its content key, as the database has it now. Raises NotFound."""
    job = tx.scalar(select(Job).where(Job.key == key).execution_options(populate_existing=True))
    if job is None:
        raise NotFound(f"No job {key}; see: mien farm status")
    return job


def states_of(tx: Session, keys: Sequence[str]) -> dict[str, JobState]:
    """The states of those of these jobs that exist."""
    found: dict[str, JobState] = {}
    for chunk in in_chunks(keys):
        found.update(tx.execute(select(Job.key, Job.state).where(Job.key.in_(chunk))).all())
    return found


def troubled_jobs(tx: Session, limit: int = 100) -> list[Job]:
    """Failed and parked jobs that somebody waits for, the newest first."""
    bad = or_(Job.state == JobState.FAILED, (Job.state == JobState.PARKED) & Job.error.not_in(NOBODY_WAITS))
    return list(tx.scalars(select(Job).where(bad).order_by(Job.id.desc()).limit(limit)))


def db_now(tx: Session) -> datetime:
    """The database's clock, so that leases need no agreement between the workers' clocks."""
    if tx.get_bind().dialect.name == "postgresql":
        now = tx.scalar(select(func.clock_timestamp()))
        assert isinstance(now, datetime)
        return now
    return utc_now()  # one machine, one clock


def _claimed(tx: Session, statement: Update, worker: str, now: datetime, until: datetime) -> Lease | None:
    """Execute a claim and read what the job needs; None when it changed no row."""
    values = {"at_now": now, "at_end": until, "by_worker": worker}
    row = tx.execute(statement, values, execution_options=_ROWS_ONLY).first()
    if row is None:
        return None
    job_id, key, stage, version, params, subject_id, take_id, attempt = row
    inputs: dict[str, tuple[str, int | None]] = {}
    many: dict[str, dict[str, tuple[str, int | None]]] = {}
    for name, label, sha256, output, artefact, made in tx.execute(statements.INPUTS, {"of_job": job_id}):
        if sha256 is None and made is None:
            raise RecordError(f"Job {key[:12]} ({stage}) reads '{output}', which its maker did not make")
        found = (sha256, None) if sha256 is not None else (made, artefact)
        if label:
            many.setdefault(name, {})[label] = found
        else:
            inputs[name] = found
    return Lease(job_id, key, stage, version, params, subject_id, take_id, worker, attempt, until, inputs, many)


def _guarded(tx: Session, lease: Lease, values: Mapping[str, Any], *, uncounted: bool = False) -> None:
    statement = statements.update_held(tuple(values), uncounted)
    held = {"of_job": lease.job_id, "by_worker": lease.worker, "of_attempt": lease.attempt}
    if changed(tx, statement, held | {f"new_{name}": value for name, value in values.items()}) != 1:
        raise LeaseLost(
            f"Job {lease.key[:12]} ({lease.stage}) is no longer held by {lease.worker}; its result is dropped"
        )


def _ids_of(tx: Session, keys: Collection[str]) -> dict[str, int]:
    found: dict[str, int] = {}
    for chunk in in_chunks(keys):
        found.update(tx.execute(select(Job.key, Job.id).where(Job.key.in_(chunk))).all())
    return found


def _input_row(ids: Mapping[str, int], spec: JobSpec, given: InputFile | InputMade) -> dict[str, Any]:
    row: dict[str, Any] = {"job_id": ids[spec.key], "name": given.name, "label": given.label}
    if isinstance(given, InputFile):
        return row | {"sha256": given.sha256, "from_job_id": None, "from_output": None}
    if given.key not in ids:
        raise NotFound(f"Input '{given.name}' comes from job {given.key[:12]}, which was never enqueued")
    return row | {"sha256": None, "from_job_id": ids[given.key], "from_output": given.output}


def _insert_new(tx: Session, table: type[Base], rows: Sequence[Mapping[str, Any]], *columns: Any) -> list[Any]:
    """Insert those rows whose keys are not there; `columns` of the inserted ones."""
    dialect = postgresql if tx.get_bind().dialect.name == "postgresql" else sqlite
    inserted: list[Any] = []
    for chunk in in_chunks(rows):
        statement = dialect.insert(table).values([dict(row) for row in chunk])
        inserted += tx.execute(statement.on_conflict_do_nothing().returning(*columns)).all()
    return inserted
