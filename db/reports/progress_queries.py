"""What the operator, the farm and the data manager ask."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date

from sqlalchemy import case, func, select
from sqlalchemy.orm import Session

from db.consents.capture_consent import consents, today
from db.consents.withdrawals import take_withdrawn
from db.models import (
    Camera,
    CaptureSession,
    Consent,
    ConsentScope,
    Frame,
    Job,
    JobState,
    JobTake,
    ProtocolExpression,
    Rig,
    SessionState,
    SkippedExpression,
    Subject,
    Take,
    TakeAbsence,
    TakeState,
)


@dataclass(frozen=True)
class ExpressionProgress:
    """Where a session stands with one expression. `take` and `state` are those of the accepted or last attempt."""

    position: int
    name: str
    instruction: str
    attempts: int
    take: str | None
    state: TakeState | None
    frames: int
    problem: str | None
    command_skew_ms: float | None
    clock_uncertainty_ms: float | None
    exposure_skew_ms: float | None
    skipped: str | None = None  # the reason
    absent: int = 0  # cameras without which the take is whole


@dataclass(frozen=True)
class SessionProgress:
    """Where a session stands."""

    code: str
    subject: str
    protocol: str
    rig: str
    state: SessionState
    cameras: int
    expressions: tuple[ExpressionProgress, ...]

    @property
    def next_position(self) -> int | None:
        """The first expression without an accepted take that is not skipped."""
        waiting = (e.position for e in self.expressions if e.state != TakeState.ACCEPTED and e.skipped is None)
        return next(waiting, None)


@dataclass(frozen=True)
class ReadyTake:
    """An accepted take of a closed session: work for the farm, and perhaps for a release."""

    take_id: int
    code: str
    position: int
    expression: str
    session: str
    subject_id: int
    subject: str
    calibration_id: int | None
    cameras: int
    frames: int

    @property
    def label(self) -> str:
        """FaceScape's name, as in '2_smile'."""
        return f"{self.position}_{self.expression}"


@dataclass(frozen=True)
class FarmStatus:
    """Counts of jobs by stage and state, and who works on what."""

    counts: Mapping[str, Mapping[JobState, int]]
    running: tuple[tuple[str, str, str], ...]  # worker, stage, key

    def total(self, state: JobState) -> int:
        return sum(states.get(state, 0) for states in self.counts.values())


def session_progress(tx: Session, session: CaptureSession) -> SessionProgress:
    """Every expression of the session's protocol with its accepted take, else its last attempt."""
    frames = (
        select(Frame.take_id, func.count().label("n"))
        .join(Take, Take.id == Frame.take_id)
        .where(Take.session_id == session.id)
        .group_by(Frame.take_id)
        .subquery()
    )
    takes = tx.execute(
        select(Take, func.coalesce(frames.c.n, 0))
        .outerjoin(frames, frames.c.take_id == Take.id)
        .where(Take.session_id == session.id)
        .order_by(Take.attempt)
    )
    missing = (
        select(TakeAbsence.take_id, func.count())
        .join(Take, Take.id == TakeAbsence.take_id)
        .where(Take.session_id == session.id, TakeAbsence.came_at.is_(None))
        .group_by(TakeAbsence.take_id)
    )
    absent = dict(tx.execute(missing).all())
    by_expression: dict[int, list[tuple[Take, int]]] = {}
    for take, count in takes:
        by_expression.setdefault(take.expression_id, []).append((take, count))
    expressions = tx.scalars(
        select(ProtocolExpression)
        .where(ProtocolExpression.protocol_id == session.protocol_id)
        .order_by(ProtocolExpression.position)
    )
    skips = select(SkippedExpression).where(SkippedExpression.session_id == session.id)
    skipped = {skip.expression_id: skip.reason for skip in tx.scalars(skips)}
    return SessionProgress(
        code=session.code,
        subject=session.subject.code,
        protocol=session.protocol.name,
        rig=session.rig.name,
        state=session.state,
        cameras=tx.scalar(select(func.count()).where(Camera.rig_id == session.rig_id)) or 0,
        expressions=tuple(
            _expression_progress(e, by_expression.get(e.id, []), skipped.get(e.id), absent) for e in expressions
        ),
    )


