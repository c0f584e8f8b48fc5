"""From the studio to the farm: which takes the farm can work on, why not the others, and whether it has begun.

Both sides go by this: what `close` announces as ready is what the farm takes, and nothing is changed under its hands.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, or_, select, update
from sqlalchemy.orm import Session

from common.take_codes import NEUTRAL, ExpressionCode, SessionCode, TakeCode
from common.view_counts import FEWEST_VIEWS, allowed_missing
from db import session_rules as rules
from db.audit import audit_log
from db.captures import open_session_of
from db.consents.capture_consent import CaptureConsent, consenting
from db.engine import changed
from db.errors import StateConflict
from db.models import (
    Calibration,
    Camera,
    CaptureSession,
    Frame,
    Job,
    JobState,
    JobTake,
    ProtocolExpression,
    Release,
    ReleaseItem,
    SessionState,
    Subject,
    Take,
    TakeState,
)
from db.stage_runs.run_removal import delete_runs, hand_over_runs, with_descendants


@dataclass(frozen=True)
class HeldBackTake:
    """Accepted takes that the farm does not take yet: why, and what mends that. A take may be held for two reasons."""

    takes: tuple[str, ...]
    why: str
    do: str


@dataclass(frozen=True)
class HandOff:
    """A session's accepted takes: those that the farm can work on, and those that it cannot."""

    ready: tuple[str, ...]
    held: tuple[HeldBackTake, ...]


def hand_off(tx: Session, session: CaptureSession) -> HandOff:
    """How a session's accepted takes stand for the farm."""
    rows = tx.execute(
        select(Take.id, Take.code, ProtocolExpression.name, Take.calibration_id)
        .join(ProtocolExpression, ProtocolExpression.id == Take.expression_id)
        .where(Take.session_id == session.id, Take.state == TakeState.ACCEPTED)
        .order_by(ProtocolExpression.position)
    ).all()
    if not rows:
        return HandOff((), ())
    codes = tuple(code for _, code, _, _ in rows)
    refused = _consent(tx, session)
    views = _views(tx, [take for take, *_ in rows])
    total = tx.scalar(select(func.count()).where(Camera.rig_id == session.rig_id)) or 0
    enough = max(FEWEST_VIEWS, total - allowed_missing(total))
    calibrated: dict[int, set[int] | None] = {}
    ready: list[tuple[str, str]] = []
    without: list[str] = []
    few: dict[str, list[str]] = {}
    for take, code, expression, of_take in rows:
        calibration = of_take or session.calibration_id
        if calibration is None:
            without.append(code)
            continue
        if calibration not in calibrated:
            calibrated[calibration] = _placed(tx.get_one(Calibration, calibration).data)
        placed = calibrated[calibration]
        usable = len(views[take] if placed is None else views[take] & placed)
        if usable < enough:
            why = f"{usable} of {total} views have a photograph and a calibration; {enough} are needed"
            few.setdefault(why, []).append(code)
        else:
            ready.append((code, expression))
    again = "mien session retake {}, or calibrate all views:  mien rig calibration FILE"
    held = [
        HeldBackTake(tuple(takes), why, again.format(TakeCode.parse(takes[0]).expression)) for why, takes in few.items()
    ]
    if without:
        do = f"mien rig calibration FILE, then they are ready; see: mien session calibrate {session.code}"
        held.append(HeldBackTake(tuple(without), "nobody knows where the cameras were: they have no calibration", do))
    if ready and NEUTRAL not in {expression for _, expression in ready}:
        first = ExpressionCode(SessionCode.parse(session.code), 1)
        why = "every expression is registered from the neutral face, and no take of it is ready"
        held.append(HeldBackTake(tuple(code for code, _ in ready), why, f"mien session fire {first}, and accept it"))
        ready = []
    if refused is not None:  # what else they lack is said too: both can be mended at once
        return HandOff((), (HeldBackTake(codes, *refused), *held))
    return HandOff(tuple(code for code, _ in ready), tuple(held))


