"""Reads of a rig's sessions: one session as it stands, all of them in a line each, takes that were left under way.

Functions of an open transaction, for SessionStore.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session, selectinload

from controller.image_files.exif_consistency import deviations
from controller.image_files.photograph_reader import exif_of
from controller.sessions.session_state import ExpressionState, SessionStateMachine, TakeLine
from db import captures
from db.consents import capture_consent
from db.models import (
    AbsenceKind,
    ActKind,
    Camera,
    CaptureSession,
    FormerTakeCode,
    Frame,
    ProtocolExpression,
    RawFile,
    Rig,
    SessionAct,
    SessionState,
    SkippedExpression,
    Take,
    TakeAbsence,
    TakeState,
)
from db.takes import missing_photographs
from db.takes.missing_photographs import Absence


@dataclass(frozen=True)
class SessionSummary:
    """One session of the rig: how far it is."""

    session: str  # its code
    subject: str  # the subject's code
    state: str  # a SessionState's value
    opened_at: datetime  # UTC
    expressions: int  # of its protocol
    accepted: int  # takes
    skipped: int  # expressions


@dataclass(frozen=True)
class UnsettledTake:
    """A take that was under way when the controller stopped."""

    take: str  # its code
    state: TakeState  # planned or fired
    filed: tuple[str, ...]  # the cameras whose photograph is filed already
    aside: Mapping[str, str]  # camera -> reason


def session_state(tx: Session, session: str) -> SessionStateMachine:
    """The session of this code as it stands now. Raises NotFound."""
    row = captures.get_session(tx, session, alone=True)
    counted = select(Frame.take_id, func.count()).join(Take).where(Take.session_id == row.id)
    counts = {found[0]: found[1] for found in tx.execute(counted.group_by(Frame.take_id))}
    load = (selectinload(Take.expression), selectinload(Take.absences).joinedload(TakeAbsence.camera))
    former: dict[int, list[FormerTakeCode]] = {}
    query_former = select(FormerTakeCode).where(FormerTakeCode.session_id == row.id)
    for code in tx.scalars(query_former.order_by(FormerTakeCode.id)):
        former.setdefault(code.take_id, []).append(code)
    places = {e.id: e.position for e in row.protocol.expressions}
    given_away = {
        position: max(c.attempt for f in former.values() for c in f if places[c.expression_id] == position)
        for position in {places[c.expression_id] for f in former.values() for c in f}
    }
    query = select(Take).where(Take.session_id == row.id).options(*load)
    takes = tx.scalars(query.order_by(Take.id)).all()
    return SessionStateMachine(
        session=row.code,
        subject=row.subject.code,
        state=row.state,
        expressions=tuple(ExpressionState(e.position, e.name, e.instruction) for e in row.protocol.expressions),
        takes=tuple(_take_line(take, counts.get(take.id, 0), former.get(take.id, ())) for take in takes),
        profile=row.profile,
        skipped={skip.expression.position: skip.reason for skip in row.skips},
        given_away=given_away,
        consent=capture_consent.consenting(tx, row.subject_id).value,
        consent_later=capture_consent.later_of(tx, row.id),
        without=_begun_without(tx, row.id),
    )


def session_summaries(tx: Session, rig: Rig, *states: SessionState) -> list[SessionSummary]:
    """The rig's sessions in these states (all by default), newest first."""
    expressions = (
        select(func.count())
        .where(ProtocolExpression.protocol_id == CaptureSession.protocol_id)
        .correlate(CaptureSession)
    )
    accepted = (
        select(func.count())
        .where(Take.session_id == CaptureSession.id, Take.state == TakeState.ACCEPTED)
        .correlate(CaptureSession)
    )
    skipped = select(func.count()).where(SkippedExpression.session_id == CaptureSession.id).correlate(CaptureSession)
    query = (
        select(CaptureSession, expressions.scalar_subquery(), accepted.scalar_subquery(), skipped.scalar_subquery())
        .where(CaptureSession.rig_id == rig.id)
        .order_by(CaptureSession.id.desc())
    )
    if states:
        query = query.where(CaptureSession.state.in_(states))
    return [
        SessionSummary(row.code, row.subject.code, row.state.value, row.opened_at, total, done, without)
        for row, total, done, without in tx.execute(query)
    ]