def _expression_progress(
    expression: ProtocolExpression, takes: list[tuple[Take, int]], skipped: str | None, absent: Mapping[int, int]
) -> ExpressionProgress:
    accepted = [row for row in takes if row[0].state == TakeState.ACCEPTED]
    take, frames = (accepted or takes)[-1] if takes else (None, 0)
    return ExpressionProgress(
        position=expression.position,
        name=expression.name,
        instruction=expression.instruction,
        attempts=len(takes),
        take=take.code if take else None,
        state=take.state if take else None,
        frames=frames,
        problem=take.problem if take else None,
        command_skew_ms=take.command_skew_ms if take else None,
        clock_uncertainty_ms=take.clock_uncertainty_ms if take else None,
        exposure_skew_ms=take.exposure_skew_ms if take else None,
        skipped=skipped,
        absent=absent.get(take.id, 0) if take else 0,
    )


def sessions(tx: Session, *states: SessionState) -> list[CaptureSession]:
    """Sessions in these states (all by default), newest first."""
    query = select(CaptureSession).order_by(CaptureSession.id.desc())
    if states:
        query = query.where(CaptureSession.state.in_(states))
    return list(tx.scalars(query))


@dataclass(frozen=True)
class SessionMark:
    """A session with accepted takes.

    `mark` changes when one comes or is replaced, is given to another expression, or gets a photograph late; with its
    cameras, its state, and when its subject consents anew.
    """

    session_id: int
    code: str
    subject_id: int
    in_the_chair: bool  # the session is open: the subject is here
    closed: bool
    mark: tuple[int, ...]


def session_marks(tx: Session, *, unclosed: bool) -> list[SessionMark]:
    """Sessions with accepted takes, those of subjects in the chair first, then the oldest; closed ones alone, or all.

    Nothing is handed off of a subject who does not consent today: its sessions come once the consent is recorded.

    One pass over the takes, so that a daemon can ask every few seconds. An accepted take gets another photograph only
    where it was kept without one by decision, so that such decisions alone are looked at.
    """
    came = (
        select(TakeAbsence.take_id, func.count().label("n"))
        .where(TakeAbsence.came_at.is_not(None))
        .group_by(TakeAbsence.take_id)
        .subquery()
    )
    calibration = func.coalesce(Take.calibration_id, CaptureSession.calibration_id)
    open_now, closed = CaptureSession.state == SessionState.OPEN, CaptureSession.state == SessionState.CLOSED
    day = today()
    consented = (
        select(func.coalesce(func.max(Consent.id), 0))
        .where(Consent.subject_id == CaptureSession.subject_id, Consent.withdrawn_at.is_(None))
        .correlate(CaptureSession)
        .scalar_subquery()
    )
    query = (
        select(
            CaptureSession.id, CaptureSession.code, CaptureSession.subject_id, open_now, closed,
            func.count(), func.sum(Take.id), func.coalesce(func.sum(calibration), 0),
            func.coalesce(func.sum(came.c.n), 0), func.sum(Take.id * Take.expression_id), consented,
        )
        .join(Take, Take.session_id == CaptureSession.id)
        .outerjoin(came, came.c.take_id == Take.id)
        .where(Take.state == TakeState.ACCEPTED, consents(CaptureSession.subject_id, day))
        .group_by(CaptureSession.id)
        .order_by(case((open_now, 0), else_=1), CaptureSession.id)
    )  # fmt: skip
    if not unclosed:
        query = query.where(CaptureSession.state == SessionState.CLOSED)
    return [
        SessionMark(number, code, subject, bool(here), bool(over), (int(over), *map(int, mark)))
        for number, code, subject, here, over, *mark in tx.execute(query)
    ]


