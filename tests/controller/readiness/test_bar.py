"""The bar's precedence, over every combination of what it is told of."""

from dataclasses import replace
from itertools import product

import pytest
from readiness_views import SHOW, all_well, with_session

from controller.readiness.bar import LOOKS, make_bar
from controller.readiness.fault import Fault, Weight
from controller.readiness.studio_view import LastTake, StudioView, TakeStage

STAGES = ("", "hold", "coming")
SESSIONS = ("none", "paused", "open")
LASTS = ("", "failed", "flagged", "look", "unseen", "undecided", "decided")
LEFT = ("next", "undecided", "nothing")


def view_of(stage: str, countdown: bool, session: str, last: str, left: str) -> StudioView:
    view = all_well()
    if stage:
        view = replace(view, take=TakeStage("t", stage, 8, 5))  # type: ignore[arg-type]
    if countdown:
        view = replace(view, countdown=3)
    if session != "open":
        return replace(view, session=None, paused=(SHOW,) if session == "paused" else ())
    take = LastTake("t", SHOW, "smile", "decided")
    take = {
        "": None,
        "decided": take,
        "failed": replace(take, standing="failed"),
        "flagged": replace(take, standing="undecided", problem="exposure skew", looks=0),
        "look": replace(take, standing="undecided", looks=2, advice="a"),
        "unseen": replace(take, standing="undecided"),
        "undecided": replace(take, standing="undecided", looks=0),
    }[last]
    return with_session(
        view, last=take, next="smile" if left == "next" else "", undecided=("t-1",) if left == "undecided" else ()
    )


def faults_of(causes: tuple[Weight, ...], ending: str) -> list[Fault]:
    found = [Fault(ending, ending, Weight.FIRE, "text", "ending")] if ending else []
    return found + [Fault(str(w), "busy" if w is Weight.FIRE else "card", w, "text", f"w{w}") for w in causes]


def expected(stage: str, countdown: bool, session: str, last: str, left: str, weights: set[Weight], ending: str) -> str:
    """The table of controller/readiness/bar.py, said the other way round: what each word needs."""
    if stage == "hold":
        return "HOLD STILL"
    if countdown:
        return "COUNTDOWN"
    if ending and (session == "open" or stage):
        return "CANNOT FIRE"
    if stage == "coming":
        return "COMING IN"
    if session != "open":
        return {"none": "NO SESSION", "paused": "PAUSED"}[session]
    if Weight.FIRE in weights or ending:
        return "CANNOT FIRE"
    waits = {"failed": "RETAKE", "flagged": "LOOK", "look": "LOOK", "unseen": "DECIDE", "undecided": "DECIDE"}
    if last in waits:
        return waits[last]
    if Weight.READY in weights:
        return "CHECK"
    return {"next": "READY", "undecided": "DECIDE", "nothing": "DONE"}[left]


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("session", SESSIONS)
def test_the_first_row_that_fits_is_said(stage: str, session: str) -> None:
    weights = [
        tuple(w for w, there in zip((Weight.FIRE, Weight.READY, Weight.NOTE), flags, strict=True) if there)
        for flags in product((False, True), repeat=3)
    ]
    for countdown, last, left, which, ending in product((False, True), LASTS, LEFT, weights, ("", "consent", "filing")):
        bar = make_bar(view_of(stage, countdown, session, last, left), faults_of(which, ending))
        wanted = expected(stage, countdown, session, last, left, set(which), ending)
        case = (stage, countdown, session, last, left, which, ending)
        assert bar.word == wanted, case
        if bar.word == "READY":
            assert (stage, countdown, session, left, ending) == ("", False, "open", "next", ""), case
            assert last in ("", "decided"), case
            assert not {Weight.FIRE, Weight.READY} & set(which), case
        assert (bar.tone == "good") == (bar.word in ("READY", "DONE")), case


def test_between_a_countdown_and_its_take_nothing_is_ready() -> None:
    view = with_session(replace(all_well(), countdown=0), next="smile")
    assert make_bar(view, ()).word == "HOLD STILL"


def test_every_word_has_its_look() -> None:
    assert {shape for _, shape in LOOKS.values()} == {"circle", "bars", "triangle", "octagon"}
    assert [word for word, (tone, _) in LOOKS.items() if tone == "good"] == ["DONE", "READY"]


def test_without_a_session_the_bar_names_what_is_wrong_with_the_rig() -> None:
    view = replace(all_well(), session=None)
    bar = make_bar(view, faults_of((Weight.FIRE,), ""))
    assert (bar.line(), bar.tone, bar.shape) == ("NO SESSION: w0", "look", "triangle")
    assert make_bar(view, ()).line() == "NO SESSION"
    assert make_bar(replace(view, paused=("S001-1", "S002-1")), ()).line() == "PAUSED: 2 sessions"
