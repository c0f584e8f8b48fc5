"""The console: what the operator sees, what the commands get, and who is turned away."""

import asyncio
import json
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from controller.client import ADDRESS_FILE, Refusal, StudioClient
from controller.console import make_console, write_address
from controller.errors import StudioUnreachable
from controller.rig_file import Rig, format_rig

TOKEN = "secret-token"
HEADERS = {"Authorization": f"Bearer {TOKEN}"}


class Browser:
    """Requests to the application itself, without a socket."""

    def __init__(self, app: Any) -> None:
        self._app = app

    def _ask(self, method: str, path: str, **options: Any) -> httpx.Response:
        async def ask() -> httpx.Response:
            transport = httpx.ASGITransport(self._app)
            async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
                return await client.request(method, path, **options)

        return asyncio.run(ask())

    def get(self, path: str, **options: Any) -> httpx.Response:
        return self._ask("GET", path, **options)

    def post(self, path: str, **options: Any) -> httpx.Response:
        return self._ask("POST", path, **options)


@pytest.fixture
def console(home: Any, rig_of: Callable[..., Rig]) -> tuple[Any, Browser]:
    studio = home.open(rig_of(2))
    return studio, Browser(make_console(studio, TOKEN))


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer wrong"}, {"Authorization": TOKEN}])
def test_the_api_wants_the_token(console: Any, headers: dict[str, str]) -> None:
    _, client = console
    assert client.get("/api/rig", headers=headers).status_code == 401
    assert client.post("/api/sessions", json={"subject": "S001"}, headers=headers).status_code == 401


def test_another_hosts_name_is_turned_away(console: Any) -> None:
    _, client = console
    assert client.get("/", headers={"Host": "evil.example"}).status_code == 400


def test_the_page_names_missing_cameras_and_the_next_expression(home: Any, console: Any) -> None:
    studio, client = console
    assert "No session is open" in client.get("/").text
    session = studio.start_session(home.subject, "short")
    page = client.get("/").text
    assert "0 of 2 cameras ready" in page
    assert "cam-01" in page
    assert session in page
    assert "neutral" in page


def test_errors_come_with_their_exit_code(home: Any, console: Any) -> None:
    studio, client = console
    assert client.get("/api/sessions/S999-1", headers=HEADERS).json()["exit_code"] == 4
    session = studio.start_session(home.subject, "short")
    answer = client.post(f"/api/sessions/{session}/fire", json={}, headers=HEADERS)
    assert (answer.status_code, answer.json()["exit_code"]) == (503, 3)
    assert "cam-00" in answer.json()["error"]
    assert client.post(f"/api/sessions/{session}/close", json={}, headers=HEADERS).json()["exit_code"] == 2
    assert client.post("/api/sessions", json={"subjct": "S001"}, headers=HEADERS).status_code == 422


def test_the_token_is_for_its_owner_alone_and_new_every_time(tmp_path: Path) -> None:
    first = write_address(tmp_path, 5780)
    assert write_address(tmp_path, 5780) != first
    assert stat.S_IMODE((tmp_path / ADDRESS_FILE).stat().st_mode) == 0o600


def test_without_a_studio_the_commands_say_how_to_start_one(tmp_path: Path) -> None:
    with pytest.raises(StudioUnreachable, match="mien studio serve"):
        StudioClient(tmp_path)
    (tmp_path / ADDRESS_FILE).write_text(json.dumps({"port": 9, "token": "x"}))
    with pytest.raises(StudioUnreachable, match="mien studio serve"):
        StudioClient(tmp_path).get("/api/rig")


def test_the_served_studio_answers_the_commands(home: Any, rig_of: Callable[..., Rig]) -> None:
    """The server as a process of its own, from start to Ctrl-C; commands as an operator types them."""
    rig = rig_of(2)
    home.open(rig)
    home.stack.close()
    (home.folder / "rig.toml").write_text(format_rig(rig))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    (home.folder / "studio.toml").write_text(
        '[studio]\ncontrol = "tcp://127.0.0.1:*"\nbulk = "tcp://127.0.0.1:*"\n' + f"console_port = {port}\n"
    )
    mien = [sys.executable, "-m", "mien"]
    server = subprocess.Popen([*mien, "studio", "serve", "--home", str(home.folder)], stderr=subprocess.PIPE, text=True)

    def command(*words: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run([*mien, *words, "--home", str(home.folder)], capture_output=True, text=True, check=False)

    try:
        end = time.monotonic() + 60
        while time.monotonic() < end:
            try:
                StudioClient(home.folder).get("/api/rig")
                break
            except StudioUnreachable:
                time.sleep(0.1)
        started = command("session", "start", home.subject, "--protocol", "short", "--json")
        assert started.returncode == 0, started.stderr
        session = json.loads(started.stdout)["session"]
        fired = command("session", "fire")
        assert fired.returncode == 3
        assert "0 of 2 cameras are ready" in fired.stderr
        with pytest.raises(Refusal) as refusal:
            StudioClient(home.folder).post(f"/api/sessions/{session}/accept", expression="smile")
        assert refusal.value.exit_code == 2
        assert command("rig", "preflight").returncode == 3
    finally:
        server.send_signal(signal.SIGINT)
        told = server.communicate(timeout=30)[1]
    assert "Controller's key" in told
    assert not (home.folder / ADDRESS_FILE).exists()
