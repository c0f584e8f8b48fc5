"""Sessions and takes as JSON: what the page and the commands read of them."""

from dataclasses import asdict
from typing import Any

from controller.sessions.consent_text import consent_text
from controller.sessions.session_state import ExpressionState, SessionStateMachine, TakeLine
from controller.studio import Studio
from controller.takes.take_result import TakeResult
from db.models import TakeState


def take_data(result: TakeResult) -> dict[str, Any]:
    """What became of a fire."""
    return asdict(result) | {"kept": result.kept, "coming_in": result.coming_in}


def session_data(state: SessionStateMachine) -> dict[str, Any]:
    """A session. `next` is what a fire without a name fires.

    `shown` of an expression: the take that its name means to `accept`. `undecided`: whole takes that wait.
    """
    following = state.next_expression()
    later = state.consent_later
    return {
        "session": state.session,
        "subject": state.subject,
        "state": state.state.value,
        "profile": state.profile,
        "next": following.name if following else None,
        "undecided": [take.code for take in state.undecided()],
        "consent": {
            "standing": state.consent,
            "later": asdict(later) if later else None,
            "told": consent_text(state),
        },
        "without": dict(state.without),
        "expressions": [_expression_data(state, line) for line in state.expressions],
    }


def checked_session_data(studio: Studio, session: str) -> dict[str, Any]:
    """session_data with `checks` of each take: how many results deserve a look, None without a review.

    And with `last_take`: the whole take that was fired last, None without one.
    """
    data = session_data(studio.state_of(session))
    counts, data["last_take"] = studio.advice_counts(session), studio.last_whole_take(session)
    for line in data["expressions"]:
        for take in line["takes"]:
            take["checks"] = counts.get(take["code"])
    return data


def decision_data(state: SessionStateMachine, take: TakeLine) -> dict[str, Any]:
    """What an accept or a choice has changed. `beside`: whole takes of the expression that do not stand for it."""
    beside = [t.code for t in state.takes_of(take.position) if t.state is TakeState.SUPERSEDED]
    session = session_data(state)
    return {
        "take": take.code,
        "state": take.state.value,
        "flags": take.problem if take.flagged else None,
        "beside": beside,
        "next": session["next"],
        "undecided": session["undecided"],
    }


def _expression_data(state: SessionStateMachine, line: ExpressionState) -> dict[str, Any]:
    shown = state.shown(line.position)
    return {
        "position": line.position,
        "name": line.name,
        "instruction": line.instruction,
        "reference": state.reference(line.position),
        "skipped": state.skipped.get(line.position),
        "shown": shown.code if shown else None,
        "takes": [_line_data(take) for take in state.takes_of(line.position)],
    }


def _line_data(take: TakeLine) -> dict[str, Any]:
    return asdict(take) | {"state": take.state.value, "standing": take.standing, "flagged": take.flagged}
