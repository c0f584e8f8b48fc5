"""The console's connections: who does not ask makes room, and nobody's body is read before the token."""

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from typing import Any

import httpx
import pytest
import uvicorn
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.api import connection_limits
from controller.api.authentication import BODY_LIMIT, HEADERS, AccessToken, AuthenticationMiddleware

TOKEN = "the-token"


async def echo(scope: Any, receive: Any, send: Any) -> None:
    body = (await receive())["body"] if scope["type"] == "http" else b""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": str(len(body)).encode()})


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    monkeypatch.setattr(connection_limits, "MOST", 8)
    monkeypatch.setattr(connection_limits, "ASK_S", 1.0)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()  # who comes before the server is there waits
        config = uvicorn.Config(
            AuthenticationMiddleware(echo, AccessToken(TOKEN)),
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
    assert {name.decode() for name in HEADERS} <= set(good.headers)


def call(headers: list[tuple[bytes, bytes]], body: list[dict[str, Any]]) -> tuple[int, int]:
    """(status, messages of the body that were asked for)."""
    answers: list[dict[str, Any]] = []
    asked = 0

    async def receive() -> dict[str, Any]:
        nonlocal asked
        asked += 1
        return body[asked - 1] if asked <= len(body) else {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        answers.append(message)

    scope = {"type": "http", "path": "/api/x", "method": "POST", "headers": headers, "query_string": b""}
    asyncio.run(AuthenticationMiddleware(echo, AccessToken(TOKEN))(scope, receive, send))
    return answers[0]["status"], asked


@settings(deadline=None)
@given(st.binary(max_size=60))
def test_no_other_token_passes(given_: bytes) -> None:
    if given_ != f"Bearer {TOKEN}".encode():
        assert call([(b"authorization", given_)], []) == (401, 0)


@pytest.mark.parametrize("length", [b"-1", b"1e3", b"99999999999", b"", "٣".encode()])
def test_a_length_that_is_none_is_refused_unread(length: bytes) -> None:
    told = call([(b"authorization", b"Bearer the-token"), (b"content-length", length)], [])
    assert told == (413, 0)


def test_a_link_of_the_page_opens_one_path_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    door = AccessToken(TOKEN)
    path, _, query = door.link("/sheets/ab.jpg").partition("?")
    assert door.sealed(path, query)
    assert not door.sealed("/sheets/cd.jpg", query)
    assert not AccessToken("another").sealed(path, query)
    for wrong in (
        "",
        "until=9&seal=",
        query.replace("until=", "until=9"),
        query.replace("until=", "until=-"),
        query[:-1],
    ):
        assert not door.sealed(path, wrong)
    monkeypatch.setattr("time.time", lambda: 1e11)
    assert not door.sealed(path, query)
