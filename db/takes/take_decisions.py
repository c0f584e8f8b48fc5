"""What an operator decides about takes: which one stands, which one nobody wants, which expression one is of.

Each decision is kept with the states before and after, so that it can be taken back (db.takes.decision_undo). No
decision removes anything.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from common.take_codes import TakeCode
from db import captures
from db import session_rules as rules
from db.audit import audit_log
from db.consents import capture_consent
from db.engine import utc_now
from db.errors import StateConflict
from db.models import (
    AbsenceKind,
    ActKind,
    CaptureSession,
    FormerTakeCode,
    ProtocolExpression,
    SessionAct,
    SkippedExpression,
    Take,
    TakeAbsence,
    TakeState,
)
from db.takes.farm_handoff import forget_runs


def note(
    tx: Session,
    session_id: int,
    kind: ActKind,
    take: Take | None = None,
    detail: Mapping[str, Any] | None = None,
) -> SessionAct:
    """Keep a decision. detail: JSON values."""
    act = SessionAct(
        session_id=session_id,
        take_id=None if take is None else take.id,
        kind=kind,
        detail=None if detail is None else dict(detail),
        by=audit_log.actor()[:100],
        at=utc_now(),
    )
    tx.add(act)
    tx.flush()
    return act


def shot(takes: Iterable[Take]) -> dict[str, list[Any]]:
    """How takes stand, as an act keeps it: state, dropped or not, expression."""
    return {str(take.id): [take.state.value, take.dropped_at is not None, take.expression_id] for take in takes}


def accept_take(tx: Session, take: Take, *, choose: bool = False, automatic: bool = False) -> list[Take]:
    """The take stands for its expression; the other whole ones of it that were put beside it now.

    choose: also one that was put beside or dropped. automatic: kept with the decision, as nobody looked at it.
    Raises StateConflict, ConsentError.
    """
    _require_may_decide(tx, take)
    captures.lock_take(tx, take)
    others = captures.other_takes(tx, take, rules.KEPT)
    if take.state is TakeState.ACCEPTED and not others:
        return []
    move = rules.CHOOSE if choose else rules.CONFIRM
    if take.state not in move.allowed:
        raise StateConflict(f"Take {take.code} is {described(take)}; it cannot become {move.to}")
    before = shot([take, *others])
    reason = skip_reason(tx, take.session_id, take.expression_id)
    for other in others:
        captures.move_take(tx, other, rules.PUT_BESIDE)
    captures.move_take(tx, take, move, dropped_at=None)
    captures.unskip_expression(tx, take.session, take.expression.position)
    detail: dict[str, Any] = {"before": before, "after": shot([take, *others])}
    if reason is not None:
        detail["skipped"] = reason
    told: dict[str, Any] = {"attempt": take.attempt, "beside": [other.code for other in others]}
    if automatic:
        detail["automatic"] = told["automatic"] = True
    note(tx, take.session_id, ActKind.ACCEPT, take, detail)
    audit_log.record(tx, "take.choose" if choose else "take.accept", "take", take.code, told)
    return others


def require_no_whole_one(tx: Session, take: Take) -> None:
    """Raise StateConflict when another take of the expression is accepted and lacks nothing by decision."""
    decided = select(TakeAbsence.id).where(TakeAbsence.take_id == Take.id, TakeAbsence.kind == AbsenceKind.DECIDED)
    query = select(Take.code).where(
        Take.session_id == take.session_id,
        Take.expression_id == take.expression_id,
        Take.id != take.id,
        Take.state == TakeState.ACCEPTED,
        ~decided.where(TakeAbsence.came_at.is_(None)).correlate(Take).exists(),
    )
    whole = tx.scalar(query)
    if whole is not None:
        raise StateConflict(
            f"{take.code} is not kept: {whole} is accepted and whole, and no take that lacks photographs replaces it. "
            f"To have this one all the same, first:  mien session undo {whole}"
        )


def drop_take(tx: Session, take: Take) -> None:
    """captured -> superseded, marked as dropped: whole, and not wanted. It stays. Raises StateConflict."""
    captures.require_open(tx, take.session, or_paused=True)
    captures.lock_take(tx, take)
    before = shot([take])
    mark_dropped(tx, take)
    note(tx, take.session_id, ActKind.DROP, take, {"before": before, "after": shot([take])})
    audit_log.record(tx, "take.drop", "take", take.code, {"attempt": take.attempt})


def mark_dropped(tx: Session, take: Take) -> None:
    """captured -> superseded, marked as dropped. Raises StateConflict."""
    captures.move_take(tx, take, rules.DROP, dropped_at=utc_now())


def reassign_take(tx: Session, take: Take, position: int) -> str:
    """Give the take to another expression of its session, under that one's next code; the code that it had.

    An accepted take stays accepted unless a take of the other expression stands; it waits there to be decided then.
    Raises StateConflict while it is under way, when it did not come whole, and once the farm has begun with it.
    """
    _require_may_decide(tx, take)
    captures.lock_take(tx, take)
    target = captures.expression_at(tx, take.session, position)
    if take.state not in rules.WHOLE:
        raise StateConflict(f"Take {take.code} is {take.state}; only a whole take can be given to another expression")
    if target.id == take.expression_id:
        raise StateConflict(f"Take {take.code} is of {target.label} already")
    forget_runs(tx, take)
    before, former = shot([take]), take.code
    reason = skip_reason(tx, take.session_id, target.id)
    stands = captures.takes_of(tx, take.session_id, target.id, (TakeState.ACCEPTED,))
    captures.unskip_expression(tx, take.session, position)
    if take.state is TakeState.ACCEPTED and stands:
        captures.move_take(tx, take, rules.WAIT_AGAIN)
    move_to_expression(tx, take, target)
    detail: dict[str, Any] = {"before": before, "after": shot([take]), "was": former, "is": take.code}
    if reason is not None:
        detail["skipped"] = reason
    note(tx, take.session_id, ActKind.REASSIGN, take, detail)
    audit_log.record(tx, "take.reassign", "take", take.code, {"was": former, "expression": target.name})
    return former


def move_to_expression(tx: Session, take: Take, target: ProtocolExpression) -> None:
    """Another expression and its next code for the take, or the code that it had there before."""
    now, former = utc_now(), take.code
    known = tx.scalar(
        select(FormerTakeCode).where(FormerTakeCode.take_id == take.id, FormerTakeCode.expression_id == target.id)
    )
    attempt = captures.next_attempt(tx, take.session_id, target.id) if known is None else known.attempt
    code = str(TakeCode.of(take.session.code, target.position, attempt)) if known is None else known.code
    if tx.scalar(select(FormerTakeCode.id).where(FormerTakeCode.code == former)) is None:
        tx.add(
            FormerTakeCode(
                take_id=take.id, code=former, session_id=take.session_id, expression_id=take.expression_id,
                attempt=take.attempt, until=now,
            )
        )  # fmt: skip
    values = {"expression_id": target.id, "attempt": attempt, "code": code}
    tx.execute(update(Take).where(Take.id == take.id).values(values))
    tx.flush()
    tx.refresh(take, [*values, "expression"])


def undecided_takes(tx: Session, session: CaptureSession) -> list[Take]:
    """Whole takes that nobody accepted or dropped, by expression and attempt."""
    query = select(Take).join(ProtocolExpression).where(Take.session_id == session.id, Take.state == TakeState.CAPTURED)
    return list(tx.scalars(query.order_by(ProtocolExpression.position, Take.attempt)))


def skip_reason(tx: Session, session_id: int, expression_id: int) -> str | None:
    """Why the session does without this expression; None when it does not."""
    return tx.scalar(
        select(SkippedExpression.reason).where(
            SkippedExpression.session_id == session_id, SkippedExpression.expression_id == expression_id
        )
    )


def skip(tx: Session, session: CaptureSession, position: int, reason: str) -> None:
    """Do without an expression. Raises as captures.skip_expression."""
    expression = captures.expression_at(tx, session, position)
    before = skip_reason(tx, session.id, expression.id)
    captures.skip_expression(tx, session, position, reason)
    note(tx, session.id, ActKind.SKIP, None, {"position": position, "skipped": before})
    # The reason may speak of the person, so it stays out of the audit log.
    audit_log.record(tx, "expression.skip", "session", session.code, {"expression": expression.name})


def unskip(tx: Session, session: CaptureSession, position: int) -> bool:
    """Ask for an expression after all; False when it was not skipped. Raises StateConflict unless it is open."""
    captures.require_open(tx, session)
    expression = captures.expression_at(tx, session, position)
    reason = skip_reason(tx, session.id, expression.id)
    if reason is None:
        return False
    captures.unskip_expression(tx, session, position)
    note(tx, session.id, ActKind.UNSKIP, None, {"position": position, "skipped": reason})
    audit_log.record(tx, "expression.unskip", "session", session.code, {"expression": expression.name})
    return True


def described(take: Take) -> str:
    """A take's state in words."""
    return "dropped" if take.dropped_at is not None else str(take.state)


def _require_may_decide(tx: Session, take: Take) -> None:
    captures.require_open(tx, take.session, or_paused=True)
    capture_consent.require(tx, take.session)
