"""The console's connections: who does not ask makes room, and nobody's body is read before the token."""

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from fastapi import FastAPI, Request
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.accounts.answer_headers import SECURITY_HEADERS
from controller.accounts.bearers import owner_of
from controller.accounts.browser_sessions import BrowserSessions
from controller.accounts.gate import BODY_LIMIT, Gate
from controller.accounts.roles import require
from controller.api import connection_limits
from db.engine import open_database

TOKEN = "the-token"


def guarded(folder: Path) -> FastAPI:
    """A page for anybody and a command for operators, which says how long its body was; behind the console's gate."""
    app = FastAPI()
    sessions = BrowserSessions(open_database(f"sqlite:///{folder / 'none.sqlite'}"))
    app.add_middleware(Gate, console=app, sessions=sessions, bearers=[owner_of(TOKEN)])

    @app.get("/", dependencies=[require("anyone")])
    def show() -> str:
        return "page"

    @app.post("/api/x", dependencies=[require("operator")])
    async def echo(request: Request) -> int:
        return len(await request.body())

    return app


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[int]:
    monkeypatch.setattr(connection_limits, "MOST", 8)
    monkeypatch.setattr(connection_limits, "ASK_S", 1.0)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()  # who comes before the server is there waits
        config = uvicorn.Config(
            guarded(tmp_path),
            log_config=None,
            lifespan="off",
            **connection_limits.server_options(),
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        yield listener.getsockname()[1]
        server.should_exit = True
        thread.join(20)


def gone(held: socket.socket) -> bool:
    try:
        return held.recv(1) == b""
    except ConnectionResetError:
        return True


@pytest.mark.parametrize("said", [b"", b"POST /api/x HTTP/1.1\r\nHost: localhost\r\n", b"G"])
def test_the_silent_and_the_slow_make_room(port: int, said: bytes) -> None:
    with ExitStack() as open_ones:
        held = []
        for _ in range(60):
            held.append(open_ones.enter_context(socket.create_connection(("127.0.0.1", port), timeout=10)))
            with suppress(ConnectionError):
                held[-1].sendall(said)
        assert httpx.get(f"http://127.0.0.1:{port}/", timeout=10).status_code == 200
        assert gone(held[0])  # the longest silent
        assert gone(held[-1])  # and the last, after its time to ask


def test_a_body_is_neither_read_before_the_token_nor_without_end(port: int) -> None:
    url = f"http://127.0.0.1:{port}/api/x"
    sent = 0

    def endless() -> Iterator[bytes]:
        nonlocal sent
        while sent < 200_000_000:
            sent += 65536
            yield bytes(65536)

    for headers, status in (({}, 401), ({"Authorization": f"Bearer {TOKEN}"}, 413)):
        sent = 0
        with suppress(httpx.TransportError):  # the answer was there before all was sent
            assert httpx.post(url, content=endless(), headers=headers, timeout=20).status_code == status
        assert sent < 50_000_000
    body = b"x" * BODY_LIMIT
    good = httpx.post(url, content=body, headers={"Authorization": f"Bearer {TOKEN}"}, timeout=20)
    assert (good.status_code, good.text) == (200, str(BODY_LIMIT))
    assert {name.decode() for name in SECURITY_HEADERS} <= set(good.headers)


def call(app: FastAPI, headers: list[tuple[bytes, bytes]], body: list[dict[str, Any]]) -> tuple[int, int]:
    """(status, messages of the body that were asked for)."""
    answers: list[dict[str, Any]] = []
    asked = 0

    async def receive() -> dict[str, Any]:
        nonlocal asked
        asked += 1
        return body[asked - 1] if asked <= len(body) else {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        answers.append(message)

    scope = {
        "type": "http", "path": "/api/x", "method": "POST", "headers": [(b"host", b"localhost"), *headers],
        "query_string": b"", "scheme": "http", "client": ("127.0.0.1", 1),
    }  # fmt: skip
    asyncio.run(app(scope, receive, send))
    return answers[0]["status"], asked


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> FastAPI:
    return guarded(tmp_path_factory.mktemp("gate"))


@settings(deadline=None)
@given(st.binary(max_size=60))
def test_no_other_token_passes(app: FastAPI, given_: bytes) -> None:
    if given_ != f"Bearer {TOKEN}".encode():
        status, asked = call(app, [(b"authorization", given_)], [])
        assert status in (401, 429)  # who tries many is told to go slower
        assert asked == 0


@pytest.mark.parametrize("length", [b"-1", b"1e3", b"99999999999", b"", "٣".encode()])
def test_a_length_that_is_none_is_refused_unread(app: FastAPI, length: bytes) -> None:
    told = call(app, [(b"authorization", b"Bearer the-token"), (b"content-length", length)], [])
    assert told == (413, 0)
