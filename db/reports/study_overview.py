"""What a data manager asks of the whole study, each answered by a handful of set-based statements."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime

from sqlalchemy import ColumnElement, and_, exists, func, or_, select
from sqlalchemy.orm import Session, aliased

from db.models import (
    Artefact,
    AuditEvent,
    Camera,
    CaptureSession,
    Consent,
    ConsentScope,
    Frame,
    Job,
    JobState,
    JobTake,
    ProtocolExpression,
    Release,
    ReleaseItem,
    RunReview,
    RunVerdict,
    SessionState,
    Subject,
    Take,
    TakeAbsence,
    TakeState,
)
from db.session_rules import KEPT


@dataclass(frozen=True)
class ShortTake:
    """A take that was fired and lacks photographs, of an expression that no whole take stands for."""

    code: str
    subject: str
    label: str
    state: TakeState
    cameras: tuple[str, ...]  # those without a photograph
    problem: str | None


@dataclass(frozen=True)
class SubjectSession:
    """A session in a subject's history."""

    code: str
    state: SessionState
    opened_at: datetime
    closed_at: datetime | None
    takes: Mapping[TakeState, int]
    photographs: int
    bytes: int


@dataclass(frozen=True)
class SubjectHistory:
    """All that happened with a subject."""

    sessions: tuple[SubjectSession, ...]
    runs: Mapping[str, Mapping[JobState, int]]  # by stage and state
    artefacts: int
    artefact_bytes: int
    releases: tuple[tuple[str, datetime | None], ...]  # 'faces 2', and when the consent for it was withdrawn
    events: tuple[AuditEvent, ...]


@dataclass(frozen=True)
class ReleaseCandidate:
    """How a subject stands before a release."""

    code: str
    expressions: int
    accepted: int
    processed: int
    pictures: str  # 'yes', 'eyes mosaicked' or 'no'
    verdicts: Mapping[RunVerdict, int] = field(default_factory=dict)  # of its runs, where they are not simply accepted
    why: str = ""  # what keeps it out; empty when it can be released


@dataclass(frozen=True)
class CoverageCell:
    """Subjects of one gender and ten years of age. None: not said."""

    gender: str | None
    age_from: int | None
    subjects: int
    consenting: int
    captured: int  # with every expression accepted
    released: int


def missing_frames(tx: Session, *, session: str | None = None, limit: int = 200) -> list[ShortTake]:
    """Takes that lack photographs while no whole take stands for their expression, the newest first.

    A take becomes captured only when every camera's photograph is in, so the others are looked at. A camera that was
    aside lacks nothing.
    """
    other = aliased(Take)
    stands = exists().where(
        other.session_id == Take.session_id, other.expression_id == Take.expression_id, other.state.in_(KEPT)
    )
    query = (
        select(Take, Subject.code, ProtocolExpression, CaptureSession.rig_id)
        .join(CaptureSession, CaptureSession.id == Take.session_id)
        .join(Subject, Subject.id == CaptureSession.subject_id)
        .join(ProtocolExpression, ProtocolExpression.id == Take.expression_id)
        .where(Take.state.in_((TakeState.FIRED, TakeState.FAILED)), Take.fired_at.is_not(None))
        .where(Subject.erased_at.is_(None), ~stands)
        .order_by(Take.id.desc())
        .limit(limit)
    )
    if session is not None:
        query = query.where(CaptureSession.code == session)
    takes = tx.execute(query).all()
    there: dict[int, set[int]] = {take.id: set() for take, *_ in takes}
    for take_id, camera in tx.execute(select(Frame.take_id, Frame.camera_id).where(Frame.take_id.in_(list(there)))):
        there[take_id].add(camera)
    absent = select(TakeAbsence.take_id, TakeAbsence.camera_id).where(TakeAbsence.take_id.in_(list(there)))
    for take_id, camera in tx.execute(absent):
        there[take_id].add(camera)
    rigs: dict[int, list[tuple[int, str]]] = {}
    for rig, camera, name in tx.execute(select(Camera.rig_id, Camera.id, Camera.name).order_by(Camera.view_index)):
        rigs.setdefault(rig, []).append((camera, name))
    short = [
        ShortTake(
            take.code, subject, expression.label, take.state,
            tuple(name for camera, name in rigs[rig] if camera not in there[take.id]), take.problem,
        )
        for take, subject, expression, rig in takes
    ]  # fmt: skip
    return [take for take in short if take.cameras]


