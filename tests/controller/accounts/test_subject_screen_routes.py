"""The subject's screen as a visitor: it sees its own page, its own neutral, and may stop; nothing else answers it."""

from typing import Any

ELSEWHERE = [
    ("GET", "/"), ("GET", "/stream"), ("GET", "/api/rig"), ("GET", "/api/sessions"), ("GET", "/api/rig/view"),
    ("GET", f"/pictures/thumbnails/{'0' * 64}.jpg"), ("POST", "/api/rig/view"), ("POST", "/api/sessions/S001-1/resume"),
    ("POST", "/api/sessions/S001-1/trigger"), ("GET", "/api/sessions/S001-1/takes/S001-1-E01-1/photographs"),
]  # fmt: skip


def test_nothing_else_answers_the_screen(console: Any) -> None:
    screen = console.session("")
    answers = {}
    for method, path in ELSEWHERE:
        body = {"json": {}} if method == "POST" else {}
        answers[method, path] = console.ask(method, path, screen, **body).status_code
    assert answers == dict.fromkeys(ELSEWHERE, 403)


def test_the_screen_has_its_page_and_pauses_the_session(console: Any, subject: str) -> None:
    screen = console.session("")
    console.studio.start_session(subject)
    assert "Stop" in console.ask("GET", "/subject", screen).text
    assert console.ask("GET", "/subject").status_code in (303, 307, 401)
    session = console.studio.open_session()
    assert console.ask("POST", "/api/subject-screen/stop", screen, json={}).json() == {"paused": session}
    assert console.studio.open_session() is None
    assert console.ask("POST", "/api/subject-screen/stop", screen, json={}).json() == {"paused": None}
    assert console.ask("GET", "/api/subject-screen/neutral.jpg?camera=cam-00", screen).status_code == 404


def test_the_screen_sees_no_camera_that_is_not_frontal(console: Any) -> None:
    screen = console.session("")
    for camera in ("cam-00", "cam-99"):  # the rig has no frontal one
        assert console.ask("POST", "/api/subject-screen/view", screen, json={"camera": camera}).status_code == 404
        assert console.ask("GET", f"/api/subject-screen/live.jpg?camera={camera}", screen).status_code == 404
