"""Sections of the session: its expressions and takes, its neutral, and the sessions that are paused."""

from collections.abc import Callable, Mapping
from typing import Any

from controller.console.state.known_values import known, rounded
from controller.console.state.record_facts import RecordFacts
from controller.sessions.consent_text import consent_text
from controller.sessions.session_state import ExpressionState, SessionStateMachine, TakeLine
from db import session_rules as rules
from db.models import TakeState


def session_section(facts: RecordFacts, automatic: Callable[[str], bool]) -> dict[str, Any] | None:
    """The open session. automatic: whether a session's takes are accepted by themselves where all is well."""
    state = facts.state
    if state is None:
        return None
    following = state.next_expression()
    return known(
        code=state.session,
        subject=state.subject,
        state=state.state.value,
        profile=state.profile,
        next=following.position if following else None,
        next_name=following.name if following else None,
        undecided=[take.code for take in state.undecided()],
        consent={"standing": str(state.consent), "told": consent_text(state)},
        without=dict(state.without),
        order=[line.position for line in state.expressions],
        automatic=automatic(state.session),
        expressions={
            str(line.position): _expression(state, line, line == following, facts.advice) for line in state.expressions
        },
        takes={
            take.code: _take(take, facts.advice.get(take.code), facts.sheets.get(take.code)) for take in state.takes
        },
    )


def neutral_section(facts: RecordFacts) -> dict[str, Any] | None:
    """Photographs of the session's neutral: the accepted take, else the newest whole one."""
    return {name: {"thumbnail": sha, "photograph": sha} for name, sha in facts.neutral.items()} or None


def paused_section(facts: RecordFacts) -> list[dict[str, Any]]:
    """The rig's paused sessions."""
    return [
        {"session": line.session, "accepted": line.accepted, "expressions": line.expressions} for line in facts.paused
    ]


def _expression(
    state: SessionStateMachine, line: ExpressionState, following: bool, advice: Mapping[str, int]
) -> dict[str, Any]:
    shown = state.shown(line.position)
    return known(
        name=line.name,
        instruction=line.instruction,
        reference=state.reference(line.position),
        skipped=state.skipped.get(line.position),
        shown=shown.code if shown else None,
        state=_standing(state, line, following, advice),
        takes=[take.code for take in state.takes_of(line.position)],
    )


def _standing(state: SessionStateMachine, line: ExpressionState, following: bool, advice: Mapping[str, int]) -> str:
    """todo, next, under_way, whole, look, accepted, failed or skipped."""
    takes = state.takes_of(line.position)
    if any(take.state in rules.UNDER_WAY for take in takes):
        return "under_way"
    kept = rules.kept(takes)
    if kept is not None and kept.state is TakeState.CAPTURED:
        return "look" if kept.flagged or advice.get(kept.code) else "whole"
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