def subject_history(tx: Session, subject: Subject) -> SubjectHistory:
    """Sessions, runs, artefacts, releases and audit entries of one subject."""
    mine = CaptureSession.subject_id == subject.id
    takes: dict[int, dict[TakeState, int]] = {}
    counted = select(Take.session_id, Take.state, func.count()).join(CaptureSession).where(mine)
    for session, state, count in tx.execute(counted.group_by(Take.session_id, Take.state)):
        takes.setdefault(session, {})[state] = count
    held = (
        select(Take.session_id, func.count(), func.sum(Frame.bytes))
        .join(CaptureSession, CaptureSession.id == Take.session_id)
        .join(Frame, Frame.take_id == Take.id)
        .where(mine)
        .group_by(Take.session_id)
    )
    frames = {session: (count, int(size)) for session, count, size in tx.execute(held)}
    rows = tx.scalars(select(CaptureSession).where(mine).order_by(CaptureSession.id)).all()
    runs: dict[str, dict[JobState, int]] = {}
    grouped = select(Job.stage, Job.state, func.count()).where(Job.subject_id == subject.id)
    for stage, job_state, count in tx.execute(grouped.group_by(Job.stage, Job.state).order_by(Job.stage)):
        runs.setdefault(stage, {})[job_state] = count
    made = select(func.count(), func.coalesce(func.sum(Artefact.bytes), 0)).join(Job, Job.id == Artefact.job_id)
    artefacts, size = tx.execute(made.where(Job.subject_id == subject.id)).one()
    released = (
        select(Release.name, Release.version, func.max(ReleaseItem.withdrawn_at))
        .join(ReleaseItem, ReleaseItem.release_id == Release.id)
        .where(ReleaseItem.subject_id == subject.id)
        .group_by(Release.id, Release.name, Release.version)
        .order_by(Release.id)
    )
    return SubjectHistory(
        sessions=tuple(
            SubjectSession(
                row.code, row.state, row.opened_at, row.closed_at, takes.get(row.id, {}), *frames.get(row.id, (0, 0))
            )
            for row in rows
        ),
        runs=runs,
        artefacts=artefacts,
        artefact_bytes=int(size),
        releases=tuple((f"{name} {version}", when) for name, version, when in tx.execute(released)),
        events=_events(tx, subject, [row.code for row in rows]),
    )


def release_candidates(tx: Session, day: date, *, stage: str) -> list[ReleaseCandidate]:
    """Every subject with a closed session, and what keeps it out of a release on `day`, by code row.

    A take is processed when a run of `stage` is done for it. Whether its files are in the store is looked at when the
    release is built.
    """
    consents = _consents(tx, day)
    expressions = _expressions(tx)
    done = _processed(tx, stage)
    verdicts: dict[int, dict[RunVerdict, int]] = {}
    judged = (
        select(Job.subject_id, RunReview.verdict, func.count())
        .join(RunReview, RunReview.job_id == Job.id)
        .where(RunReview.verdict.in_((RunVerdict.REVIEW, RunVerdict.REDO)))
        .group_by(Job.subject_id, RunReview.verdict)
    )
    for subject_id, verdict, count in tx.execute(judged):
        if subject_id is not None:
            verdicts.setdefault(subject_id, {})[verdict] = count
    found = []
    for subject, code, protocol, accepted in _accepted(tx, CaptureSession.state == SessionState.CLOSED):
        scopes = consents.get(subject, frozenset())
        wanted, processed = expressions[protocol], done.get(subject, 0)
        why = ""
        if ConsentScope.RESEARCH_RELEASE not in scopes:
            why = "no consent to a research release"
        elif not accepted:
            why = "no accepted take"
        elif not processed:
            why = f"no run of {stage} is done"
        found.append(
            ReleaseCandidate(code, wanted, accepted, processed, _pictures(scopes), verdicts.get(subject, {}), why)
        )
    return found


