"""What happens in the studio: sessions, takes, photographs.

Every change of state is one guarded update; zero rows changed means that someone else acted, and is a StateConflict
that names the state found.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Self

from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, joinedload
from sqlalchemy.orm.attributes import set_committed_value

from common.photograph_facts import PhotographFacts
from common.take_codes import SessionCode, SubjectCode, TakeCode
from db import session_rules as rules
from db.audit.number_floors import attempts_given, sessions_given
from db.consents.withdrawals import withdrawn_takes
from db.engine import changed, utc_now
from db.errors import ConsentError, NotFound, RecordError, StateConflict
from db.models import (
    Calibration,
    Camera,
    CaptureSession,
    ExposureSource,
    FormerTakeCode,
    Frame,
    Protocol,
    ProtocolExpression,
    RawFile,
    Rig,
    SessionState,
    SkippedExpression,
    Subject,
    Take,
    TakeAbsence,
    TakeState,
    TakeWithdrawal,
)
from db.rigs.rig_records import newest_calibration


@dataclass(frozen=True)
class StoredFile:
    """A file of a take that is in the store already; the columns that every such row has."""

    camera_id: int
    sha256: str
    bytes: int


@dataclass(frozen=True)
class FrameData(StoredFile):
    """A photograph: a row of `frame`."""

    width: int  # px, as the file says
    height: int
    exposed_at_ns: int | None = None  # the true exposure moment, by the controller's clock
    command_error_ms: float | None = None  # when the command went out, minus when it was to
    clock_uncertainty_ms: float | None = None  # of the mapping between the clocks at that moment
    clock_source: str | None = None  # where that mapping is from
    clock_offset_ns: int | None = None  # controller minus node, at the Fire
    clock_drift_ppb: int | None = None  # how fast that grows
    body_clock_error_ms: int | None = None  # the body's clock minus the studio's UTC
    name: str | None = None  # as the camera called the file
    exif: Mapping[str, Any] | None = None  # what the file says of its exposure

    @classmethod
    def of(cls, photo: PhotographFacts, camera_id: int, size_px: tuple[int, int], exif: Mapping[str, Any]) -> Self:
        """The row of a photograph that came in. size_px: width and height."""
        return cls(
            camera_id, photo.sha256, photo.bytes, *size_px, name=photo.name, exif=exif,
            body_clock_error_ms=photo.body_clock_error_ms,
        )  # fmt: skip


@dataclass(frozen=True)
class RawData(StoredFile):
    """A raw file: a row of `raw_file`."""

    format: str  # cr2, nef, ...
    model: str  # of the body, with its maker
    name: str  # as the camera called the file

    @classmethod
    def of(cls, photo: PhotographFacts, camera_id: int, format: str, model: str) -> Self:
        """The row of a raw file that came in."""
        return cls(camera_id, photo.sha256, photo.bytes, format, model, photo.name)


def start_session(
    tx: Session,
    subject: Subject,
    protocol: Protocol,
    rig: Rig,
    calibration: Calibration | None = None,
    profile: str = "default",
) -> CaptureSession:
    """Open a session (code as in 'S012-1').

    Raises StateConflict when the rig has an open session: close or pause that one; or when the subject was erased.
    """
    if subject.erased_at is not None:
        raise StateConflict(f"Subject {subject.code} was erased; whoever takes part again is a new subject")
    _require_free(tx, rig)
    codes = tx.scalars(select(CaptureSession.code).where(CaptureSession.subject_id == subject.id))
    there = max((SessionCode.parse(code).number for code in codes), default=0)
    earlier = max(there, sessions_given(tx, subject.code))
    session = CaptureSession(
        code=str(SessionCode(SubjectCode.parse(subject.code), earlier + 1)),
        subject=subject,
        protocol=protocol,
        rig=rig,
        calibration=calibration,
        state=SessionState.OPEN,
        profile=profile,
        opened_at=utc_now(),
    )
    try:
        with tx.begin_nested():
            tx.add(session)
    except IntegrityError as error:
        raise StateConflict(f"Session {session.code} was opened by someone else just now") from error
    return session


def _require_free(tx: Session, rig: Rig) -> None:
    # PostgreSQL: two controllers opening on one rig queue here; SQLite has one writer at a time anyway.
    tx.execute(select(Rig.id).where(Rig.id == rig.id).with_for_update())
    busy = open_session_of(tx, rig)
    if busy is not None:
        raise StateConflict(f"Rig {rig.name} has the open session {busy.code}; close or pause it first")


def get_session(tx: Session, code: str, *, alone: bool = False) -> CaptureSession:
    """A session with subject, protocol, rig and calibration loaded. Raises NotFound.

    alone: without rig and calibration, which are large: for who looks at it many times a second.
    """
    load = [
        joinedload(CaptureSession.subject),
        joinedload(CaptureSession.protocol).selectinload(Protocol.expressions),
    ]
    if not alone:
        load += [joinedload(CaptureSession.rig).selectinload(Rig.cameras), joinedload(CaptureSession.calibration)]
    session = tx.scalar(select(CaptureSession).where(CaptureSession.code == code).options(*load))
    if session is None:
        raise NotFound(f"No session {code}; see: mien session show")
    return session


def unclosed_sessions(tx: Session, subject_id: int) -> list[str]:
    """Codes of a subject's sessions that are open or paused."""
    sitting = (CaptureSession.subject_id == subject_id, CaptureSession.state != SessionState.CLOSED)
    return list(tx.scalars(select(CaptureSession.code).where(*sitting).order_by(CaptureSession.id)))


