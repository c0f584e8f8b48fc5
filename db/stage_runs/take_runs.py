"""Stage runs by the takes that they serve: how each take stands, what is said of it, and which files were made."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from db.consents.capture_consent import consents, today
from db.consents.withdrawals import take_withdrawn
from db.errors import NotFound
from db.models import (
    Artefact,
    CaptureSession,
    Job,
    JobInput,
    JobState,
    JobSubject,
    JobTake,
    ProtocolExpression,
    RunReview,
    Subject,
    Take,
)
from db.stage_runs.job_queue import db_now
from db.stage_runs.served_files import TEMPLATE


class MadeFile(NamedTuple):
    """A file of the store that a run made."""

    sha256: str
    bytes: int
    media: str


@dataclass(frozen=True)
class TakeRun:
    """The newest run of a stage for a take."""

    key: str
    stage: str
    state: JobState
    attempts: int
    error: str  # "" when there is none
    finished_at: datetime | None
    verdict: str | None = None
    reasons: tuple[str, ...] = ()
    files: Mapping[str, MadeFile] = field(default_factory=dict)  # by output; empty where they may not be shown
    template: str | None = None  # SHA-256 of the template that it read


@dataclass(frozen=True)
class ProcessedTake:
    """A take with its runs by stage, in the order in which they were asked for."""

    take: str  # its code
    label: str  # FaceScape's name, as in '2_smile'
    position: int
    session: str
    subject: str
    shown: bool  # whether its subject consents today and the take was not withdrawn
    runs: Mapping[str, TakeRun]


@dataclass(frozen=True)
class ProcessedSession:
    """A session with takes of which something was made."""

    session: str
    subject: str
    opened_at: datetime
    takes: int
    shown: bool  # whether its subject consents today


def processed_sessions(tx: Session, stage: str) -> list[ProcessedSession]:
    """Sessions with a done run of this stage, newest first."""
    stands = consents(CaptureSession.subject_id, today())
    query = (
        select(CaptureSession.code, Subject.code, CaptureSession.opened_at, func.count(Take.id.distinct()), stands)
        .join(Subject, Subject.id == CaptureSession.subject_id)
        .join(Take, Take.session_id == CaptureSession.id)
        .join(JobTake, JobTake.take_id == Take.id)
        .join(Job, Job.id == JobTake.job_id)
        .where(Job.stage == stage, Job.state == JobState.DONE)
        .group_by(CaptureSession.id, Subject.code)
        .order_by(CaptureSession.id.desc())
    )
    return [
        ProcessedSession(code, subject, at, takes, bool(shown)) for code, subject, at, takes, shown in tx.execute(query)
    ]


def takes_of_session(tx: Session, session: str) -> list[ProcessedTake]:
    """The session's takes that have runs, by position. Raises NotFound."""
    found = tx.scalar(select(CaptureSession.id).where(CaptureSession.code == session))
    if found is None:
        raise NotFound(f"No session {session}; see: mien session list")
    takes = tx.scalars(select(Take.id).where(Take.session_id == found)).all()
    return sorted(_processed(tx, takes), key=lambda take: (take.position, take.take))


def newest_takes(tx: Session, most: int) -> list[ProcessedTake]:
    """Takes with runs, those first that were asked for last."""
    query = select(JobTake.take_id).group_by(JobTake.take_id).order_by(func.max(JobTake.job_id).desc()).limit(most)
    order = list(tx.scalars(query))
    codes = dict(tx.execute(select(Take.code, Take.id).where(Take.id.in_(order))).all())
    return sorted(_processed(tx, order), key=lambda take: order.index(codes[take.take]))


def labels_of(tx: Session, job_ids: Collection[int]) -> dict[int, tuple[str, str]]:
    """Job -> (code of the first take that it serves, subject and FaceScape's name as in 'S001 2_smile').

    Of a run of a subject no take, and the subject's code.
    """
    whose = (
        select(JobSubject.job_id, Subject.code)
        .join(Subject, Subject.id == JobSubject.subject_id)
        .join(Job, Job.id == JobSubject.job_id)
        .where(JobSubject.job_id.in_(list(job_ids)), Job.subject_id.is_not(None))
        .order_by(Subject.id.desc())
    )
    query = (
        select(JobTake.job_id, Take.code, Subject.code, ProtocolExpression)
        .join(Take, Take.id == JobTake.take_id)
        .join(CaptureSession, CaptureSession.id == Take.session_id)
        .join(Subject, Subject.id == CaptureSession.subject_id)
        .join(ProtocolExpression, ProtocolExpression.id == Take.expression_id)
        .where(JobTake.job_id.in_(list(job_ids)))
        .order_by(Take.id.desc())
    )
    found = {job: ("", subject) for job, subject in tx.execute(whose)}
    return found | {job: (take, f"{subject} {line.label}") for job, take, subject, line in tx.execute(query)}


