"""What the console, the API and the commands tell of checks; a contact sheet is served, a photograph is not."""

import asyncio
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from controller.api.app import make_console
from controller.client import StudioClient
from controller.commands import take_checks as command
from controller.rig_file import Rig
from db import captures
from db.engine import transaction
from db.rigs import rig_records

TOKEN = "secret-token"
HEADERS = {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture
def reviewed(home: Any, rig_of: Callable[..., Rig], jpeg: Callable[..., bytes]) -> tuple[Any, str, str, list[str]]:
    """A studio with one whole take that was looked at: studio, session, take, hashes of its photographs."""
    studio = home.open(rig_of(4))
    session = studio.start_session(home.subject, "short")
    hashes = [studio.store.put_bytes(jpeg(view, (400, 300))) for view in range(4)]
    with transaction(studio.engine) as tx:
        take = captures.plan_take(tx, captures.get_session(tx, session), "neutral")
        captures.fire_take(tx, take)
        cameras = rig_records.get_rig(tx, studio.rig.name).cameras
        frames = [captures.FrameData(c.id, sha256, 1, 400, 300) for c, sha256 in zip(cameras, hashes, strict=True)]
        captures.add_frames(tx, take, frames)
        captures.capture_take(tx, take)
        code = take.code
    studio.reviewer.finish(code)
    assert studio.reviewer.result(code, 60.0) is not None
    return studio, session, code, hashes


def ask(studio: Any, method: str, path: str, **options: Any) -> httpx.Response:
    async def request() -> httpx.Response:
        transport = httpx.ASGITransport(make_console(studio, TOKEN))
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            return await client.request(method, path, **options)

    return asyncio.run(request())


def test_checks_are_told_with_reasons_and_the_sheet_is_served(reviewed: Any) -> None:
    studio, session, take, hashes = reviewed
    assert ask(studio, "GET", f"/api/takes/{take}/checks").status_code == 401
    review = ask(studio, "GET", f"/api/takes/{take}/checks", headers=HEADERS).json()["review"]
    assert {check["check"] for check in review["checks"]} >= {"sharpness", "clipping", "brightness", "face"}
    assert all(check["reason"] for check in review["checks"])
    place = f"/sheets/{review['sheet']}.jpg"
    assert ask(studio, "GET", place).status_code == 401  # it shows a participant
    sheet = ask(studio, "GET", place, headers=HEADERS)
    assert sheet.headers["content-type"] == "image/jpeg"
    assert sheet.content[:2] == b"\xff\xd8"
    for sha256 in (*hashes, "0" * 64, "..%2f..%2fstudio.sqlite"):
        assert ask(studio, "GET", f"/sheets/{sha256}.jpg").status_code in (400, 401)  # none says which there are
        assert ask(studio, "GET", f"/sheets/{sha256}.jpg", headers=HEADERS).status_code in (400, 404)
    script = ask(studio, "GET", f"/api/sessions/{session}", headers=HEADERS).json()
    assert script["last_take"] == take
    assert script["expressions"][0]["takes"][0]["checks"] == review["advice"]


def test_a_take_can_be_looked_at_again_and_an_unknown_one_is_refused(reviewed: Any) -> None:
    studio, _, take, _ = reviewed
    again = ask(studio, "POST", f"/api/takes/{take}/checks", headers=HEADERS).json()
    assert again["review"]["checks"]
    assert ask(studio, "GET", "/api/takes/S999-1-E01-1/checks", headers=HEADERS).json()["exit_code"] == 4


def test_the_command_prints_every_check(
    reviewed: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Any
) -> None:
    studio, _, take, _ = reviewed

    class Client:
        """StudioClient over the application itself."""

        def __init__(self, _home: object) -> None:
            pass

        def get(self, path: str) -> Any:
            return ask(studio, "GET", path, headers=HEADERS).json()

        def download(self, path: str) -> bytes:
            return ask(studio, "GET", path, headers=HEADERS).content

    assert {"get", "download"} <= set(dir(StudioClient))
    monkeypatch.setattr("controller.client.StudioClient", Client)
    command.checks(sheet=tmp_path / "sheet.jpg")
    told = capsys.readouterr().out
    assert told.startswith(f"{take}: ")
    for name in ("sharpness", "clipping", "brightness", "face"):
        assert name in told
    assert (tmp_path / "sheet.jpg").stat().st_size > 1000
