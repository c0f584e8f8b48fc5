"""Content keys and the graph: what decides a result is in its key, and nothing else is."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processing.errors import TakeError
from processing.farm.scheduling.content_keys import content_key, listing_digest, output_identity, take_digest
from processing.farm.scheduling.stage_graph import (
    ExternalInput,
    StageOutput,
    TakeInput,
    descendants,
    missing,
    plan,
    plan_given,
)
from processing.stages.base import TEMPLATE, ParamsError
from processing.stages.discovery import discover, upstream

TOYS = discover(Path(__file__).parents[1] / "toy_stages")
TAKES = [TakeInput(f"{k}_{e}", e, f"{k}" * 64) for k, e in enumerate(("neutral", "smile", "anger"), 1)]
SIMPLE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
PARTS = st.tuples(
    st.text(max_size=8),
    st.integers(0, 99),
    st.dictionaries(st.text(max_size=5), SIMPLE, max_size=3),
    st.dictionaries(st.text(max_size=5), st.text(max_size=8), max_size=3),
)


def same(value: Any) -> Any:
    """Told apart as JSON tells apart: True is not 1."""
    if isinstance(value, dict):
        return {k: same(v) for k, v in value.items()}
    return [same(v) for v in value] if isinstance(value, list | tuple) else (type(value).__name__, value)


@given(PARTS, PARTS)
def test_keys_are_equal_exactly_when_all_parts_are(a: Any, b: Any) -> None:
    assert (content_key(*a) == content_key(*b)) == (same(a) == same(b))


@given(PARTS)
def test_the_order_of_names_plays_no_part(parts: Any) -> None:
    stage, version, params, inputs = parts
    turned = {k: params[k] for k in reversed(params)}, {k: inputs[k] for k in reversed(inputs)}
    assert content_key(stage, version, *turned) == content_key(stage, version, params, inputs)


def test_a_take_is_its_bytes_and_names_wherever_it_lies(tmp_path: Path) -> None:
    folders = [tmp_path / "a" / "1_neutral", tmp_path / "b" / "elsewhere"]
    for folder in folders:
        folder.mkdir(parents=True)
        (folder / "params.json").write_text("{}")
        (folder / "0.jpg").write_bytes(b"zero")
        (folder / "10.jpg").write_bytes(b"ten")
    (folders[1] / "notes.txt").write_text("not part of the take")
    assert take_digest(folders[0]) == take_digest(folders[1])
    (folders[1] / "10.jpg").rename(folders[1] / "9.jpg")
    assert take_digest(folders[0]) != take_digest(folders[1])


def test_photographs_that_swap_places_are_another_take() -> None:
    assert listing_digest({"0.jpg": "a", "1.jpg": "b"}) != listing_digest({"0.jpg": "b", "1.jpg": "a"})
    assert output_identity("k", "a") != output_identity("k", "b")


def test_three_takes_give_every_run_once_makers_first() -> None:
    runs = plan(TAKES, {TEMPLATE: "t" * 64}, TOYS)
    assert {(r.take, r.stage) for r in runs} == {(t.name, s) for t in TAKES for s in TOYS}
    assert len({r.key for r in runs}) == len(runs)
    seen: set[str] = set()
    for run in runs:
        assert run.parents <= seen
        seen.add(run.key)


def test_expressions_need_the_neutrals_run_and_the_neutral_does_not() -> None:
    runs = {(r.take, r.stage): r for r in plan(TAKES, {TEMPLATE: "t" * 64}, TOYS)}
    wanted = StageOutput(runs["1_neutral", "measure"].key, "size")
    assert runs["2_smile", "compare"].inputs["neutral"] == wanted
    assert runs["3_anger", "compare"].inputs["neutral"] == wanted
    assert "neutral" not in runs["1_neutral", "compare"].inputs
    assert runs["2_smile", "compare"].params["expression"] == "smile"


def keys_of(takes: list[TakeInput], template: str = "t" * 64, **params: Any) -> dict[tuple[str, str], str]:
    return {(r.take, r.stage): r.key for r in plan(takes, {TEMPLATE: template}, TOYS, params)}


def changed(before: dict[tuple[str, str], str], after: dict[tuple[str, str], str]) -> set[tuple[str, str]]:
    return {name for name in before if before[name] != after[name]}


def test_a_change_reaches_its_descendants_and_no_other() -> None:
    before = keys_of(TAKES)
    everyone = {t.name for t in TAKES}
    retake = [TAKES[0], TakeInput("2_smile", "smile", "9" * 64), TAKES[2]]
    assert changed(before, keys_of(retake)) == {("2_smile", s) for s in TOYS}
    other_neutral = [TakeInput("1_neutral", "neutral", "9" * 64), *TAKES[1:]]
    after = changed(before, keys_of(other_neutral))
    assert after == {(t, s) for t in everyone for s in TOYS} - {("2_smile", "measure"), ("3_anger", "measure")}
    assert changed(before, keys_of(TAKES, "u" * 64)) == {(t, s) for t in everyone for s in ("compare", "conclude")}
    assert changed(before, keys_of(TAKES, measure={"control": "x"})) == {(t, s) for t in everyone for s in TOYS}


def test_the_version_is_part_of_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    before = keys_of(TAKES)
    monkeypatch.setattr(type(TOYS["conclude"]), "version", 3)
    assert changed(before, keys_of(TAKES)) == {(t.name, "conclude") for t in TAKES}


def test_equal_photographs_share_their_runs() -> None:
    twice = [TAKES[0], TakeInput("2_smile", "smile", "7" * 64), TakeInput("3_smile", "smile", "7" * 64)]
    runs = plan(twice, {TEMPLATE: "t" * 64}, TOYS)
    assert len(runs) == 9
    assert len(missing(runs, ())) == 6


def test_goal_minus_present_is_missing_and_descendants_are_all_that_follow() -> None:
    runs = plan(TAKES, {TEMPLATE: "t" * 64}, TOYS)
    assert missing(runs, {r.key for r in runs}) == []
    assert missing(runs, ()) == runs
    named = {(r.take, r.stage): r.key for r in runs}
    followers = {named[t, s] for t in ("1_neutral", "2_smile", "3_anger") for s in ("compare", "conclude")}
    assert descendants(runs, named["1_neutral", "measure"]) == followers
    assert descendants(runs, named["2_smile", "conclude"]) == set()


def test_a_take_by_itself_runs_on_what_is_given() -> None:
    """Files stand for the neutral's results; what is not given and comes from outside is left out."""
    given = {"take": "photographs", "neutral:measure.size": "a size"}
    runs = {run.stage: run for run in plan_given(TAKES[1], given, TOYS, {})}
    assert set(runs) == set(TOYS)
    assert runs["measure"].inputs == {"take": ExternalInput("take", "photographs")}
    assert runs["compare"].inputs == {
        "size": StageOutput(runs["measure"].key, "size"),
        "neutral": ExternalInput("neutral:measure.size", "a size"),
    }
    assert runs["compare"].params == {"expression": "smile"}
    alone = {run.stage: run for run in plan_given(TAKES[1], {}, TOYS, {})}
    assert alone["measure"].inputs == {}
    assert set(alone["compare"].inputs) == {"size"}


def test_a_stage_is_planned_with_those_that_it_needs_and_no_others() -> None:
    assert list(upstream(TOYS, "compare")) == ["measure", "compare"]
    assert list(upstream(TOYS, "conclude")) == ["measure", "compare", "conclude"]


def test_no_neutral_two_neutrals_and_misspellings_are_explained() -> None:
    with pytest.raises(TakeError, match="No take is neutral among 2_smile, 3_anger"):
        plan(TAKES[1:], {TEMPLATE: "t" * 64}, TOYS)
    with pytest.raises(TakeError, match="1_neutral and 4_neutral are both neutral"):
        plan([*TAKES, TakeInput("4_neutral", "neutral", "4" * 64)], {TEMPLATE: "t" * 64}, TOYS)
    with pytest.raises(ParamsError, match="no stage 'mesure'"):
        plan(TAKES, {TEMPLATE: "t" * 64}, TOYS, {"mesure": {}})
    with pytest.raises(ParamsError, match="did you mean 'control'"):
        plan(TAKES, {TEMPLATE: "t" * 64}, TOYS, {"measure": {"contrl": ""}})
