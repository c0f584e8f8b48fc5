"""Sections of the session: its expressions and takes, its neutral, and the sessions that are paused."""

from typing import Any

from common.take_codes import NEUTRAL
from controller.console.state.known_values import known, rounded
from controller.sessions.session_state import ExpressionState, SessionStateMachine, TakeLine
from controller.studio import Studio
from db import session_rules as rules
from db.consents.capture_consent import CaptureConsent
from db.engine import reading
from db.models import SessionState, TakeState
from db.takes.take_reviews import sheets_of


def session_section(studio: Studio, state: SessionStateMachine, consent_told: str) -> dict[str, Any]:
    """The open session. consent_told: what the operator is told of the consent; "" when all is well."""
    following = state.next_expression()
    counts = studio.advice_counts(state.session)
    with reading(studio.engine) as tx:
        sheets = sheets_of(tx, state.session)
    return known(
        code=state.session,
        subject=state.subject,
        state=state.state.value,
        profile=state.profile,
        next=following.position if following else None,
        next_name=following.name if following else None,
        undecided=[take.code for take in state.undecided()],
        consent={"standing": state.consent, "told": consent_told},
        without=dict(state.without),
        order=[line.position for line in state.expressions],
        automatic=False,
        expressions={str(line.position): _expression(state, line, line == following) for line in state.expressions},
        takes={take.code: _take(take, counts.get(take.code), sheets.get(take.code)) for take in state.takes},
    )


def neutral_section(studio: Studio, state: SessionStateMachine) -> dict[str, Any] | None:
    """Photographs of the session's neutral: the accepted take, else the newest whole one."""
    if state.consent == CaptureConsent.WITHDRAWN:
        return None
    position = next((line.position for line in state.expressions if line.name == NEUTRAL), None)
    if position is None:
        return None
    takes = state.takes_of(position)
    whole = [take for take in takes if take.state in rules.WHOLE]
    take = rules.accepted(takes) or (whole[-1] if whole else None)
    if take is None:
        return None
    return {name: {"thumbnail": sha, "photograph": sha} for name, sha in studio.records.photographs(take.code).items()}


def paused_section(studio: Studio) -> list[dict[str, Any]]:
    """The rig's paused sessions."""
    return [
        {"session": line.session, "accepted": line.accepted, "expressions": line.expressions}
        for line in studio.sessions(SessionState.PAUSED)
    ]


def _expression(state: SessionStateMachine, line: ExpressionState, following: bool) -> dict[str, Any]:
    shown = state.shown(line.position)
    return known(
        name=line.name,
        instruction=line.instruction,
        reference=state.reference(line.position),
        skipped=state.skipped.get(line.position),
        shown=shown.code if shown else None,
        state=_standing(state, line, following),
        takes=[take.code for take in state.takes_of(line.position)],
    )


def _standing(state: SessionStateMachine, line: ExpressionState, following: bool) -> str:
    """todo, next, under_way, whole, look, accepted, failed or skipped."""
    takes = state.takes_of(line.position)
    if any(take.state in rules.UNDER_WAY for take in takes):
        return "under_way"
    kept = rules.kept(takes)
    if kept is not None and kept.state is TakeState.CAPTURED:
        return "look" if kept.flagged else "whole"
    if kept is not None:
        return "accepted"
    if line.position in state.skipped:
        return "skipped"
    if following:
        return "next"
    return "failed" if takes else "todo"


def _take(take: TakeLine, checks: int | None, sheet: str | None) -> dict[str, Any]:
    return known(
        position=take.position,
        attempt=take.attempt,
        state=take.state.value,
        standing=take.standing,
        flagged=take.flagged,
        problem=take.problem,
        frames=take.frames,
        command_skew_ms=rounded(take.command_skew_ms),
        clock_uncertainty_ms=rounded(take.clock_uncertainty_ms),
        exposure_skew_ms=rounded(take.exposure_skew_ms),
        checks=checks,
        sheet=sheet,
        former=list(take.former),
    )