def _consent(tx: Session, session: CaptureSession) -> tuple[str, str] | None:
    subject = tx.get_one(Subject, session.subject_id)
    found: CaptureConsent = consenting(tx, subject.id)
    if found is CaptureConsent.GIVEN:
        return None
    if found is CaptureConsent.WITHDRAWN:
        why = f"{subject.code} has withdrawn its consent: they are in quarantine"
        return why, f"nothing, or to remove them for good:  mien subject withdraw {subject.code} --erase"
    return (
        f"no consent of {subject.code} is recorded that counts today",
        f"mien subject consent {subject.code} ...; the farm takes them by itself then",
    )


def _views(tx: Session, takes: Collection[int]) -> dict[int, set[int]]:
    query = select(Frame.take_id, Camera.view_index).join(Camera, Camera.id == Frame.camera_id)
    found: dict[int, set[int]] = {take: set() for take in takes}
    for take, view in tx.execute(query.where(Frame.take_id.in_(list(takes)))):
        found[take].add(view)
    return found


def _placed(data: Mapping[str, Any]) -> set[int] | None:
    """The views that a calibration knows; None for one that places no camera, which is not judged here."""
    named = {int(key.removesuffix("_Rt")) for key in data if key.endswith("_Rt") and key[:-3].isdecimal()}
    return {view for view in named if data.get(f"{view}_valid") is not False} if named else None


def begun(tx: Session, takes: Collection[int]) -> str | None:
    """What has been made from these takes, or is being made, in words; None while nobody has begun.

    The runs that wait are held until this transaction ends: nobody begins meanwhile.
    """
    served = select(JobTake.job_id).where(JobTake.take_id.in_(list(takes)))
    mine = or_(Job.id.in_(served), Job.take_id.in_(list(takes)))
    jobs = tx.execute(
        select(Job.stage, Job.state, Job.attempts).where(mine).order_by(Job.id).with_for_update(of=Job)
    ).all()
    for stage, state, attempts in jobs:
        if attempts or state in (JobState.LEASED, JobState.DONE):
            return f"the farm has begun with it ({stage})"
    query = select(Release.name, Release.version).join(ReleaseItem, ReleaseItem.release_id == Release.id)
    row = tx.execute(query.where(ReleaseItem.take_id.in_(list(takes))).limit(1)).first()
    return None if row is None else f"it is in release {row[0]} {row[1]}"


def forget_runs(tx: Session, take: Take) -> None:
    """Take back what was asked of the farm for this take, with what would be made from it; it can be asked again.

    Raises StateConflict once the farm has begun with the take.
    """
    if (why := begun(tx, [take.id])) is not None:
        raise StateConflict(
            f"Take {take.code} stays what it is: {why}. Take the other expression:  mien session retake"
        )
    served = set(tx.scalars(select(JobTake.job_id).where(JobTake.take_id == take.id)))
    others = select(JobTake.job_id).where(JobTake.job_id.in_(list(served)), JobTake.take_id != take.id)
    shared = set(tx.scalars(others))  # with takes that have the very same photographs
    delete_runs(tx, with_descendants(tx, served - shared))
    hand_over_runs(tx, [take.id], Job.id.in_(shared) & (Job.take_id == take.id))


def reopen_session(tx: Session, session: CaptureSession) -> SessionState:
    """closed -> open, or paused when another session of the rig is open. Raises StateConflict once it has been used."""
    tx.execute(select(CaptureSession.id).where(CaptureSession.id == session.id).with_for_update())
    takes = list(tx.scalars(select(Take.id).where(Take.session_id == session.id)))
    if (why := begun(tx, takes)) is not None:
        raise StateConflict(f"Session {session.code} stays closed: {why}. Begin another:  mien session start "
                            f"{session.subject.code}")  # fmt: skip
    move = rules.reopen(rig_is_busy=open_session_of(tx, session.rig) is not None)
    guard = (CaptureSession.id == session.id, CaptureSession.state.in_(move.allowed))
    won = changed(tx, update(CaptureSession).where(*guard).values(state=move.to, closed_at=None)) == 1
    tx.refresh(session, ["state", "closed_at"])
    if not won:
        raise StateConflict(f"Session {session.code} is {session.state}; only a closed one is reopened")
    audit_log.record(tx, "session.reopen", "session", session.code, {"state": move.to.value})
    return move.to
