"""Stage runs over all takes of a subject, as its rig: of which takes they are, whether they stand, what they made.

A subject captured in several sessions has such a run for each; the newest session's is the subject's.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session, aliased

from db.consents.capture_consent import consents, today
from db.consents.withdrawals import reads_withdrawn_take, take_withdrawn
from db.models import (
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
    TakeState,
)
from db.stage_runs.take_runs import TakeRun, files_of_jobs, run_of, templates_of


@dataclass(frozen=True)
class SubjectRun:
    """A run of a subject."""

    job_id: int
    subject_id: int
    subject: str  # its code
    session: str  # of the takes that it read; empty while none of them is known
    takes: tuple[str, ...]  # FaceScape's names, as in '2_smile', in the protocol's order
    stands: bool  # whether these are the session's accepted takes still, none of them withdrawn
    shown: bool  # whether the subject consents today and no take was withdrawn
    run: TakeRun  # without files where they may not be shown


@dataclass(frozen=True)
class _Read:
    """Takes that a run read."""

    session_id: int
    session: str
    labels: tuple[str, ...]
    accepted: frozenset[int]  # positions whose take is accepted, and not withdrawn


def subject_runs(tx: Session, stage: str, subjects: Collection[str] | None = None) -> list[SubjectRun]:
    """Runs of this stage, of these subjects (by code) or of all, the newest first."""
    shown = consents(Subject.id, today()) & ~reads_withdrawn_take()
    query = (
        select(Job, RunReview, Subject.id, Subject.code, shown)
        .join(JobSubject, JobSubject.job_id == Job.id)
        .join(Subject, Subject.id == JobSubject.subject_id)
        .outerjoin(RunReview, RunReview.job_id == Job.id)
        .where(Job.stage == stage, Job.subject_id.is_not(None))
        .order_by(Job.id.desc(), Subject.id)
    )
    if subjects is not None:
        query = query.where(Subject.code.in_(list(subjects)))
    rows = tx.execute(query).all()
    done = [job.id for job, _, _, _, may in rows if may and job.state is JobState.DONE]
    files, templates = files_of_jobs(tx, done), templates_of(tx, done)
    read = _read(tx, [(job.id, who) for job, _, who, _, _ in rows])
    wanted = _accepted(tx, {found.session_id for found in read.values()})
    nothing = _Read(0, "", (), frozenset())
    found = []
    for job, review, who, code, may in rows:
        takes = read.get((job.id, who), nothing)
        stands = (
            bool(takes.accepted)
            and takes.accepted == wanted.get(takes.session_id)
            and len(takes.labels) == len(takes.accepted)
        )
        run = run_of(job, review, files.get(job.id, {}), templates.get(job.id))
        found.append(SubjectRun(job.id, who, code, takes.session, takes.labels, stands, bool(may), run))
    return found


def standing_runs(tx: Session, stage: str, subjects: Collection[str] | None = None) -> dict[str, SubjectRun]:
    """Subject's code -> its done run that stands, of its newest session that has one; those that may be shown alone."""
    found: dict[str, SubjectRun] = {}
    for one in subject_runs(tx, stage, subjects):
        if one.stands and one.shown and one.run.state is JobState.DONE:
            newest = found.get(one.subject)
            if newest is None or _number(one.session) > _number(newest.session):
                found[one.subject] = one
    return found


def _number(session: str) -> int:
    return int(session.rpartition("-")[2])


def _read(tx: Session, runs: Collection[tuple[int, int]]) -> Mapping[tuple[int, int], _Read]:
    """(job, subject) -> the subject's takes whose results the job read."""
    maker = aliased(Job)
    columns = (JobInput.job_id, CaptureSession.subject_id, CaptureSession.id, CaptureSession.code, ProtocolExpression)
    stands = (Take.state == TakeState.ACCEPTED) & ~take_withdrawn(Take.id)
    query = (
        select(*columns, stands)
        .join(maker, maker.id == JobInput.from_job_id)
        .join(JobTake, JobTake.job_id == maker.id)
        .join(Take, Take.id == JobTake.take_id)
        .join(CaptureSession, CaptureSession.id == Take.session_id)
        .join(ProtocolExpression, ProtocolExpression.id == Take.expression_id)
        .where(JobInput.job_id.in_({job for job, _ in runs}), JobInput.label != "")
        .order_by(CaptureSession.id, ProtocolExpression.position)
    )
    found: dict[tuple[int, int], _Read] = {}
    for job, who, session_id, session, line, may in tx.execute(query).unique():
        before = found.get((job, who))
        if before is None or before.session_id != session_id:  # of two sessions with equal photographs the newer one
            before = _Read(session_id, session, (), frozenset())
        labels = dict.fromkeys((*before.labels, line.label))
        accepted = before.accepted | ({line.position} if may else set())
        found[job, who] = _Read(session_id, session, tuple(labels), accepted)
    return found


def _accepted(tx: Session, sessions: Collection[int]) -> dict[int, frozenset[int]]:
    """Session -> positions of its accepted takes."""
    query = (
        select(Take.session_id, ProtocolExpression.position)
        .join(ProtocolExpression, ProtocolExpression.id == Take.expression_id)
        .where(Take.session_id.in_(list(sessions)), Take.state == TakeState.ACCEPTED, ~take_withdrawn(Take.id))
    )
    found: dict[int, set[int]] = {}
    for session, position in tx.execute(query):
        found.setdefault(session, set()).add(position)
    return {session: frozenset(positions) for session, positions in found.items()}