def coverage(tx: Session, day: date) -> list[CoverageCell]:
    """Subjects by gender and age, as far as they said: the histogram of FaceScape's Figure 2, with how far each is."""
    consents = _consents(tx, day)
    expressions = _expressions(tx)
    captured = {subject for subject, _, protocol, accepted in _accepted(tx) if accepted >= expressions[protocol]}
    newest = select(Release.id).order_by(Release.id.desc()).where(Release.manifest_sha256.is_not(None)).limit(1)
    out = select(ReleaseItem.subject_id).where(ReleaseItem.release_id == newest.scalar_subquery()).distinct()
    released = set(tx.scalars(out))
    cells: dict[tuple[str | None, int | None], list[int]] = {}
    rows = tx.execute(select(Subject.id, Subject.gender, Subject.age).where(Subject.erased_at.is_(None)))
    for subject, gender, age in rows:
        cell = cells.setdefault((gender and str(gender), None if age is None else age // 10 * 10), [0, 0, 0, 0])
        standing = (True, bool(consents.get(subject)), subject in captured, subject in released)
        cells[gender and str(gender), None if age is None else age // 10 * 10] = [
            count + holds for count, holds in zip(cell, standing, strict=True)
        ]
    ordered = sorted(cells.items(), key=lambda item: (item[0][0] or "~", 999 if item[0][1] is None else item[0][1]))
    return [CoverageCell(gender, age, *counts) for (gender, age), counts in ordered]


def _accepted(tx: Session, *which: ColumnElement[bool]) -> list[tuple[int, str, int, int]]:
    """(subject id, code, protocol id, accepted takes) of each subject's session that has the most, without erased."""
    # Counted by take and joined here: SQLite keeps no statistics, and may join takes to sessions the slow way round.
    counted = select(Take.session_id, func.count()).where(Take.state == TakeState.ACCEPTED).group_by(Take.session_id)
    counts = dict(tx.execute(counted).all())
    query = (
        select(Subject.id, Subject.code, CaptureSession.protocol_id, CaptureSession.id)
        .join(CaptureSession, CaptureSession.subject_id == Subject.id)
        .where(Subject.erased_at.is_(None), *which)
        .order_by(Subject.id, CaptureSession.id)
    )
    best: dict[int, tuple[int, str, int, int]] = {}
    for subject, code, protocol, session in tx.execute(query):
        count = counts.get(session, 0)
        if subject not in best or count > best[subject][3]:
            best[subject] = (subject, code, protocol, count)
    return list(best.values())


def _processed(tx: Session, stage: str) -> dict[int, int]:
    """Subject -> how many of its accepted takes have a done run of the stage."""
    done = select(Job.id).where(Job.stage == stage, Job.state == JobState.DONE)
    served = select(JobTake.take_id).where(JobTake.job_id.in_(done))
    counted = (
        select(Take.session_id, func.count())
        .where(Take.state == TakeState.ACCEPTED, Take.id.in_(served))
        .group_by(Take.session_id)
    )
    subjects = dict(tx.execute(select(CaptureSession.id, CaptureSession.subject_id)).all())
    found: dict[int, int] = {}
    for session, count in tx.execute(counted):
        found[subjects[session]] = found.get(subjects[session], 0) + count
    return found


def _expressions(tx: Session) -> dict[int, int]:
    query = select(ProtocolExpression.protocol_id, func.count()).group_by(ProtocolExpression.protocol_id)
    return dict(tx.execute(query).all())


def _consents(tx: Session, day: date) -> dict[int, frozenset[ConsentScope]]:
    found: dict[int, set[ConsentScope]] = {}
    query = select(Consent.subject_id, Consent.scope).where(Consent.withdrawn_at.is_(None), Consent.given_on <= day)
    for subject, scope in tx.execute(query):
        found.setdefault(subject, set()).add(scope)
    return {subject: frozenset(scopes) for subject, scopes in found.items()}


def _pictures(scopes: frozenset[ConsentScope]) -> str:
    if ConsentScope.PUBLICATION not in scopes:
        return "no"
    return "eyes mosaicked" if ConsentScope.EYES_MOSAICKED in scopes else "yes"


def _events(tx: Session, subject: Subject, sessions: list[str]) -> tuple[AuditEvent, ...]:
    takes = select(Take.code).join(CaptureSession).where(CaptureSession.subject_id == subject.id)
    about = or_(
        and_(AuditEvent.about_kind == "subject", AuditEvent.about_id == subject.code),
        and_(AuditEvent.about_kind == "session", AuditEvent.about_id.in_(sessions)),
        and_(AuditEvent.about_kind == "take", AuditEvent.about_id.in_(list(tx.scalars(takes)))),
    )
    return tuple(tx.scalars(select(AuditEvent).where(about).order_by(AuditEvent.id)))
