"""Decisions of an operator, each in one transaction: drop, undo, reassign, calibrate afterwards, close, reopen."""

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import Engine

from controller.errors import DecisionNeeded, SessionError
from controller.rig_file import Rig
from controller.sessions.session_state import SessionStateMachine, TakeLine
from db import captures
from db.audit import audit_log
from db.consents import capture_consent
from db.consents.capture_consent import CaptureConsent
from db.engine import reading, transaction
from db.models import ActKind, SessionState
from db.rigs import rig_records
from db.takes import decision_undo, late_calibration, take_decisions
from db.takes.decision_undo import Undone
from db.takes.farm_handoff import HandOff, hand_off
from db.takes.late_calibration import CalibratedTakes


@dataclass(frozen=True)
class ClosingDecision:
    """What becomes of a session's undecided takes when it closes, by their codes."""

    keep: tuple[str, ...] = ()  # stand for their expression
    drop: tuple[str, ...] = ()  # are marked; their photographs stay
    beside: tuple[str, ...] = ()  # accepted ones that stay chosen over undecided ones of their expression


@dataclass(frozen=True)
class ReassignedTake:
    """A take that was given to another expression."""

    was: str  # the code that it had
    take: str  # its code now
    expression: str  # the other expression's name
    state: str  # how it stands there


