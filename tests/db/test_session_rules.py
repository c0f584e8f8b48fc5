"""Whatever happens to a session's takes: what the rules promise of their states holds."""

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from db import session_rules as rules
from db.models import SessionState, TakeState

MOVES = (
    *(rules.FIRE, rules.CAPTURE, rules.FAIL, rules.ACCEPT, rules.CONFIRM, rules.CHOOSE, rules.PUT_BESIDE, rules.DROP),
    *(rules.WAIT_AGAIN, rules.COMPLETE, rules.COMPLETE_BESIDE, *rules.RESTORE),
)


@dataclass(frozen=True)
class OneTake:
    attempt: int
    state: TakeState


def takes_of(states: list[TakeState]) -> list[OneTake]:
    return [OneTake(attempt, state) for attempt, state in enumerate(states, start=1)]


a_take_s_states = st.lists(st.sampled_from(TakeState), max_size=6)


def test_every_state_is_reached_and_planned_is_only_the_beginning() -> None:
    assert {move.to for move in MOVES} == set(TakeState) - {TakeState.PLANNED}


def test_a_take_that_did_not_come_whole_is_accepted_by_no_single_step() -> None:
    assert all(set(move.allowed) <= set(rules.WHOLE) for move in MOVES if move.to is TakeState.ACCEPTED)


def test_a_whole_take_stays_whole_but_for_one_that_nobody_decided_about() -> None:
    left = {state for move in MOVES if move.to not in rules.WHOLE for state in move.allowed if state in rules.WHOLE}
    assert left == {TakeState.CAPTURED}


@given(st.lists(st.sampled_from(MOVES), max_size=20))
def test_a_take_that_was_accepted_had_every_photograph_first(moves: list[rules.TakeMove]) -> None:
    state, been = TakeState.PLANNED, [TakeState.PLANNED]
    for move in moves:
        if state in move.allowed:
            state = move.to
            been.append(state)
    if TakeState.ACCEPTED in been:
        assert {TakeState.CAPTURED, TakeState.SUPERSEDED} & set(been[: been.index(TakeState.ACCEPTED)])
    if set(rules.WHOLE) & set(been):
        assert TakeState.FIRED in been or TakeState.FAILED in been


@pytest.mark.parametrize("before", rules.WHOLE)
@pytest.mark.parametrize("now", rules.WHOLE)
def test_whatever_was_decided_about_a_whole_take_can_be_taken_back(before: TakeState, now: TakeState) -> None:
    move = rules.restore(before)
    assert move.to is before
    assert now in move.allowed


@pytest.mark.parametrize("state", [state for state in TakeState if state not in rules.WHOLE])
def test_no_decision_leaves_a_take_that_is_not_whole(state: TakeState) -> None:
    with pytest.raises(ValueError, match=state.value):
        rules.restore(state)


@given(a_take_s_states, st.booleans())
def test_an_expression_is_done_or_busy_or_waits_to_be_fired(states: list[TakeState], skipped: bool) -> None:
    done = rules.done(states, skipped=skipped)
    busy = rules.occupying(takes_of(states)) is not None
    assert rules.waits_to_be_fired(states, skipped=skipped) == (not done and not busy)
    assert done == (skipped or rules.accepted(takes_of(states)) is not None)


@given(a_take_s_states)
def test_the_kept_take_is_whole_and_shown_before_any_other(states: list[TakeState]) -> None:
    takes = takes_of(states)
    kept, shown = rules.kept(takes), rules.shown(takes)
    assert (kept is None) == (not set(states) & set(rules.KEPT))
    assert (shown is None) == (not takes)
    assert shown is (kept or (takes[-1] if takes else None))
    if kept is not None and kept.state is TakeState.CAPTURED:
        assert all(take.state is not TakeState.CAPTURED for take in takes[kept.attempt :])
    if kept is not None:
        assert rules.occupying(takes) is not None


@given(st.sampled_from(TakeState), st.booleans())
def test_only_a_take_under_way_is_waited_for(state: TakeState, same: bool) -> None:
    if rules.blocks_fire(state, same_expression=same):
        assert state in rules.UNDER_WAY
        assert rules.blocks_fire(state, same_expression=True)


@pytest.mark.parametrize("busy", [False, True])
def test_a_closed_session_is_reopened_beside_no_other_open_one(busy: bool) -> None:
    move = rules.reopen(rig_is_busy=busy)
    assert move.allowed == (SessionState.CLOSED,)
    assert (move.to is SessionState.OPEN) == (not busy)


def test_a_session_is_closed_from_wherever_it_is_decided_about() -> None:
    assert set(rules.CLOSE.allowed) == set(rules.DECIDABLE)
    assert set(rules.FIREABLE) < set(rules.DECIDABLE)
    assert (rules.PAUSE.to, rules.PAUSE.allowed) == (rules.RESUME.allowed[0], (rules.RESUME.to,))
