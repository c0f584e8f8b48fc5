"""The session's state machine: for any history, what it allows keeps the records sound."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.errors import SessionError
from controller.sessions.session_state import ExpressionState, SessionStateMachine, TakeLine
from db.models import SessionState, TakeState

LINES = (ExpressionState(1, "neutral"), ExpressionState(2, "smile"), ExpressionState(3, "mouth_stretch"))


def script(*takes: tuple[int, TakeState], state: SessionState = SessionState.OPEN) -> SessionStateMachine:
    lines, counts = [], {1: 0, 2: 0, 3: 0}
    for position, take_state in takes:
        counts[position] += 1
        code = f"S012-1-E{position:02d}-{counts[position]}"
        lines.append(TakeLine(code, position, counts[position], take_state))
    return SessionStateMachine("S012-1", "S012", state, LINES, tuple(lines))


@pytest.mark.parametrize("text", ["smile", "2", "2_smile", "E2", "E02", "S012-1-E02", "S012-1-E02-3"])
def test_an_expression_is_found_by_every_name_it_has(text: str) -> None:
    assert script().find(text).name == "smile"


@pytest.mark.parametrize("text", ["smiel", "4", "0", "S013-1-E02", "", "²"])
def test_an_unknown_expression_is_refused_with_the_known_ones(text: str) -> None:
    with pytest.raises(SessionError, match="neutral, smile, mouth_stretch"):
        script().find(text)


def test_the_next_expression_is_the_first_that_waits_for_no_take_and_no_decision() -> None:
    assert script().next_expression() == LINES[0]
    assert script((1, TakeState.CAPTURED)).next_expression() == LINES[1]
    assert script((1, TakeState.FAILED)).next_expression() == LINES[0]
    assert script((1, TakeState.SUPERSEDED)).next_expression() == LINES[0]
    assert script((1, TakeState.ACCEPTED), (3, TakeState.ACCEPTED)).next_expression() == LINES[1]


def test_firing_over_a_take_that_stands_needs_a_retake() -> None:
    standing = script((1, TakeState.CAPTURED))
    with pytest.raises(SessionError, match="mien session retake S012-1-E01"):
        standing.check_fire(1)
    standing.check_fire(1, retake=True)
    script((1, TakeState.FAILED)).check_fire(1)
    with pytest.raises(SessionError, match="no take yet"):
        script().check_fire(1, retake=True)


def test_another_expression_may_be_fired_while_one_comes_in() -> None:
    draining = script((1, TakeState.ACCEPTED), (2, TakeState.FIRED))
    draining.check_fire(3)
    assert draining.next_expression().position == 3
    decided = script((1, TakeState.CAPTURED), (2, TakeState.CAPTURED), (3, TakeState.FAILED))
    assert decided.next_expression().position == 3


@pytest.mark.parametrize("state", [TakeState.PLANNED, TakeState.FIRED])
def test_an_expression_is_neither_fired_nor_closed_while_its_take_is_under_way(state: TakeState) -> None:
    busy = script((1, TakeState.ACCEPTED), (2, state))
    for act in (lambda: busy.check_fire(2, retake=True), lambda: busy.check_close(incomplete=True)):
        with pytest.raises(SessionError, match="S012-1-E02-1 is still coming in"):
            act()


def test_close_names_what_is_not_accepted() -> None:
    with pytest.raises(SessionError, match=r"(?s)2 of 3.*smile.*mouth_stretch"):
        script((1, TakeState.ACCEPTED), (2, TakeState.CAPTURED)).check_close()
    script((1, TakeState.ACCEPTED)).check_close(incomplete=True)
    script(*((line.position, TakeState.ACCEPTED) for line in LINES)).check_close()


@pytest.mark.parametrize("state", [SessionState.CLOSED, SessionState.PAUSED])
def test_a_session_that_is_not_open_allows_nothing(state: SessionState) -> None:
    shut = script((1, TakeState.CAPTURED), state=state)
    acts = [lambda: shut.check_fire(2), lambda: shut.check_accept(1), lambda: shut.check_skip(2, "why")]
    for act in [*acts, *([shut.check_close] if state is SessionState.CLOSED else [])]:
        with pytest.raises(SessionError, match=state.value):
            act()


def test_a_paused_session_says_how_to_go_on_and_may_be_closed() -> None:
    paused = script(*((line.position, TakeState.ACCEPTED) for line in LINES), state=SessionState.PAUSED)
    with pytest.raises(SessionError, match="mien session resume S012-1"):
        paused.check_fire(1, retake=True)
    paused.check_close()


def test_a_skipped_expression_is_done_and_the_session_closes_without_it() -> None:
    session = replace(script((1, TakeState.ACCEPTED), (3, TakeState.CAPTURED)), skipped={2: "cannot smile"})
    assert session.next_expression() is None
    with pytest.raises(SessionError, match=r"(?s)1 of 3.*mouth_stretch.*S012-1-E03-1 waits to be accepted"):
        session.check_close()
    session.check_fire(2)  # may be asked for after all
    replace(session, skipped={2: "cannot smile", 3: "beard"}).check_close()


@pytest.mark.parametrize("state", [TakeState.FIRED, TakeState.CAPTURED, TakeState.ACCEPTED])
def test_an_expression_with_a_take_that_stands_is_not_skipped(state: TakeState) -> None:
    with pytest.raises(SessionError, match="S012-1-E02-1"):
        script((2, state)).check_skip(2, "why")
    script((2, TakeState.FAILED)).check_skip(2, "why")
    with pytest.raises(SessionError, match="Say why"):
        script().check_skip(2, "  ")


@given(st.lists(st.tuples(st.integers(1, 3), st.sampled_from(TakeState)), max_size=12))
def test_only_a_whole_take_is_ever_accepted_and_codes_never_repeat(history: list[tuple[int, TakeState]]) -> None:
    session = script(*history)
    for line in LINES:
        assert session.take_code(line.position) not in {take.code for take in session.takes}
        try:
            take = session.check_accept(line.position)
        except SessionError:
            assert not any(p == line.position and s in (TakeState.CAPTURED, TakeState.ACCEPTED) for p, s in history)
        else:
            assert take.position == line.position
            assert take.state in (TakeState.CAPTURED, TakeState.ACCEPTED)
