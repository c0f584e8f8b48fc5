"""The subject's screen: what it is told, what it shows, and that its button stops."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from console_browser import browser_page
from operator_at_keys import Operator, accessibility_faults
from studio_on_air import OnAir, rig_of, studio_on_air, take_pictures

import controller.console
from controller.console.state.screen_view import screen_view

EXAMPLES = Path(controller.console.__file__).parent / "static" / "expressions"


def state(**changes: Any) -> dict[str, Any]:
    takes = {"S012-1-E01-1": {"position": 1, "state": "accepted"}}
    session = {
        "code": "S012-1", "subject": "S012", "state": "open", "order": [1, 2], "undecided": [], "next": 2,
        "takes": takes,
        "consent": {"standing": "given"},
        "expressions": {
            "1": {"name": "neutral", "instruction": "Look straight ahead."},
            "2": {"name": "smile", "instruction": "Smile."},
        },
    }  # fmt: skip
    cameras = {"cam-00": {"direction": [0.5, 0, -0.8]}, "cam-01": {"direction": [0, 0, -1]}, "cam-02": {}}
    neutral = {name: {"photograph": name * 3} for name in cameras}
    rig = {"frontal": ["cam-00", "cam-01"]}
    return {"session": session, "cameras": cameras, "rig": rig, "neutral": neutral, "paused": []} | changes


def test_the_screen_is_told_of_the_next_expression_and_its_own_neutral() -> None:
    found = screen_view(state())
    assert (found["position"], found["name"], found["phase"]) == (2, "smile", "idle")
    assert (found["camera"], found["neutral"]) == ("cam-01", "cam-01cam-01cam-01")
    assert found.keys() <= {
        "session", "code", "subject", "of", "position", "name", "instruction", "phase", "camera", "neutral", "countdown"
    }  # fmt: skip


@pytest.mark.parametrize(
    ("phase", "shown"),
    [("armed", "hold"), ("fired", "hold"), ("safe", "relax"), ("coming_in", "relax"), ("failed", "idle")],
)
def test_the_subject_holds_still_until_every_photograph_is_safe(phase: str, shown: str) -> None:
    base = state()
    base["session"]["takes"]["S012-1-E02-1"] = {"position": 2, "state": "fired"}
    take = {"code": "S012-1-E02-1", "position": 2, "phase": phase}
    assert screen_view(base | {"take": take})["phase"] == shown


def test_a_withdrawn_consent_shows_nothing() -> None:
    base = state()
    base["session"]["consent"]["standing"] = "withdrawn"
    assert screen_view(base) == {"session": "ended"}


def test_a_paused_session_says_so_and_nothing_else() -> None:
    base = state(paused=[{"session": "S012-1"}])
    del base["session"]
    assert screen_view(base) == {"session": "paused"}


@pytest.fixture
def air(tmp_path: Path) -> Iterator[OnAir]:
    first = take_pictures(tmp_path / "look", EXAMPLES / "neutral.jpg", 3)
    with studio_on_air(tmp_path, rig_of(3, frontal=(0,)), first, expressions=("neutral", "smile")) as made:
        yield made


@pytest.mark.slow
def test_the_screen_follows_the_session_and_its_button_pauses_it(air: OnAir, tmp_path: Path) -> None:
    with browser_page(air.url, air.home) as page:
        page.evaluate("() => localStorage.setItem('mien-countdown', '2')")
        page.goto(f"{air.url}/?fresh#shoot")
        operator = Operator(page, air, lambda name: take_pictures(tmp_path / name, EXAMPLES / f"{name}.jpg", 3))
        operator.wait("s.session !== undefined")
        screen = page.context.new_page()
        screen.goto(f"{air.url}/subject")
        screen.wait_for_selector("body[data-phase=idle]")
        assert screen.locator("h1").inner_text() == "neutral"
        assert air.subject in screen.locator("#code").inner_text()
        screen.wait_for_selector("#live:not([hidden])")
        assert accessibility_faults(screen) == []
        page.bring_to_front()
        page.keyboard.press("Space")
        screen.wait_for_selector("body[data-phase=countdown]")
        screen.wait_for_selector("body[data-phase=relax]")
        assert accessibility_faults(screen) == []
        operator.wait("['checked', 'decided'].includes(s.take?.phase)")
        operator.accept(str(operator.state("take.code")))
        screen.wait_for_function("() => document.querySelector('h1').textContent === 'smile'")
        screen.wait_for_selector("#ghost:not([hidden])", state="attached")
        screen.bring_to_front()
        screen.keyboard.press("Escape")
        screen.wait_for_selector("body[data-phase=paused]")
        assert air.studio.open_session() is None
        assert accessibility_faults(screen) == []
