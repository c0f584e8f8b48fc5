"""The trigger at a served studio: counted down on the server, given once, by one screen; all well is accepted alone."""

import contextlib
import threading
import time
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from patience import until
from served_console import Served

from controller.sessions.session_state import SessionStateMachine, TakeLine
from controller.trigger import trigger as trigger_module
from controller.trigger.automatic_acceptance import accepts_itself
from db.engine import reading
from db.models import ActKind, CheckState, SessionAct, SessionState, TakeState
from db.takes.take_reviews import CheckResult, TakeReviewData

OVER = ("in", "checked", "decided", "failed")  # phases of a take that is settled, whatever became of it


def fire(served: Served, session: str, countdown_s: float, screen: str = "screen-1", **more: Any) -> Any:
    headers = {"X-Console": screen} | more.pop("headers", {})
    return served.ask(
        "POST", f"/api/sessions/{session}/trigger", json={"countdown_s": countdown_s} | more, headers=headers
    )


def fire_until_whole(served: Served, session: str, expression: str) -> None:
    """On a machine that is busy a simulated camera may miss its moment: it is fired again then."""
    fire(served, session, 0, expression=expression)
    for _ in range(5):
        line = served.studio.state_of(session).find(expression)

        def settled(position: int = line.position) -> str:
            takes = served.studio.state_of(session).takes_of(position)
            under_way = (
                not takes or takes[-1].state in (TakeState.PLANNED, TakeState.FIRED) or served.studio.firing.held
            )
            return "" if under_way else takes[-1].state.value

        if until(settled, "the take was not settled") != "failed":
            return
        fire(served, session, 0, expression=expression, retake=True)
    raise AssertionError("no take came whole")


def test_a_countdown_is_shown_to_all_and_fires_at_its_end(shooting: Callable[..., Any]) -> None:
    served, session = shooting()
    page, other = served.follow("?console=screen-1"), served.follow("?console=screen-2")
    page.until(lambda s: s["bar"]["word"])
    answer = fire(served, session, 1.0, shown="neutral").json()
    assert 0 < answer["countdown"]["ends_in_ms"] <= 1000
    for one in (page, other):
        seen = one.until(lambda s: s.get("countdown"))
        assert (seen["id"], seen["expression"], seen["position"]) == (answer["countdown"]["id"], "neutral", 1)
    late = served.follow().until(lambda s: s.get("countdown"))
    assert late["ends_in_ms"] <= answer["countdown"]["ends_in_ms"]
    again = fire(served, session, 1.0)
    assert (again.status_code, "goes on already" in again.json()["error"]) == (409, True)
    page.until(lambda s: s.get("take", {}).get("code") == f"{session}-E01-1" and "countdown" not in s)
    page.until(lambda s: s["take"]["phase"] in OVER)
    assert other.state["trigger"]["holder"] == "screen-1"


@pytest.mark.slow
def test_from_the_countdown_to_the_fire_the_bar_never_says_ready(shooting: Callable[..., Any]) -> None:
    served, session = shooting()
    page = served.follow("?console=screen-1")
    page.until(lambda s: s["bar"]["word"])
    fire(served, session, 0.4)
    page.until(lambda s: s["take"]["phase"] in OVER)
    patches = [data["patch"] for kind, data in page.events if kind == "change"]
    begun = next(number for number, patch in enumerate(patches) if patch.get("countdown"))
    words = [patch["bar"]["word"] for patch in patches[begun:] if patch.get("bar", {}).get("word")]
    assert words[:2] == ["COUNTDOWN", "HOLD STILL"], words
    assert set(words[2:]) <= {"COMING IN", "DECIDE", "LOOK"}, words


@pytest.mark.slow
def test_an_aborted_countdown_fires_nothing(shooting: Callable[..., Any]) -> None:
    served, session = shooting()
    page = served.follow("?console=screen-1")
    page.until(lambda s: s["bar"]["word"])
    fire(served, session, 5.0)
    page.until(lambda s: s.get("countdown"))
    assert served.ask("POST", "/api/trigger/abort", json={}).json() == {"aborted": True}
    page.until(lambda s: "countdown" not in s)
    assert served.ask("POST", "/api/trigger/abort", json={}).json() == {"aborted": False}
    assert served.studio.state_of(session).takes == ()
    assert "last_refusal" not in page.state
    fire(served, session, 5.0)
    served.studio.pause_session(session)  # the subject's stop button does this
    page.until(lambda s: "countdown" not in s and "not open" in s.get("last_refusal", {}).get("text", ""))
    assert served.studio.state_of(session).takes == ()