class Decisions:
    """The rig's decisions in the database. Raises RecordError where the records' state forbids one."""

    def __init__(self, engine: Engine, rig: Rig) -> None:
        self._engine = engine
        self._rig = rig

    def drop(self, take: str) -> None:
        """A whole take that nobody wants: marked, and kept."""
        with transaction(self._engine) as tx:
            take_decisions.drop_take(tx, captures.get_take(tx, take))

    def undo(self, session: str, take: str | None = None) -> Undone:
        """Take back the session's last decision, or the last about one take."""
        with transaction(self._engine) as tx:
            row = captures.get_session(tx, session)
            return decision_undo.undo(tx, row, captures.get_take(tx, take) if take is not None else None)

    def reassign(self, state: SessionStateMachine, take: str, expression: str) -> ReassignedTake:
        """Give a take to another expression of its session. Raises SessionError for one that does not exist."""
        line, found = state.find(expression), state.find_take(take)
        if found is None:
            raise SessionError(f"Say which take, as in {state.reference(1)}-1; see: mien session show")
        with transaction(self._engine) as tx:
            row = captures.get_take(tx, found.code)
            was = take_decisions.reassign_take(tx, row, line.position)
            return ReassignedTake(was, row.code, line.name, row.state.value)

    def calibrate(
        self, session: str | None = None, take: str | None = None, version: int | None = None
    ) -> list[CalibratedTakes]:
        """Give a calibration to takes that have none (of a session, or all of the rig's), or to one take.

        version: which; of each the one nearest in time by default.
        """
        with transaction(self._engine) as tx:
            rig = rig_records.get_rig(tx, self._rig.name)
            chosen = rig_records.get_calibration(tx, rig, version) if version is not None else None
            if take is not None:
                return late_calibration.serve(tx, rig, [captures.get_take(tx, take)], chosen)
            row = captures.get_session(tx, session) if session is not None else None
            return late_calibration.serve(tx, rig, late_calibration.lacking(tx, rig, row), chosen)

    def hand_off(self, session: str) -> HandOff:
        """How the session's accepted takes stand for the farm."""
        with reading(self._engine) as tx:
            return hand_off(tx, captures.get_session(tx, session))

    def positions_kept(self, state: SessionStateMachine, keep: Collection[str], keep_all: bool) -> set[int]:
        """Expressions of which a take will stand once the session is closed so. Raises SessionError."""
        codes = self._codes(state, keep)
        return {take.position for take in state.undecided() if keep_all or take.code in codes}

    def kept(
        self, state: SessionStateMachine, keep: Collection[str], drop: Collection[str], keep_all: bool = False
    ) -> ClosingDecision:
        """What was said of each undecided take.

        Raises SessionError for a take that is not undecided or named twice, DecisionNeeded where one is left.
        """
        undecided = {take.code: take for take in state.undecided()}
        wanted, unwanted = (self._codes(state, given) for given in (keep, drop))
        for code in [*wanted, *unwanted]:
            if code not in undecided:
                take = next(take for take in state.takes if take.code == code)
                raise SessionError(f"{code} is {take.standing}; only takes that wait to be decided are kept or dropped")
        if twice := sorted(set(wanted) & set(unwanted)):
            raise SessionError(f"{', '.join(twice)}: keep it or drop it")
        positions = [undecided[code].position for code in wanted]
        if len(set(positions)) < len(positions):
            raise SessionError("One take can stand for an expression: keep one of each, and drop the others")
        if state.consent == CaptureConsent.WITHDRAWN:
            if wanted or keep_all:
                raise SessionError(
                    f"{state.subject} has withdrawn its consent: nothing more of it is accepted. Without --keep its "
                    "takes stay as they are, in quarantine"
                )
            return ClosingDecision((), tuple(unwanted))
        left = [take for code, take in undecided.items() if code not in unwanted and take.position not in positions]
        beside: list[str] = []
        if keep_all:
            for position in sorted({take.position for take in left}):
                standing = state.accepted(position)
                if standing is not None:
                    beside.append(standing.code)
                else:
                    wanted.append([take for take in left if take.position == position][-1].code)
        elif left:
            raise DecisionNeeded(_undecided_text(state, left))
        return ClosingDecision(tuple(wanted), tuple(unwanted), tuple(beside))

    def close(self, session: str, incomplete: bool, kept: ClosingDecision) -> HandOff:
        """From now on the farm finds the session's accepted takes. One transaction with what is kept and dropped.

        Raises StateConflict, DecisionNeeded for a take that came in just now.
        """
        with transaction(self._engine) as tx:
            row = captures.get_session(tx, session)
            for code in kept.drop:
                take_decisions.drop_take(tx, captures.get_take(tx, code))
            for code in (*kept.keep, *kept.beside):
                take_decisions.accept_take(tx, captures.get_take(tx, code))
            left = take_decisions.undecided_takes(tx, row)
            if left and capture_consent.consenting(tx, row.subject_id) is not CaptureConsent.WITHDRAWN:
                raise DecisionNeeded(f"{', '.join(take.code for take in left)} came in just now: look, and close again")
            was = row.state.value
            captures.close_session(tx, row, incomplete=incomplete)
            take_decisions.note(tx, row.id, ActKind.CLOSE, None, {"was": was})
            detail = {"incomplete": incomplete, "kept": list(kept.keep), "dropped": list(kept.drop)}
            audit_log.record(tx, "session.close", "session", session, detail)
            return hand_off(tx, row)

    def reopen(self, session: str) -> SessionState:
        """closed -> open, or paused when another one is open, until the farm has begun with it."""
        with transaction(self._engine) as tx:
            return decision_undo.reopen(tx, captures.get_session(tx, session))

    def require_consent(self, session: str) -> None:
        """Raise ConsentError when nothing more may be photographed in this session."""
        with reading(self._engine) as tx:
            capture_consent.require(tx, captures.get_session(tx, session))

    @staticmethod
    def _codes(state: SessionStateMachine, given: Collection[str]) -> list[str]:
        found: list[str] = []
        for text in given:
            take = state.find_take(text)
            if take is None:
                raise SessionError(f"{text!r} names no take; say it as in {state.session}-E02-1")
            if take.code not in found:
                found.append(take.code)
        return found


def _undecided_text(state: SessionStateMachine, left: Collection[TakeLine]) -> str:
    names = {line.position: line.name for line in state.expressions}
    rows = []
    for take in left:
        standing = state.accepted(take.position)
        beside = f", beside {standing.code}, which is accepted" if standing else ""
        flagged = f", flagged: {take.problem}" if take.flagged else ""
        rows.append(f"  {take.code}  {names[take.position]}, {take.frames} photographs{beside}{flagged}")
    each = " ".join(f"--keep {take.code}" for take in left)
    many = len(left) > 1
    return "\n".join(
        [
            f"Session {state.session} is not closed: {len(left)} whole {'takes wait' if many else 'take waits'} to be "
            "decided, to be kept (it stands for its expression) or dropped (marked; its photographs stay).",
            *rows,
            f"Say it of each:  mien session close {state.session} --incomplete {each}",
            "(or --drop TAKE; --keep-all keeps the last of each expression, and an accepted one over those beside it)",
        ]
    )