def take_line(tx: Session, take: str) -> TakeLine:
    """The take of this code as it stands. Raises NotFound."""
    row = captures.get_take(tx, take)
    frames = tx.scalar(select(func.count()).select_from(Frame).where(Frame.take_id == row.id)) or 0
    codes = tx.scalars(select(FormerTakeCode).where(FormerTakeCode.take_id == row.id)).all()
    return _take_line(row, frames, codes)


def unsettled_takes(tx: Session, rig: Rig) -> list[UnsettledTake]:
    """Takes of this rig that were under way when the controller stopped."""
    names = {camera.id: camera.name for camera in rig.cameras}
    query = (
        select(Take)
        .join(CaptureSession)
        .where(CaptureSession.rig_id == rig.id, Take.state.in_((TakeState.PLANNED, TakeState.FIRED)))
        .options(selectinload(Take.frames))
        .order_by(Take.id)
    )
    return [
        UnsettledTake(
            take.code,
            take.state,
            tuple(names[frame.camera_id] for frame in take.frames),
            {absence.camera: absence.reason for absence in missing_photographs.absences_of(tx, take.id)},
        )
        for take in tx.scalars(query).all()
    ]


def file_hashes(tx: Session, take: str, kind: type[Frame] | type[RawFile]) -> dict[str, str]:
    """SHA-256 of each file of one kind of a take, by camera in order of view."""
    query = (
        select(Camera.name, kind.sha256)
        .join(Camera, Camera.id == kind.camera_id)
        .join(Take, Take.id == kind.take_id)
        .where(Take.code == take)
        .order_by(Camera.view_index)
    )
    return {row[0]: row[1] for row in tx.execute(query)}


def exposure_deviations(tx: Session, take: str) -> dict[str, str]:
    """By camera, where a photograph of the take was exposed otherwise than the take was set up. Raises NotFound."""
    row = captures.get_take(tx, take)
    setup: Mapping[str, str] = (row.setup or {}).get("exposure") or {}
    query = (
        select(Camera.name, Frame.exif)
        .join(Camera, Camera.id == Frame.camera_id)
        .where(Frame.take_id == row.id)
        .order_by(Camera.view_index)
    )
    found = {camera: "; ".join(deviations(exif_of(exif), setup)) for camera, exif in tx.execute(query)}
    return {camera: text for camera, text in found.items() if text}


def was_aside(tx: Session, take: str, camera: str) -> bool:
    """Whether this camera was aside when the take was planned. Raises NotFound."""
    aside = (
        select(TakeAbsence.id)
        .join(Take, Take.id == TakeAbsence.take_id)
        .join(Camera, Camera.id == TakeAbsence.camera_id)
        .where(Take.id == captures.get_take(tx, take).id)
        .where(Camera.name == camera, TakeAbsence.kind == AbsenceKind.ASIDE)
    )
    return tx.scalar(aside) is not None


def _begun_without(tx: Session, session: int) -> dict[str, str]:
    """What was lacking when the session began by decision."""
    query = select(SessionAct.detail).where(SessionAct.session_id == session, SessionAct.kind == ActKind.WITHOUT)
    found = tx.scalar(query.limit(1))
    return dict((found or {}).get("lacking", {}))


def _take_line(take: Take, frames: int, former: Sequence[FormerTakeCode] = ()) -> TakeLine:
    return TakeLine(
        code=take.code,
        position=take.expression.position,
        attempt=take.attempt,
        state=take.state,
        problem=take.problem,
        command_skew_ms=take.command_skew_ms,
        clock_uncertainty_ms=take.clock_uncertainty_ms,
        exposure_skew_ms=take.exposure_skew_ms,
        exposure_source=take.exposure_source.value,
        frames=frames,
        profile=take.profile,
        setup=take.setup,
        absent=tuple(Absence(a.camera.name, a.kind, a.reason, a.came_at) for a in take.absences),
        dropped=take.dropped_at is not None,
        former=tuple(code.code for code in former if code.code != take.code),
    )
