"""A patch makes of one state exactly the next, whatever they are; it is no larger than what changed."""

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from controller.console.stream.merge_patch import apply_patch, make_patch

keys = st.sampled_from(["a", "b", "c", "cam-07", ""])
leaves = st.one_of(st.booleans(), st.integers(-2, 2), st.floats(0, 2), st.sampled_from(["", "a", "b"]))
values = st.recursive(
    leaves, lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(keys, inner, max_size=4))
)
states = st.dictionaries(keys, values, max_size=5)


def as_json(state: Any) -> str:
    return json.dumps(state, sort_keys=True)


@settings(max_examples=80, deadline=None)
@given(states, states)
def test_a_patch_makes_the_one_state_of_the_other(before: dict[str, Any], after: dict[str, Any]) -> None:
    kept = as_json(before)
    patch = json.loads(json.dumps(make_patch(before, after)))  # it goes over a wire
    assert as_json(apply_patch(before, patch)) == as_json(after)
    assert as_json(before) == kept
    assert (patch == {}) == (as_json(before) == as_json(after))


@settings(max_examples=30, deadline=None)
@given(states, states, states)
def test_changes_that_come_once_more_before_the_newest_do_no_harm(a: Any, b: Any, c: Any) -> None:
    first, second = make_patch(a, b), make_patch(b, c)
    again = apply_patch(apply_patch(apply_patch(apply_patch(a, first), second), first), second)
    assert as_json(again) == as_json(c)


def test_what_stayed_is_not_in_the_patch() -> None:
    before = {
        "cameras": {f"cam-{n:02d}": {"battery": 80, "state": "idle"} for n in range(68)},
        "bar": {"word": "READY"},
    }
    after = {**before, "cameras": {**before["cameras"], "cam-07": {"battery": 79, "state": "idle"}}}
    assert make_patch(before, after) == {"cameras": {"cam-07": {"battery": 79}}}
