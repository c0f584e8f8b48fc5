"""What the operator does with a session as a whole: skip an expression, pause, go on another day, see them all."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Engine, func, select

from controller.rig_file import Rig
from controller.sessions.session_state import SessionStateMachine
from db import captures
from db.audit import audit_log
from db.consents import capture_consent
from db.engine import reading, transaction
from db.models import CaptureSession, ProtocolExpression, SessionState, SkippedExpression, Take, TakeState
from db.rigs import rig_records
from db.takes import take_decisions


@dataclass(frozen=True)
class SessionSummary:
    """One session of the rig: how far it is."""

    session: str
    subject: str
    state: str
    opened_at: datetime
    expressions: int
    accepted: int
    skipped: int


class SessionLifecycle:
    """The rig's sessions in the database; each act is one transaction with an audit event."""

    def __init__(self, engine: Engine, rig: Rig) -> None:
        self._engine = engine
        self._rig = rig

    def skip(self, script: SessionStateMachine, expression: str, reason: str) -> None:
        """Do without an expression. Raises SessionError when it has a take that stands, or without a reason."""
        line = script.find(expression)
        script.check_skip(line.position, reason)
        with transaction(self._engine) as tx:
            take_decisions.skip(tx, captures.get_session(tx, script.session), line.position, reason.strip())

    def ask_again(self, script: SessionStateMachine, expression: str) -> bool:
        """Ask for a skipped expression after all; False when it was not skipped."""
        line = script.find(expression)
        with transaction(self._engine) as tx:
            return take_decisions.unskip(tx, captures.get_session(tx, script.session), line.position)

    def pause(self, session: str) -> None:
        """open -> paused: the rig is free for another session. Photographs under way still come in.

        Raises StateConflict, NotFound.
        """
        with transaction(self._engine) as tx:
            captures.pause_session(tx, captures.get_session(tx, session))
            audit_log.record(tx, "session.pause", "session", session)

    def resume(self, session: str) -> None:
        """paused -> open, on this day or another.

        Raises StateConflict when the rig has another open session, ConsentError when the subject has withdrawn.
        """
        with transaction(self._engine) as tx:
            row = captures.get_session(tx, session)
            capture_consent.require(tx, row)
            captures.resume_session(tx, row)
            audit_log.record(tx, "session.resume", "session", session)

    def newest_calibration(self) -> tuple[int | None, datetime | None]:
        """Version and time of the rig's newest calibration; nothing when there is none."""
        with reading(self._engine) as tx:
            found = rig_records.newest_calibration(tx, rig_records.get_rig(tx, self._rig.name))
            return (None, None) if found is None else (found.version, found.made_at)

    def sessions(self, *states: SessionState) -> list[SessionSummary]:
        """The rig's sessions in these states (all by default), newest first."""
        with reading(self._engine) as tx:
            rig = rig_records.get_rig(tx, self._rig.name)
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
            skipped = (
                select(func.count()).where(SkippedExpression.session_id == CaptureSession.id).correlate(CaptureSession)
            )
            query = (
                select(
                    CaptureSession, expressions.scalar_subquery(), accepted.scalar_subquery(), skipped.scalar_subquery()
                )
                .where(CaptureSession.rig_id == rig.id)
                .order_by(CaptureSession.id.desc())
            )
            if states:
                query = query.where(CaptureSession.state.in_(states))
            return [
                SessionSummary(row.code, row.subject.code, row.state.value, row.opened_at, total, done, without)
                for row, total, done, without in tx.execute(query)
            ]