@pytest.mark.slow
def test_what_stands_in_the_way_is_told_at_once_and_shown(shooting: Callable[..., Any]) -> None:
    served, session = shooting()
    page = served.follow("?console=screen-1")
    answer = fire(served, session, 3.0, shown="smile")
    assert (answer.status_code, "look again" in answer.json()["error"]) == (409, True)
    page.until(lambda s: "look again" in s.get("last_refusal", {}).get("text", ""))
    assert "countdown" not in page.state
    assert fire(served, session, 31.0).status_code == 422
    answer = fire(served, session, 0.0)
    assert answer.json() == {"take": f"{session}-E01-1"}
    page.until(lambda s: s.get("take", {}).get("phase") in OVER and "last_refusal" not in s)


@pytest.mark.slow
def test_a_countdown_ends_when_its_screen_is_gone(shooting: Callable[..., Any], monkeypatch: Any) -> None:
    monkeypatch.setattr(trigger_module, "NO_CONTACT_S", 0.3)
    served, session = shooting()
    watcher = served.follow("?console=screen-2")
    watcher.until(lambda s: s["bar"]["word"])
    fire(served, session, 10.0, screen="screen-3")  # it has no stream open
    watcher.until(lambda s: "not heard" in s.get("last_refusal", {}).get("text", "") and "countdown" not in s)
    assert served.studio.state_of(session).takes == ()


def test_the_studios_end_ends_a_countdown(shooting: Callable[..., Any], home: Any) -> None:
    served, session = shooting()
    fire(served, session, 5.0)
    began = time.monotonic()
    served.stop()
    home.stack.close()
    assert time.monotonic() - began < 10
    assert not [t for t in threading.enumerate() if t.name in ("mien-countdown", "mien-stream", "mien-automatic")]


def test_another_screen_watches_until_it_is_given_the_trigger(shooting: Callable[..., Any]) -> None:
    served, session = shooting()
    one, other = {"X-Console": "screen-1"}, {"X-Console": "screen-2"}
    pages = [served.follow("?console=screen-1"), served.follow("?console=screen-2")]
    for page in pages:
        page.until(lambda s: s["bar"])
    assert served.ask("POST", "/api/trigger/take", json={}, headers=one).status_code == 200
    for path, body in (
        ("trigger", {"countdown_s": 0}), ("fire", {}), ("retake", {"expression": "smile"}), ("accept", {}),
        ("choose", {"take": "x"}), ("undo", {}), ("skip", {"expression": "smile", "reason": "x"}),
        ("automatic", {"on": True}),
    ):  # fmt: skip
        answer = served.ask("POST", f"/api/sessions/{session}/{path}", json=body, headers=other)
        assert (answer.status_code, answer.json()["exit_code"]) == (409, 2), path
        assert "holds the trigger" in answer.json()["error"]
    assert served.ask("POST", "/api/trigger/take", json={}, headers=other).status_code == 409
    served.ask("POST", "/api/trigger/ask", json={}, headers=other)
    pages[0].until(lambda s: s["trigger"]["asked_by"]["console"] == "screen-2")
    served.ask("POST", "/api/trigger/grant", json={}, headers=one)
    pages[1].until(lambda s: s["trigger"]["holder"] == "screen-2")
    skip = {"expression": "smile", "reason": "cannot"}
    assert served.ask("POST", f"/api/sessions/{session}/skip", json=skip, headers=other).status_code == 200
    # A command with the home's token is not bound, and is shown.
    assert served.ask("POST", f"/api/sessions/{session}/skip", json={"expression": "smile"}).status_code == 200
    pages[0].until(lambda s: s["trigger"].get("command", {}).get("what") == "skip")


