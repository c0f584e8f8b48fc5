"""The page's stream: a snapshot, then changes that make the same state, and an end with the studio."""

import time
from collections.abc import Callable
from typing import Any

import httpx


def without_time(state: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in state.items() if key not in ("server", "cameras")}


def test_a_take_is_followed_from_armed_to_checked(shooting: Callable[..., Any]) -> None:
    served, session = shooting()
    page = served.follow()
    page.until(lambda s: s["session"]["code"] == session and s["bar"]["word"])
    result = served.studio.fire(session)
    assert result.kept, result.message
    page.until(lambda s: s["take"]["phase"] == "checked" and s["take"]["code"] == result.take)
    assert page.state["take"]["in"] == 2
    assert page.state["session"]["undecided"] == [result.take]
    takes = [data["patch"].get("take", {}) for kind, data in page.events if kind == "change"]
    phases = [take["phase"] for take in takes if "phase" in take]
    assert phases[-1] == "checked"
    assert "armed" in phases or "fired" in phases
    served.studio.accept(session)
    page.until(lambda s: s["take"]["phase"] == "decided" and s["session"]["next_name"] != "neutral")
    page.until(lambda s: without_time(served.whole) == without_time(s))
    for _, picture in page.state["take"]["pictures"].items():
        answer = served.ask("GET", f"/pictures/thumbnails/{picture['thumbnail']}.jpg")
        assert (answer.status_code, answer.headers["content-type"]) == (200, "image/jpeg")
        assert answer.headers["cache-control"] == "private, max-age=31536000, immutable"


def test_the_console_stops_with_streams_open(shooting: Callable[..., Any]) -> None:
    served, _ = shooting()
    pages = [served.follow() for _ in range(8)]
    for page in pages:
        page.until(lambda s: s["server"])
    for path in ("/stream", f"/pictures/thumbnails/{'0' * 64}.jpg", f"/pictures/photographs/{'0' * 64}.jpg"):
        assert httpx.get(served.url + path).status_code == 401
    began = time.monotonic()
    served.stop()
    assert not served.thread.is_alive()
    assert time.monotonic() - began < 15  # uvicorn alone waits 20 s for them
    for page in pages:
        assert page.ended
        assert page.events[-1][0] == "end"
