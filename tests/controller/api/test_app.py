"""The console: what the operator sees, what the commands get, and who is turned away."""

import asyncio
import json
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from patience import Patience
from typer.testing import CliRunner

from camera_nodes import wire
from controller.api.app import make_console, write_address
from controller.client import ADDRESS_FILE, StudioClient, StudioRefusal
from controller.commands.session_tables import print_warnings
from controller.errors import StudioUnreachable
from controller.rig_file import ExposureEntry, Rig, format_rig

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


def test_the_page_shows_nothing_to_whom_has_not_signed_in(home: Any, console: Any) -> None:
    studio, client = console
    studio.start_session(home.subject, "short")
    turned_away = client.get("/", headers={"Accept": "text/html"})
    assert (turned_away.status_code, turned_away.headers["location"]) == (303, "/sign-in")
    assert client.get("/").status_code == 401
    for page in ("/sign-in", "/link"):
        shown = client.get(page)
        assert shown.status_code == 200
        assert not {home.subject, "cam-01", studio.rig.name} & set(shown.text.replace("<", " ").split())
    assert studio.rig.name in client.get("/", headers=HEADERS).text


def test_errors_come_with_their_exit_code(home: Any, console: Any) -> None:
    studio, client = console
    assert client.get("/api/sessions/S999-1", headers=HEADERS).json()["exit_code"] == 4
    session = studio.start_session(home.subject, "short")
    answer = client.post(f"/api/sessions/{session}/fire", json={}, headers=HEADERS)
    assert (answer.status_code, answer.json()["exit_code"]) == (503, 3)
    assert "cam-00" in answer.json()["error"]
    assert client.post(f"/api/sessions/{session}/close", json={}, headers=HEADERS).json()["exit_code"] == 2
    assert client.post("/api/sessions", json={"subjct": "S001"}, headers=HEADERS).status_code == 422


class Asked(StudioClient):
    """The commands' client, with the application itself at the other end."""

    browser: Browser

    def __init__(self, _home: Path | None = None) -> None:
        """No address to look up."""

    def _call(self, method: str, path: str, body: Any, patience_s: float = 0.0) -> dict[str, Any]:
        del patience_s
        options = {} if body is None else {"json": body}
        return self.browser._ask(method, path, headers=HEADERS, **options).json()


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """command(browser, "rig", "status"): what it prints."""
    from controller.commands import rig, session

    monkeypatch.setattr("controller.client.StudioClient", Asked)
    monkeypatch.setenv("COLUMNS", "200")
    groups = {"rig": rig.app, "session": session.app}

    def run(browser: Browser, group: str, *words: str) -> str:
        monkeypatch.setattr(Asked, "browser", browser, raising=False)
        return CliRunner().invoke(groups[group], list(words)).stdout

    return run


def test_each_clocks_keeper_and_nodes_without_real_time_are_shown(
    console: Any, speaker: Callable[..., Any], command: Callable[..., str]
) -> None:
    studio, client = console
    first, second = speaker(studio, "cam-00"), speaker(studio, "cam-01")
    first.greet(capabilities=("realtime",))
    second.greet()
    clock = {"clock_uncertainty_ns": 120_000, "clock_offset_ns": -5_000_000, "clock_drift_ppb": 1500}
    told = {"state": "idle", "free_bytes": 1, "spooled": 0, "spooled_bytes": 0, **clock}
    first.say(wire.Status(camera="cam-00", clock_source="chrony", **told))
    second.say(wire.Status(camera="cam-01", **told))
    patience = Patience(20)
    while not all(camera.clock_source for camera in studio.cameras()) and patience.sleep():
        pass
    one, two = client.get("/api/rig", headers=HEADERS).json()["cameras"]
    assert (one["clock_source"], two["clock_source"]) == ("chrony", "pings")
    assert (one["clock_offset_ms"], one["clock_drift_ppm"], one["clock_uncertainty_ms"]) == (-5.0, 1.5, 0.12)
    assert (one["warnings"], two["warnings"]) == ([], ["its node fires without real-time scheduling"])
    assert (one["ready"], two["ready"]) == (True, True)
    table = command(client, "rig", "status")
    assert "0.12 ms chrony" in table
    assert "0.12 ms pings" in table
    assert "warning: its node fires without real-time scheduling (cam-01)" in table


def test_what_a_body_cannot_be_set_to_is_told_after_the_take_and_spoils_nothing(
    home: Any,
    rig_of: Callable[..., Rig],
    fleet: Any,
    tmp_path: Path,
    jpeg: Callable[..., bytes],
    command: Callable[..., str],
) -> None:
    """libgphoto2's own virtual camera has no ISO setting."""
    folder = tmp_path / "card"
    folder.mkdir()
    (folder / "one.jpg").write_bytes(jpeg(1))
    studio = home.open(replace(rig_of(1), exposure=ExposureEntry(iso="100")))
    fleet.start(studio, {"cam-00": f"gphoto2:virtual?photos={folder}"})
    studio.wait_for_cameras(60)
    studio.start_session(home.subject, "short")
    client = Browser(make_console(studio, TOKEN))
    told = "iso: this body has no such setting, '100' was not applied"
    assert f"warning: {told} (cam-00)" in command(client, "session", "fire")
    take = studio.last_take
    assert take.kept, take.message
    assert take.warnings == {"cam-00": told}


def test_many_cameras_with_one_warning_take_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    print_warnings({f"cam-{number:02d}": "no such setting" for number in range(68)} | {"cam-03": "chrony is off"})
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert lines[0].endswith("cam-08 and 59 more)")
    assert lines[1] == "  warning: chrony is off (cam-03)"


def test_the_answer_is_waited_for_as_long_as_the_caller_says(tmp_path: Path) -> None:
    class Slow(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            time.sleep(1.0)
            with suppress(OSError):
                self.send_response(200)
                self.end_headers()
                self.wfile.write(b"{}")

        def log_message(self, *_: Any) -> None:
            """Not to the tests' output."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Slow) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        (tmp_path / ADDRESS_FILE).write_text(json.dumps({"port": server.server_port, "token": "x"}))
        try:
            with pytest.raises(StudioUnreachable):
                StudioClient(tmp_path).post("/api/lag", 0.2, shots=5)
            assert StudioClient(tmp_path).post("/api/lag", 30.0, shots=200) == {}
        finally:
            server.shutdown()
            thread.join()


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
        patience = Patience(60)
        while not patience.spent():
            try:
                StudioClient(home.folder).get("/api/rig")
                break
            except StudioUnreachable:
                time.sleep(0.1)
        refused = command("session", "start", home.subject, "--protocol", "short")
        assert refused.returncode == 3
        assert f"mien session start {home.subject} --without cameras,calibration" in refused.stderr
        without = ("--without", "cameras,calibration")
        started = command("session", "start", home.subject, "--protocol", "short", *without, "--json")
        assert started.returncode == 0, started.stderr
        session = json.loads(started.stdout)["session"]
        fired = command("session", "fire")
        assert fired.returncode == 3
        assert "0 of 2 cameras are ready" in fired.stderr
        with pytest.raises(StudioRefusal) as refusal:
            StudioClient(home.folder).post(f"/api/sessions/{session}/accept", expression="smile")
        assert refusal.value.exit_code == 2
        assert command("rig", "preflight").returncode == 3
    finally:
        server.send_signal(signal.SIGINT)
        told = server.communicate(timeout=600)[1]
    assert "Controller's key" in told
    assert not (home.folder / ADDRESS_FILE).exists()