def test_a_command_is_done_once_for_its_key_and_never_late(shooting: Callable[..., Any]) -> None:
    served, session = shooting()
    served.follow("?console=screen-1").until(lambda s: s["bar"]["word"])
    headers = {"Idempotency-Key": str(uuid.uuid4()), "X-Console": "screen-1"}
    answers: list[Any] = []

    def send() -> None:
        answers.append(served.ask("POST", f"/api/sessions/{session}/fire", json={}, headers=headers))

    threads = [threading.Thread(target=send) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    send()
    assert {(a.status_code, a.text) for a in answers} == {(200, answers[0].text)}
    assert [take.code for take in served.studio.state_of(session).takes] == [f"{session}-E01-1"]
    other = served.ask("POST", f"/api/sessions/{session}/fire", json={"expression": "smile"}, headers=headers)
    assert other.status_code == 422
    fire_until_whole(served, session, "smile")
    smile = {"expression": "smile"}
    now = time.time() * 1e3
    for late in (now - 6000, now + 60_000):
        stale = {"Idempotency-Key": str(uuid.uuid4()), "X-Console": "screen-1", "X-Issued-At": f"{late:.0f}"}
        answer = served.ask("POST", f"/api/sessions/{session}/accept", json=smile, headers=stale)
        assert (answer.status_code, "was not done" in answer.json()["error"]) == (409, True)
    assert served.studio.state_of(session).takes_of(2)[-1].state is TakeState.CAPTURED
    fresh = {"X-Console": "screen-1", "X-Issued-At": f"{time.time() * 1e3:.0f}", "Idempotency-Key": "k1"}
    assert served.ask("POST", f"/api/sessions/{session}/accept", json=smile, headers=fresh).status_code == 200
    refused = served.ask(
        "POST", f"/api/sessions/{session}/accept", json=smile, headers=fresh | {"Idempotency-Key": "k2"}
    )
    assert (
        served.ask(
            "POST", f"/api/sessions/{session}/accept", json=smile, headers=fresh | {"Idempotency-Key": "k2"}
        ).text
        == refused.text
    )


@pytest.mark.slow
def test_what_is_well_is_accepted_by_itself_and_stays_undone(shooting: Callable[..., Any]) -> None:
    served, session = shooting()
    page = served.follow("?console=screen-1")
    page.until(lambda s: s["bar"]["word"])
    head = {"X-Console": "screen-1"}
    fire_until_whole(served, session, "neutral")
    page.until(lambda s: s.get("take", {}).get("phase") == "checked")
    served.ask("POST", f"/api/sessions/{session}/automatic", json={"on": True}, headers=head)
    page.until(lambda s: s["session"]["automatic"])
    all_ok = served.trigger.automatic
    review = served.studio.review
    with contextlib.ExitStack() as undo:
        # Two simulated cameras without a face cannot be well in every check: what they say is made so.
        def well(take: str, wait_s: float = 0.0) -> Any:
            found = review(take, wait_s)
            if found is None:
                return None
            checks = tuple(CheckResult(c.name, CheckState.OK, c.reason) for c in found.checks)
            return TakeReviewData(found.take, found.seconds, checks, found.sheet)

        all_ok._studio.review = well  # type: ignore[method-assign]
        undo.callback(lambda: delattr(all_ok._studio, "review"))
        fire_until_whole(served, session, "smile")
        until(lambda: served.studio.state_of(session).accepted(2), "it was not accepted")
        state = served.studio.state_of(session)
        assert [take.position for take in state.undecided()] == [1], "it waited before"
        with reading(served.studio.engine) as tx:
            acts = [act.detail for act in tx.query(SessionAct) if act.kind is ActKind.ACCEPT]
        assert [act["automatic"] for act in acts] == [True]
        served.studio.undo(session)
        served.studio.skip(session, "mouth_stretch", "x")
        time.sleep(0.5)
        assert served.studio.state_of(session).takes_of(2)[-1].state is TakeState.CAPTURED


OK = TakeReviewData("t", 0.1, (CheckResult("sharpness", CheckState.OK, "well"),))


def state_with(*takes: TakeLine) -> SessionStateMachine:
    return SessionStateMachine("S001-1", "S001", SessionState.OPEN, (), takes)


@pytest.mark.parametrize("state", [CheckState.ADVICE, CheckState.NOT_DONE])
def test_one_check_that_is_not_ok_is_enough_for_a_person_to_look(state: CheckState) -> None:
    take = TakeLine("S001-1-E01-1", 1, 1, TakeState.CAPTURED)
    assert accepts_itself(state_with(take), take, OK)
    odd = TakeReviewData("t", 0.1, (*OK.checks, CheckResult("face", state, "look")))
    assert not accepts_itself(state_with(take), take, odd)
    assert not accepts_itself(state_with(take), take, None)
    assert not accepts_itself(state_with(take), take, TakeReviewData("t", 0.1, ()))


def test_a_flag_a_missing_camera_or_another_take_is_for_a_person() -> None:
    from db.models import AbsenceKind
    from db.takes.missing_photographs import Absence

    take = TakeLine("S001-1-E01-2", 1, 2, TakeState.CAPTURED)
    other = TakeLine("S001-1-E01-1", 1, 1, TakeState.CAPTURED)
    stands = TakeLine("S001-1-E01-1", 1, 1, TakeState.ACCEPTED)
    flagged = TakeLine("S001-1-E01-2", 1, 2, TakeState.CAPTURED, problem="skew")
    lacks = TakeLine(
        "S001-1-E01-2", 1, 2, TakeState.CAPTURED, absent=(Absence("cam-07", AbsenceKind.ASIDE, "x", None),)
    )
    assert not accepts_itself(state_with(flagged), flagged, OK)
    assert not accepts_itself(state_with(lacks), lacks, OK)
    assert not accepts_itself(state_with(other, take), take, OK)
    assert not accepts_itself(state_with(stands, take), take, OK)
    assert accepts_itself(state_with(TakeLine("S001-1-E01-1", 1, 1, TakeState.FAILED), take), take, OK)