def lately_done(tx: Session, within: timedelta = timedelta(hours=1)) -> tuple[int, float]:
    """How many runs were done within that time, and in how many seconds until now."""
    now = db_now(tx)
    here = (Job.state == JobState.DONE, Job.finished_at > now - within)
    count, first = tx.execute(select(func.count(), func.min(Job.started_at)).where(*here)).one()
    if not count or first is None:
        return 0, 0.0
    return count, min((now - first).total_seconds(), within.total_seconds())


def _processed(tx: Session, takes: Sequence[int]) -> list[ProcessedTake]:
    ids = list(takes)
    shown = consents(CaptureSession.subject_id, today()) & ~take_withdrawn(Take.id)
    query = (
        select(Take.id, Take.code, ProtocolExpression, CaptureSession.code, Subject.code, shown)
        .join(CaptureSession, CaptureSession.id == Take.session_id)
        .join(Subject, Subject.id == CaptureSession.subject_id)
        .join(ProtocolExpression, ProtocolExpression.id == Take.expression_id)
        .where(Take.id.in_(ids))
    )
    rows = tx.execute(query).all()
    runs = _runs(tx, {take for take, *_, stands in rows if stands}, ids)
    return [
        ProcessedTake(code, line.label, line.position, session, subject, bool(stands), runs[take])
        for take, code, line, session, subject, stands in rows
        if runs[take]
    ]


def _runs(tx: Session, shown: Collection[int], takes: Sequence[int]) -> dict[int, dict[str, TakeRun]]:
    """take -> stage -> its newest run; files of the takes that may be shown alone."""
    query = (
        select(JobTake.take_id, Job, RunReview)
        .join(Job, Job.id == JobTake.job_id)
        .outerjoin(RunReview, RunReview.job_id == Job.id)
        .where(JobTake.take_id.in_(takes))
        .order_by(Job.id)
    )
    newest: dict[int, dict[str, tuple[Job, RunReview | None]]] = {take: {} for take in takes}
    for take, job, review in tx.execute(query):
        newest[take][job.stage] = (job, review)
    jobs = [job.id for take in shown for job, _ in newest[take].values() if job.state is JobState.DONE]
    files, templates = files_of_jobs(tx, jobs), templates_of(tx, jobs)
    return {
        take: {
            stage: run_of(job, review, files.get(job.id, {}) if take in shown else {}, templates.get(job.id))
            for stage, (job, review) in by_stage.items()
        }
        for take, by_stage in newest.items()
    }


def files_of_jobs(tx: Session, jobs: Collection[int]) -> dict[int, dict[str, MadeFile]]:
    """job -> output -> file."""
    files: dict[int, dict[str, MadeFile]] = {}
    columns = (Artefact.job_id, Artefact.output, Artefact.sha256, Artefact.bytes, Artefact.media)
    for job_id, output, sha256, size, media in tx.execute(select(*columns).where(Artefact.job_id.in_(jobs))):
        files.setdefault(job_id, {})[output] = MadeFile(sha256, size, media)
    return files


def templates_of(tx: Session, jobs: Collection[int]) -> dict[int, str | None]:
    """job -> SHA-256 of the template that it read."""
    read = select(JobInput.job_id, JobInput.sha256).where(JobInput.job_id.in_(jobs), JobInput.name == TEMPLATE)
    return dict(tx.execute(read).all())


def run_of(job: Job, review: RunReview | None, files: Mapping[str, MadeFile], template: str | None) -> TakeRun:
    """A job as it is listed."""
    return TakeRun(
        job.key, job.stage, job.state, job.attempts, job.error or "", job.finished_at,
        review.verdict.value if review else None, tuple(review.reasons.splitlines()) if review else (), files, template,
    )  # fmt: skip
