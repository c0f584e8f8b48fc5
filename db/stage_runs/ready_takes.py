"""The farm's goal: accepted takes that wait to be worked on, and the photographs that they have."""

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import case, exists, func, select
from sqlalchemy.orm import Session

from common.take_codes import TakeLabel
from db.consents.capture_consent import consents, today
from db.consents.withdrawals import take_withdrawn
from db.models import (
    Camera,
    CaptureSession,
    Consent,
    Frame,
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
    closed: bool  # its session, which therefore gets no further take

    @property
    def label(self) -> str:
        """FaceScape's name, as in '2_smile'."""
        return str(TakeLabel(self.position, self.expression))


@dataclass(frozen=True)
class SessionMark:
    """A session with accepted takes, and a mark by which it is seen that something about them has changed."""

    session_id: int
    code: str
    subject_id: int
    in_the_chair: bool  # the session is open: the subject is here
    closed: bool
    # Another one when a take comes or is replaced, is given to another expression, or gets a photograph late; with the
    # session's cameras and its state, and when its subject consents anew.
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
            CaptureSession.state == SessionState.CLOSED,
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


def awaited_expressions(tx: Session, session: str) -> tuple[list[str], int]:
    """Expressions that a session has neither accepted nor skipped, by name in the protocol's order; of how many."""
    of = (CaptureSession.code == session, ProtocolExpression.protocol_id == CaptureSession.protocol_id)
    accepted = exists().where(
        Take.session_id == CaptureSession.id, Take.expression_id == ProtocolExpression.id,
        Take.state == TakeState.ACCEPTED,
    ).correlate(CaptureSession, ProtocolExpression)  # fmt: skip
    skipped = exists().where(
        SkippedExpression.session_id == CaptureSession.id, SkippedExpression.expression_id == ProtocolExpression.id
    ).correlate(CaptureSession, ProtocolExpression)  # fmt: skip
    query = select(ProtocolExpression.name, accepted | skipped).where(*of).order_by(ProtocolExpression.position)
    rows = tx.execute(query).all()
    return [name for name, settled in rows if not settled], len(rows)


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