def open_session_of(tx: Session, rig: Rig) -> CaptureSession | None:
    """The session that is open on this rig, to resume after a restart."""
    return tx.scalar(
        select(CaptureSession).where(CaptureSession.rig_id == rig.id, CaptureSession.state == SessionState.OPEN)
    )


def pause_session(tx: Session, session: CaptureSession) -> None:
    """open -> paused. Raises StateConflict."""
    _move_session(tx, session, rules.PAUSE)


def resume_session(tx: Session, session: CaptureSession) -> None:
    """paused -> open. Raises StateConflict, also when the rig has another open session."""
    if session.state is SessionState.PAUSED:
        _require_free(tx, session.rig)
    _move_session(tx, session, rules.RESUME)


def skip_expression(tx: Session, session: CaptureSession, position: int, reason: str) -> None:
    """Do without an expression, with the reason in words; again changes the reason.

    Raises StateConflict unless the session is open, and while a take of it stands (captured or accepted).
    """
    found = expression_at(tx, session, position)
    require_open(tx, session)
    standing = takes_of(tx, session.id, found.id, rules.OCCUPYING)
    if standing:
        raise StateConflict(f"{found.label} is not skipped: take {standing[0].code} of it stands")
    unskip_expression(tx, session, position)
    tx.add(SkippedExpression(session_id=session.id, expression_id=found.id, reason=reason, skipped_at=utc_now()))
    tx.flush()


def unskip_expression(tx: Session, session: CaptureSession, position: int) -> bool:
    """Ask for the expression after all; False when it was not skipped."""
    where = (
        SkippedExpression.session_id == session.id,
        SkippedExpression.expression_id == expression_at(tx, session, position).id,
    )
    return changed(tx, delete(SkippedExpression).where(*where)) == 1


def close_session(tx: Session, session: CaptureSession, *, incomplete: bool = False) -> None:
    """open or paused -> closed: from now on the farm works on its accepted takes.

    Raises StateConflict when expressions are neither accepted nor skipped (naming them) unless `incomplete`, or when
    closed already.
    """
    states: dict[int, list[TakeState]] = {}
    for expression_id, state in tx.execute(select(Take.expression_id, Take.state).where(Take.session_id == session.id)):
        states.setdefault(expression_id, []).append(state)
    skips = select(SkippedExpression.expression_id).where(SkippedExpression.session_id == session.id)
    skipped = set(tx.scalars(skips))
    asked = select(ProtocolExpression).where(ProtocolExpression.protocol_id == session.protocol_id)
    lacking = [
        expression
        for expression in tx.scalars(asked.order_by(ProtocolExpression.position))
        if not rules.done(states.get(expression.id, ()), skipped=expression.id in skipped)
    ]
    if lacking and not incomplete:
        names = ", ".join(expression.label for expression in lacking)
        raise StateConflict(
            f"Session {session.code} lacks an accepted take of {names}; capture these, or close it as incomplete"
        )
    _move_session(tx, session, rules.CLOSE, closed_at=utc_now())