def ready_takes(tx: Session, *, subject: str | None = None, sessions: Collection[int] | None = None) -> list[ReadyTake]:
    """Accepted takes of closed sessions, by subject, session and position: the farm's goal.

    sessions: of these alone, closed or not. A subject captured again has takes of both sessions here.
    """
    frames = select(func.count()).where(Frame.take_id == Take.id).correlate(Take).scalar_subquery()
    cameras = select(func.count()).where(Camera.rig_id == Rig.id).correlate(Rig).scalar_subquery()
    query = (
        select(
            Take.id,
            Take.code,
            ProtocolExpression.position,
            ProtocolExpression.name,
            CaptureSession.code,
            Subject.id,
            Subject.code,
            func.coalesce(Take.calibration_id, CaptureSession.calibration_id),
            cameras,
            frames,
        )
        .join(CaptureSession, Take.session_id == CaptureSession.id)
        .join(Subject, CaptureSession.subject_id == Subject.id)
        .join(Rig, CaptureSession.rig_id == Rig.id)
        .join(ProtocolExpression, Take.expression_id == ProtocolExpression.id)
        .where(Take.state == TakeState.ACCEPTED, ~take_withdrawn(Take.id))
        .order_by(Subject.id, CaptureSession.id, ProtocolExpression.position)
    )
    if sessions is None:
        query = query.where(CaptureSession.state == SessionState.CLOSED)
    else:
        query = query.where(CaptureSession.id.in_(list(sessions)))
    if subject is not None:
        query = query.where(Subject.code == subject)
    return [ReadyTake(*row) for row in tx.execute(query)]


def unprocessed_takes(tx: Session, stage: str) -> list[ReadyTake]:
    """Those ready takes for which no run of `stage` is done."""
    done = select(JobTake.take_id).join(Job).where(Job.stage == stage, Job.state == JobState.DONE)
    finished = set(tx.scalars(done))
    return [take for take in ready_takes(tx) if take.take_id not in finished]


def take_photographs(tx: Session, take_ids: Collection[int]) -> dict[int, dict[int, tuple[str, str | None]]]:
    """take -> view index -> (SHA-256, camera serial) of its photographs."""
    query = (
        select(Frame.take_id, Camera.view_index, Frame.sha256, Camera.serial)
        .join(Camera, Frame.camera_id == Camera.id)
        .where(Frame.take_id.in_(list(take_ids)))
        .order_by(Frame.take_id, Camera.view_index)
    )
    found: dict[int, dict[int, tuple[str, str | None]]] = {take: {} for take in take_ids}
    for take, view, sha256, serial in tx.execute(query):
        found[take][view] = (sha256, serial)
    return found


def photographs_of_takes(tx: Session, take_ids: Collection[int]) -> dict[int, dict[int, tuple[str, int]]]:
    """take -> view index -> (SHA-256, frame id), of many takes in one statement."""
    query = (
        select(Frame.take_id, Camera.view_index, Frame.sha256, Frame.id)
        .join(Camera, Frame.camera_id == Camera.id)
        .where(Frame.take_id.in_(list(take_ids)))
        .order_by(Frame.take_id, Camera.view_index)
    )
    found: dict[int, dict[int, tuple[str, int]]] = {take: {} for take in take_ids}
    for take, view, sha256, frame in tx.execute(query):
        found[take][view] = (sha256, frame)
    return found


def consenting_subjects(tx: Session, scope: ConsentScope, day: date, *, lock: bool = False) -> set[int]:
    """Ids of subjects whose consent for `scope` was given on or before `day` and never withdrawn.

    lock: a withdrawal waits until this transaction ends (PostgreSQL; on SQLite a writing transaction has that anyway).
    """
    query = select(Consent.subject_id).where(
        Consent.scope == scope, Consent.withdrawn_at.is_(None), Consent.given_on <= day
    )
    return set(tx.scalars(query.with_for_update(read=True) if lock else query))


def farm_status(tx: Session) -> FarmStatus:
    """Counts of jobs by stage and state; leased jobs with their workers."""
    counts: dict[str, dict[JobState, int]] = {}
    grouped = select(Job.stage, Job.state, func.count()).group_by(Job.stage, Job.state).order_by(Job.stage)
    for stage, state, count in tx.execute(grouped):
        counts.setdefault(stage, {})[state] = count
    running = tx.execute(
        select(func.coalesce(Job.worker, ""), Job.stage, Job.key).where(Job.state == JobState.LEASED).order_by(Job.id)
    )
    return FarmStatus(counts, tuple(running))
