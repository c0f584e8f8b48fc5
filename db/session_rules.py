"""The rules of a session: which states follow which, and what the states of its takes allow.

Pure functions on states. Whoever holds the rows (db.captures, db.takes), counts them (db.reports) or talks to the
operator (controller.sessions.session_state) asks here, and says in its own words why not.

    planned -> fired -> captured <-> accepted         captured: whole, and nobody has decided; a retake leaves what is
       └────────┴─> failed  └─> superseded <─┘        accepted as it is. The one that is chosen is accepted, the others
                                                      of its expression are superseded: kept beside it, or dropped.
                                                      failed: captured or superseded, should its last photograph come

    open <-> paused, then closed                      an expression is done when a take of it is accepted or when it is
                                                      skipped with a reason; firing it asks for it again
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from db.models.capture import SessionState, TakeState

UNDER_WAY = (TakeState.PLANNED, TakeState.FIRED)  # its photographs may still come in
KEPT = (TakeState.CAPTURED, TakeState.ACCEPTED)  # whole, and it stands for its expression or may be chosen to
WHOLE = (*KEPT, TakeState.SUPERSEDED)  # every photograph is there, but for those that it is whole without
OCCUPYING = (*UNDER_WAY, *KEPT)  # its expression is neither next nor skipped

FIREABLE = (SessionState.OPEN,)  # takes are fired in such a session
DECIDABLE = (SessionState.OPEN, SessionState.PAUSED)  # ... and in such a one it is decided about its takes


class HasState(Protocol):
    """A take, as a row or as the controller reads it."""

    @property
    def state(self) -> TakeState: ...


SomeTake = TypeVar("SomeTake", bound=HasState)


@dataclass(frozen=True)
class TakeMove:
    """A step of a take from one state to the next."""

    to: TakeState
    allowed: tuple[TakeState, ...]  # it may be in one of these before


FIRE = TakeMove(TakeState.FIRED, (TakeState.PLANNED,))
CAPTURE = TakeMove(TakeState.CAPTURED, (TakeState.FIRED,))
FAIL = TakeMove(TakeState.FAILED, (*UNDER_WAY, TakeState.CAPTURED))
ACCEPT = TakeMove(TakeState.ACCEPTED, (TakeState.CAPTURED,))
CONFIRM = TakeMove(TakeState.ACCEPTED, KEPT)  # accepted already, perhaps: the others are put beside it
CHOOSE = TakeMove(TakeState.ACCEPTED, WHOLE)  # also one that was put beside or dropped
PUT_BESIDE = TakeMove(TakeState.SUPERSEDED, KEPT)  # another one of its expression was chosen
DROP = TakeMove(TakeState.SUPERSEDED, (TakeState.CAPTURED,))
WAIT_AGAIN = TakeMove(TakeState.CAPTURED, (TakeState.ACCEPTED,))  # to be decided about in its new expression
COMPLETE = TakeMove(TakeState.CAPTURED, (TakeState.FAILED,))  # by the last photograph, or by decision without it
COMPLETE_BESIDE = TakeMove(TakeState.SUPERSEDED, (TakeState.FAILED,))  # ... where a later attempt came whole
RESTORE = tuple(TakeMove(state, WHOLE) for state in WHOLE)  # a decision is taken back


@dataclass(frozen=True)
class SessionMove:
    """A step of a session from one state to the next."""

    to: SessionState
    allowed: tuple[SessionState, ...]  # it may be in one of these before


PAUSE = SessionMove(SessionState.PAUSED, (SessionState.OPEN,))
RESUME = SessionMove(SessionState.OPEN, (SessionState.PAUSED,))
CLOSE = SessionMove(SessionState.CLOSED, (SessionState.OPEN, SessionState.PAUSED))


def restore(state: TakeState) -> TakeMove:
    """A whole take is again what it was before a decision. Raises ValueError for a state that is not of a whole one."""
    for move in RESTORE:
        if move.to is state:
            return move
    raise ValueError(f"no decision leaves a take {state}")


def reopen(*, rig_is_busy: bool) -> SessionMove:
    """A closed session goes on; paused, while another one is open on its rig: one has it at a time."""
    return SessionMove(SessionState.PAUSED if rig_is_busy else SessionState.OPEN, (SessionState.CLOSED,))


def accepted(takes: Iterable[SomeTake]) -> SomeTake | None:
    """The take of an expression that is accepted; there is one at most."""
    return next((take for take in takes if take.state is TakeState.ACCEPTED), None)


def kept(takes: Sequence[SomeTake]) -> SomeTake | None:
    """The whole take that is shown for an expression: the latest that waits to be decided about, else the accepted.

    takes: of one expression, by attempt.
    """
    waiting = next((take for take in reversed(takes) if take.state is TakeState.CAPTURED), None)
    return waiting or accepted(takes)


def shown(takes: Sequence[SomeTake]) -> SomeTake | None:
    """The take that is shown for an expression, and that its name means: the kept one, else the last.

    takes: of one expression, by attempt.
    """
    return kept(takes) or (takes[-1] if takes else None)


def occupying(takes: Iterable[SomeTake]) -> SomeTake | None:
    """The first take of an expression for which it is not skipped: one is under way, waits or is accepted."""
    return next((take for take in takes if take.state in OCCUPYING), None)


def blocks_fire(state: TakeState, *, same_expression: bool) -> bool:
    """Whether a take has to come in before the next fire. Photographs of other expressions come in behind it."""
    return state is TakeState.PLANNED or (state is TakeState.FIRED and same_expression)


def done(states: Collection[TakeState], *, skipped: bool) -> bool:
    """Whether an expression, by the states of its takes, lacks nothing for the session to be closed."""
    return skipped or TakeState.ACCEPTED in states


def waits_to_be_fired(states: Collection[TakeState], *, skipped: bool) -> bool:
    """Whether an expression is not done, and none of its takes is under way or waits to be decided about."""
    return not done(states, skipped=skipped) and not any(state in OCCUPYING for state in states)