def plan_take(
    tx: Session,
    session: CaptureSession,
    expression: int | str,
    *,
    profile: str | None = None,
    setup: Mapping[str, Any] | None = None,
) -> Take:
    """Journal the next attempt at an expression (position from 1, or name) before anything fires.

    Code as in 'S012-1-E07-2'. profile: the session's by default; setup: what the cameras will be set to. The
    expression is no longer skipped. Raises StateConflict unless the session is open, NotFound for an unknown
    expression.
    """
    found = expression_at(tx, session, expression)
    require_open(tx, session)
    attempt = next_attempt(tx, session.id, found.id)
    calibration = newest_calibration(tx, session.rig)
    take = Take(
        code=str(TakeCode.of(session.code, found.position, attempt)),
        session_id=session.id,
        expression=found,
        attempt=attempt,
        state=TakeState.PLANNED,
        planned_at=utc_now(),
        exposure_source=ExposureSource.NOT_MEASURED,
        profile=profile or session.profile,
        setup=None if setup is None else dict(setup),
        calibration_id=calibration.id if calibration is not None else session.calibration_id,
    )
    tx.add(take)
    unskip_expression(tx, session, found.position)
    tx.flush()
    return take


def next_attempt(tx: Session, session_id: int, expression_id: int) -> int:
    """The number of the next take of an expression; none is given twice, not even after a take was given away."""
    last = [
        tx.scalar(select(func.max(table.attempt)).where(
            table.session_id == session_id, table.expression_id == expression_id
        ))
        for table in (Take, FormerTakeCode)
    ]  # fmt: skip
    code = tx.scalars(select(CaptureSession.code).where(CaptureSession.id == session_id)).one()
    return max(*(found or 0 for found in last), attempts_given(tx, code)) + 1


def record_setup(tx: Session, take: Take, setup: Mapping[str, Any]) -> None:
    """What was sent for the take: exposure settings and lights, as JSON values."""
    tx.execute(update(Take).where(Take.id == take.id).values(setup=dict(setup)))
    tx.refresh(take, ["setup"])


def expression_at(tx: Session, session: CaptureSession, expression: int | str) -> ProtocolExpression:
    """An expression of the session's protocol, by position or name. Raises NotFound."""
    wanted = (
        ProtocolExpression.position == expression
        if isinstance(expression, int)
        else ProtocolExpression.name == expression
    )
    found = tx.scalar(select(ProtocolExpression).where(ProtocolExpression.protocol_id == session.protocol_id, wanted))
    if found is None:
        raise NotFound(f"Session {session.code}'s protocol has no expression '{expression}'; see: mien protocol show")
    return found


def require_open(tx: Session, session: CaptureSession, *, or_paused: bool = False) -> None:
    """Hold the session's row until this transaction ends. Raises StateConflict unless it is open (or paused)."""
    state = tx.scalar(select(CaptureSession.state).where(CaptureSession.id == session.id).with_for_update())
    if state not in (rules.DECIDABLE if or_paused else rules.FIREABLE):
        raise StateConflict(f"Session {session.code} is {state}; a take needs an open session")


def get_take(tx: Session, code: str) -> Take:
    """A take with session and expression loaded, by its code or one that it had before. Raises NotFound."""
    load = (joinedload(Take.session), joinedload(Take.expression))
    take = tx.scalar(select(Take).where(Take.code == code).options(*load))
    if take is None:
        former = select(FormerTakeCode.take_id).where(FormerTakeCode.code == code)
        take = tx.scalar(select(Take).where(Take.id.in_(former)).options(*load))
    if take is None:
        raise NotFound(f"No take {code}; see: mien session show")
    return take


