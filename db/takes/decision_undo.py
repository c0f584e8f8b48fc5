"""Taking back what an operator decided: the last decision of a session, or the last about one take."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from db import captures
from db import session_rules as rules
from db.audit import audit_log
from db.consents import capture_consent
from db.engine import utc_now
from db.errors import NotFound, StateConflict
from db.models import ActKind, CaptureSession, ProtocolExpression, SessionAct, SessionState, Take, TakeState
from db.takes.farm_handoff import forget_runs, reopen_session
from db.takes.take_decisions import described, mark_dropped, move_to_expression, shot, skip_reason

UNDOABLE = (
    *(ActKind.FIRE, ActKind.ACCEPT, ActKind.DROP, ActKind.SKIP, ActKind.UNSKIP, ActKind.REASSIGN, ActKind.CLOSE),
)


@dataclass(frozen=True)
class Undone:
    """What was taken back, in words."""

    kind: ActKind
    take: str | None  # the code that it has now
    text: str


def undo(tx: Session, session: CaptureSession, take: Take | None = None) -> Undone:
    """Take back the session's last decision that can be; with `take`, the last about it.

    Raises NotFound when there is none, StateConflict when something was decided since that it would overthrow, in a
    closed session for everything but the close, and once the farm has used what it would change; ConsentError.
    """
    tx.execute(select(CaptureSession.id).where(CaptureSession.id == session.id).with_for_update())
    tx.refresh(session, ["state"])
    act = _last(tx, session, take)
    if act is None:
        about = f"about {take.code} " if take is not None else ""
        raise NotFound(f"Nothing was decided {about}in session {session.code} that could be taken back")
    if act.kind is not ActKind.CLOSE:
        if session.state is SessionState.CLOSED:
            raise StateConflict(f"Session {session.code} is closed. First:  mien session reopen {session.code}")
        capture_consent.require(tx, session)
    text = _take_back(tx, session, act)
    act.undone_at, act.undone_by = utc_now(), audit_log.actor()[:100]
    tx.flush()
    code = None if act.take_id is None else tx.scalar(select(Take.code).where(Take.id == act.take_id))
    detail = {"what": act.kind.value, "act": act.id, "take": code}
    audit_log.record(tx, "session.undo", "session", session.code, detail)
    return Undone(act.kind, code, text)


def reopen(tx: Session, session: CaptureSession) -> SessionState:
    """Take back the close. Raises StateConflict once the farm has begun, ConsentError after a withdrawal."""
    if session.state is not SessionState.CLOSED:
        raise StateConflict(f"Session {session.code} is {session.state}; only a closed one is reopened")
    capture_consent.require(tx, session)
    state = reopen_session(tx, session)
    query = select(SessionAct).where(
        SessionAct.session_id == session.id, SessionAct.kind == ActKind.CLOSE, SessionAct.undone_at.is_(None)
    )
    for act in tx.scalars(query):
        act.undone_at, act.undone_by = utc_now(), audit_log.actor()[:100]
    tx.flush()
    return state


def _last(tx: Session, session: CaptureSession, take: Take | None) -> SessionAct | None:
    query = select(SessionAct).where(
        SessionAct.session_id == session.id, SessionAct.undone_at.is_(None), SessionAct.kind.in_(UNDOABLE)
    )
    if take is not None:
        query = query.where(SessionAct.take_id == take.id)
    for act in tx.scalars(query.order_by(SessionAct.id.desc())):
        if act.kind is not ActKind.FIRE or _can_be_dropped(tx, act):
            return act
    return None


def _can_be_dropped(tx: Session, act: SessionAct) -> bool:
    """A fire that failed, or whose take was dropped already, leaves nothing to take back."""
    fired = tx.get_one(Take, act.take_id)
    return fired.state is not TakeState.FAILED and fired.dropped_at is None


def _take_back(tx: Session, session: CaptureSession, act: SessionAct) -> str:
    detail: Mapping[str, Any] = act.detail or {}
    match act.kind:
        case ActKind.CLOSE:
            state = reopen(tx, session)
            return f"session {session.code} is {state} again"
        case ActKind.FIRE:
            return "; ".join([_drop_fired(tx, tx.get_one(Take, act.take_id)), *_skip_told(tx, session, act, detail)])
        case ActKind.ACCEPT | ActKind.DROP:
            return _restore(tx, session, act, detail)
        case ActKind.REASSIGN:
            return _give_back(tx, session, act, detail)
        case ActKind.SKIP | ActKind.UNSKIP:
            return _skip_again(tx, session, detail)
    raise StateConflict(f"{act.kind} cannot be taken back")


def _drop_fired(tx: Session, take: Take) -> str:
    captures.lock_take(tx, take)
    if take.state in rules.UNDER_WAY:
        raise StateConflict(f"Take {take.code} is still coming in; wait until its photographs are here")
    if take.state is not TakeState.CAPTURED:
        raise StateConflict(f"Take {take.code} is {described(take)}; choose another one first")
    mark_dropped(tx, take)
    return f"take {take.code} is dropped; it is kept, and to have it after all:  mien session choose {take.code}"


def _restore(tx: Session, session: CaptureSession, act: SessionAct, detail: Mapping[str, Any]) -> str:
    """The takes stand as they did before, if they stand as this decision left them."""
    before, after = detail.get("before"), detail.get("after")
    if not before or not after:
        raise StateConflict("The records no longer have what this decision changed")
    takes = {str(take.id): take for take in tx.scalars(select(Take).where(Take.id.in_([int(key) for key in before])))}
    for take in takes.values():
        captures.lock_take(tx, take)
    now = shot(takes.values())
    if now != after:
        codes = ", ".join(takes[key].code for key in after if now.get(key) != after[key])
        raise StateConflict(f"Something else was decided about {codes} since; take that back first")
    told = []
    # Those that end accepted come last: one take of an expression is accepted at any moment.
    for key in sorted(before, key=lambda k: before[k][0] == TakeState.ACCEPTED):
        take, (state, dropped, _) = takes[key], before[key]
        when = (take.dropped_at or utc_now()) if dropped else None
        captures.move_take(tx, take, rules.restore(TakeState(state)), dropped_at=when)
        told.append(f"{take.code} is {described(take)} again")
    return "; ".join([*told, *_skip_told(tx, session, act, detail)])


def _give_back(tx: Session, session: CaptureSession, act: SessionAct, detail: Mapping[str, Any]) -> str:
    take = tx.get_one(Take, act.take_id)
    captures.lock_take(tx, take)
    key = str(take.id)
    before, after = detail.get("before"), detail.get("after")
    if not before or not after or shot([take]) != after:
        raise StateConflict(f"Something else was decided about {take.code} since; take that back first")
    forget_runs(tx, take)
    state, dropped, expression = before[key]
    was, target = take.code, tx.get_one(ProtocolExpression, expression)
    left = take.expression_id
    if state == TakeState.ACCEPTED and captures.takes_of(tx, take.session_id, expression, (TakeState.ACCEPTED,)):
        state = TakeState.CAPTURED
    if take.state is TakeState.ACCEPTED:  # never two accepted ones of an expression, not even in between
        captures.move_take(tx, take, rules.WAIT_AGAIN)
    move_to_expression(tx, take, target)
    when = (take.dropped_at or utc_now()) if dropped else None
    captures.move_take(tx, take, rules.restore(TakeState(state)), dropped_at=when)
    told = [f"{was} is {take.code} again, {target.label}, {described(take)}"]
    reason = detail.get("skipped")
    if reason is not None:
        told += _skip_if_free(tx, session, tx.get_one(ProtocolExpression, left).position, reason)
    return "; ".join(told)


def _skip_again(tx: Session, session: CaptureSession, detail: Mapping[str, Any]) -> str:
    position, reason = int(detail["position"]), detail.get("skipped")
    label = captures.expression_at(tx, session, position).label
    if reason is None:
        captures.unskip_expression(tx, session, position)
        return f"{label} is asked for again"
    captures.skip_expression(tx, session, position, reason)
    return f"{label} is skipped again, for the reason that was given before"


def _skip_told(tx: Session, session: CaptureSession, act: SessionAct, detail: Mapping[str, Any]) -> list[str]:
    reason = detail.get("skipped")
    if reason is None or act.take_id is None:
        return []
    return _skip_if_free(tx, session, tx.get_one(Take, act.take_id).expression.position, reason)


def _skip_if_free(tx: Session, session: CaptureSession, position: int, reason: str) -> list[str]:
    """Skip an expression again where no take of it stands."""
    expression = captures.expression_at(tx, session, position)
    if captures.takes_of(tx, session.id, expression.id, rules.OCCUPYING):
        return []
    if skip_reason(tx, session.id, expression.id) is not None:
        return []
    captures.skip_expression(tx, session, position, reason)
    return [f"{expression.label} is skipped again"]
