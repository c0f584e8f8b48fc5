"""How far a session is: each expression of its protocol with the take that stands for it."""

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from db.models import (
    Camera,
    CaptureSession,
    Frame,
    ProtocolExpression,
    SessionState,
    SkippedExpression,
    Take,
    TakeAbsence,
    TakeState,
)


@dataclass(frozen=True)
class ExpressionProgress:
    """Where a session stands with one expression."""

    position: int
    name: str
    instruction: str
    attempts: int
    take: str | None  # the accepted or the last attempt
    state: TakeState | None  # ... and its state
    frames: int  # photographs that it has
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