def takes_of(tx: Session, session_id: int, expression_id: int, states: Sequence[TakeState]) -> list[Take]:
    """The takes of an expression that are in one of these states, by attempt."""
    here = (Take.session_id == session_id, Take.expression_id == expression_id, Take.state.in_(states))
    return list(tx.scalars(select(Take).where(*here).order_by(Take.attempt)))


def other_takes(tx: Session, take: Take, states: Sequence[TakeState]) -> list[Take]:
    """The other takes of a take's expression that are in one of these states, by attempt."""
    return [other for other in takes_of(tx, take.session_id, take.expression_id, states) if other.id != take.id]


def fire_take(tx: Session, take: Take, *, at: datetime | None = None) -> None:
    """planned -> fired. Raises StateConflict."""
    move_take(tx, take, rules.FIRE, fired_at=at or utc_now())


def record_sync(
    tx: Session,
    take: Take,
    *,
    command_skew_ms: float | None,
    clock_uncertainty_ms: float | None,
    exposure_skew_ms: float | None = None,
    exposure_source: ExposureSource = ExposureSource.NOT_MEASURED,
) -> None:
    """The three numbers of a take, milliseconds; None where not measured."""
    values = {
        "command_skew_ms": command_skew_ms,
        "clock_uncertainty_ms": clock_uncertainty_ms,
        "exposure_skew_ms": exposure_skew_ms,
        "exposure_source": exposure_source,
    }
    tx.execute(update(Take).where(Take.id == take.id).values(values))
    tx.refresh(take, list(values))


def add_frames(tx: Session, take: Take, frames: Sequence[FrameData]) -> int:
    """Insert photographs of a take at once and return how many were new; the same photograph again is no error.

    Raises StateConflict when a camera has another photograph for this take already, RecordError for a camera of
    another rig.
    """
    _require_kept(tx, take)
    lock_take(tx, take)  # after the subject's row: an erasure takes them in this order
    known = dict(tx.execute(select(Frame.camera_id, Frame.sha256).where(Frame.take_id == take.id)).all())
    rig = select(CaptureSession.rig_id).where(CaptureSession.id == take.session_id).scalar_subquery()
    cameras = set(tx.scalars(select(Camera.id).where(Camera.rig_id == rig)))
    new: dict[int, FrameData] = {}
    for frame in frames:
        if frame.camera_id not in cameras:
            raise RecordError(f"Take {take.code}: camera {frame.camera_id} is not in the rig of its session")
        there = known.get(frame.camera_id) or (new[frame.camera_id].sha256 if frame.camera_id in new else None)
        if there is None:
            new[frame.camera_id] = frame
        elif there != frame.sha256:
            raise StateConflict(f"Take {take.code}: camera {frame.camera_id} has {there[:12]}, not {frame.sha256[:12]}")
    if new:
        try:
            with tx.begin_nested():
                tx.execute(insert(Frame), [{"take_id": take.id, **asdict(frame)} for frame in new.values()])
        except IntegrityError as error:
            raise StateConflict(f"Take {take.code}: a frame cannot be recorded: {error.orig}") from error
    return len(new)


def add_raw(tx: Session, take: Take, raw: RawData) -> bool:
    """Insert the raw file of one camera's exposure; False when it is there already.

    Raises StateConflict when the camera has another raw file for this take, RecordError for a camera of another rig.
    """
    _require_kept(tx, take)
    where = (RawFile.take_id == take.id, RawFile.camera_id == raw.camera_id)
    there = tx.scalar(select(RawFile.sha256).where(*where))
    if there == raw.sha256:
        return False
    if there is not None:
        raise StateConflict(f"Take {take.code}: camera {raw.camera_id} has {there[:12]}, not {raw.sha256[:12]}")
    rig = select(CaptureSession.rig_id).where(CaptureSession.id == take.session_id).scalar_subquery()
    if tx.scalar(select(Camera.id).where(Camera.id == raw.camera_id, Camera.rig_id == rig)) is None:
        raise RecordError(f"Take {take.code}: camera {raw.camera_id} is not in the rig of its session")
    try:
        with tx.begin_nested():
            tx.execute(insert(RawFile).values(take_id=take.id, **asdict(raw)))
    except IntegrityError as error:
        raise StateConflict(f"Take {take.code}: a raw file cannot be recorded: {error.orig}") from error
    return True


