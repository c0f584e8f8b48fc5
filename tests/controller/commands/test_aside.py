"""`mien rig aside`, `mien rig back`, `mien session accept --without`: what an operator types, and reads."""

import asyncio
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from camera_nodes import wire
from controller.api.app import make_console
from controller.client import StudioClient, StudioRefusal
from controller.rig_file import Rig
from controller.studio import Studio
from controller.takes.take_progress import TakeProgress
from controller.takes.take_under_way import TakeUnderWay

TOKEN = "secret-token"
HEADERS = {"Authorization": f"Bearer {TOKEN}"}
CAMERAS = 8
Mien = Callable[..., str]


@pytest.fixture
def studio(home: Any, rig_of: Callable[..., Rig]) -> Studio:
    opened: Studio = home.open(rig_of(CAMERAS))
    return opened


@pytest.fixture
def asked(studio: Studio) -> Callable[..., httpx.Response]:
    """asked("GET", "/api/rig"): the console's answer."""
    app = make_console(studio, TOKEN)

    def ask(method: str, path: str, **options: Any) -> httpx.Response:
        async def once() -> httpx.Response:
            async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1") as client:
                return await client.request(method, path, headers=HEADERS, **options)

        return asyncio.run(once())

    return ask


@pytest.fixture
def mien(asked: Callable[..., httpx.Response], monkeypatch: pytest.MonkeyPatch) -> Mien:
    """mien("rig", "aside", ...): what it prints. Raises StudioRefusal with the studio's message."""
    from controller.commands import rig, session

    class Client(StudioClient):
        def __init__(self, _home: Any = None) -> None:
            """No address to look up."""

        def _call(self, method: str, path: str, body: Any, patience_s: float = 0.0) -> dict[str, Any]:
            del patience_s
            answer = asked(method, path, **({} if body is None else {"json": body}))
            data: dict[str, Any] = answer.json()
            if answer.status_code != 200:
                raise StudioRefusal(str(data["error"]), data["exit_code"])
            return data

    monkeypatch.setattr("controller.client.StudioClient", Client)
    monkeypatch.setenv("COLUMNS", "200")
    groups = {"rig": rig.app, "session": session.app}

    def run(group: str, *words: str) -> str:
        result = CliRunner().invoke(groups[group], list(words))
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == 0, result.output
        return result.stdout

    return run


def test_set_aside_shown_everywhere_and_brought_back(
    studio: Studio, mien: Mien, asked: Callable[..., httpx.Response]
) -> None:
    assert mien("rig", "aside") == "No camera is aside; 4 may be.\n"
    told = mien("rig", "aside", "cam-03", "cam-06", "--reason", "shutter stuck", "--for", "2h")
    assert told.splitlines()[0].startswith("cam-03 is aside: shutter stuck (since ")
    assert "until" in told
    assert (
        mien("rig", "aside", "cam-06", "--reason", "lent", "--until", "back")
        .splitlines()[1]
        .endswith("until it is brought back)")
    )
    table = mien("rig", "status")
    assert "0 of 6 cameras ready, 2 aside" in table
    assert "cam-03  aside: shutter stuck" in table
    aside = {one["camera"]: one["told"] for one in asked("GET", "/api/rig").json()["aside"]}
    assert aside["cam-03"].startswith("shutter stuck")
    with pytest.raises(StudioRefusal, match="cam-03 and cam-04 stand side by side") as refusal:
        mien("rig", "aside", "cam-04", "--reason", "too")
    assert refusal.value.exit_code == 2
    with pytest.raises(StudioRefusal, match="Say which camera"):
        mien("rig", "aside", "--reason", "stuck")
    told = mien("rig", "back", "cam-03,cam-06")
    assert "cam-03 is back, but no node announces it" in told
    assert told.endswith("No camera is aside; 4 may be.\n")
    assert studio.asides.current() == {}
    with pytest.raises(StudioRefusal, match="cam-03 is not aside"):
        mien("rig", "back", "cam-03")


def test_kept_without_and_shown_with_its_reason(
    studio: Studio,
    mien: Mien,
    home: Any,
    speaker: Callable[..., Any],
    jpeg: Callable[..., bytes],
    asked: Callable[..., httpx.Response],
) -> None:
    mien("rig", "aside", "cam-00", "--reason", "shutter stuck")
    session = studio.start_session(home.subject, "short")
    take = studio.records.plan(session, 1, aside=studio.asides.reasons())
    studio.records.fired(take)
    tally = TakeProgress(take, [camera.name for camera in studio.rig.cameras], aside=studio.asides.reasons())
    studio.events.open(tally)
    nodes = {}
    for view in range(1, CAMERAS):
        nodes[view] = speaker(studio, f"cam-{view:02d}")
        nodes[view].greet()
        if view != 5:
            assert isinstance(nodes[view].upload(take, jpeg(view)), wire.Stored)
    script = studio.records.state_of(session)
    studio.settlement.settle(TakeUnderWay(script, script.expressions[0], 1, tally, script.profile))

    with pytest.raises(StudioRefusal, match="--without cam-05 --reason") as refusal:
        mien("session", "accept")
    assert refusal.value.exit_code == 2
    told = mien("session", "accept", "--without", "cam-05", "--reason", "USB hub died")
    assert told.startswith(f"{take} accepted although kept without cam-05 by decision: USB hub died")
    shown = mien("session", "show")
    assert f"without cam-00 (aside: shutter stuck): {take}" in shown
    assert f"without cam-05 (decided: USB hub died): {take}" in shown
    answer = asked("GET", f"/api/sessions/{session}").json()
    (line,) = answer["expressions"][0]["takes"]
    assert [(a["camera"], a["kind"]) for a in line["absent"]] == [("cam-00", "aside"), ("cam-05", "decided")]

    assert isinstance(nodes[5].upload(take, jpeg(5)), wire.Stored)
    assert "cam-05 (decided: USB hub died, but its photograph came late)" in mien("session", "show")
    assert "the photograph of cam-05 came late" in " ".join(asked("GET", "/api/rig").json()["late"])
    told = mien("session", "close", "--incomplete")
    assert f"{session} closed: 0 of 1 accepted takes ready for the farm" in told
    assert "they have no calibration" in told
    assert f"without cam-00 (aside: shutter stuck): {take}" in told