def _require_kept(tx: Session, take: Take) -> None:
    """A late photograph of what was erased is not taken in; on PostgreSQL an erasure waits, or we for it."""
    subject = select(Subject.erased_at).join(CaptureSession, CaptureSession.subject_id == Subject.id)
    kept = subject.where(CaptureSession.id == take.session_id).with_for_update(read=True, key_share=True, of=Subject)
    if tx.scalar(kept) is not None:
        raise StateConflict(f"Take {take.code}: its subject was erased; nothing more of it is kept")
    erased = select(TakeWithdrawal.take_id).where(TakeWithdrawal.take_id == take.id)
    if tx.scalar(erased.where(TakeWithdrawal.erasure_id.is_not(None))) is not None:
        raise StateConflict(f"Take {take.code} was erased; nothing more of it is kept")


def capture_take(tx: Session, take: Take) -> None:
    """fired -> captured: every camera's photograph is in, but for those without which the take is whole.

    Raises StateConflict naming the cameras that lack one.
    """
    lacking = missing_cameras(tx, take)
    if lacking:
        names = ", ".join(camera.name for camera in lacking)
        raise StateConflict(
            f"Take {take.code} is not whole: no photograph from {names}; retake it when these are fixed"
        )
    move_take(tx, take, rules.CAPTURE)


def accept_take(tx: Session, take: Take) -> None:
    """captured -> accepted; the attempt accepted before, if any, becomes superseded. Raises StateConflict.

    Raises ConsentError for a take that its subject withdrew.
    """
    if withdrawn_takes(tx, [take.id]):
        raise ConsentError(f"{take.code} was withdrawn by its subject: take the expression again")
    for other in other_takes(tx, take, (TakeState.ACCEPTED,)):
        move_take(tx, other, rules.PUT_BESIDE)
    move_take(tx, take, rules.ACCEPT)


def fail_take(tx: Session, take: Take, problem: str) -> None:
    """planned, fired or captured -> failed, with the reason in words. Raises StateConflict."""
    move_take(tx, take, rules.FAIL, problem=problem)


def missing_cameras(tx: Session, take: Take) -> list[Camera]:
    """Cameras of the rig without a photograph in this take, in order of view; not those without which it is whole."""
    rig = select(CaptureSession.rig_id).where(CaptureSession.id == take.session_id).scalar_subquery()
    have = select(Frame.camera_id).where(Frame.take_id == take.id)
    absent = select(TakeAbsence.camera_id).where(TakeAbsence.take_id == take.id)
    query = select(Camera).where(Camera.rig_id == rig, Camera.id.not_in(have), Camera.id.not_in(absent))
    return list(tx.scalars(query.order_by(Camera.view_index)))


def lock_take(tx: Session, take: Take) -> None:
    """Hold the take's row until this transaction ends, and read its state again.

    What follows from its photographs and its state is decided by one at a time; SQLite has one writer anyway.
    """
    state = tx.scalar(select(Take.state).where(Take.id == take.id).with_for_update())
    set_committed_value(take, "state", state)


def _move_session(tx: Session, session: CaptureSession, move: rules.SessionMove, **values: object) -> None:
    guard = (CaptureSession.id == session.id, CaptureSession.state.in_(move.allowed))
    won = changed(tx, update(CaptureSession).where(*guard).values(state=move.to, **values)) == 1
    tx.refresh(session, ["state", "closed_at"])
    if not won:
        raise StateConflict(f"Session {session.code} is {session.state}; it cannot become {move.to}")


def move_take(tx: Session, take: Take, move: rules.TakeMove, **values: object) -> None:
    """The take goes on to another state, and gets these values of its row. Raises StateConflict where it may not."""
    guard = (Take.id == take.id, Take.state.in_(move.allowed))
    won = changed(tx, update(Take).where(*guard).values(state=move.to, **values)) == 1
    tx.refresh(take, ["state", *values])
    if not won:
        raise StateConflict(f"Take {take.code} is {take.state}; it cannot become {move.to}")
