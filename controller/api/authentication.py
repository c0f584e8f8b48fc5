"""Authentication of the console's requests: the token before the body, no more than a body may have, in time.

And what every answer says to browsers: show it in no frame, keep it nowhere, load nothing from elsewhere.
"""

import asyncio
import hashlib
import hmac
import json
import time
from collections.abc import Mapping
from urllib.parse import parse_qs

from starlette.types import ASGIApp, Message, Receive, Scope, Send

BODY_LIMIT = 256 * 1024  # bytes
BODY_S = 10.0
LINK_S = 600.0
HEADERS = {
    b"content-security-policy": (
        b"default-src 'self'; style-src 'self' 'unsafe-inline'; object-src 'none'; base-uri 'none'; "
        b"form-action 'self'; frame-ancestors 'none'"
    ),
    b"x-frame-options": b"DENY",
    b"x-content-type-options": b"nosniff",
    b"referrer-policy": b"no-referrer",
    b"cache-control": b"no-store",
}


class AccessToken:
    """Who may pass: whoever shows the token, or follows a link that the page was given lately."""

    def __init__(self, token: str) -> None:
        self._token = token

    def shown(self, headers: Mapping[str, str]) -> bool:
        """Whether a request's headers hold the token."""
        given = headers.get("authorization", "")
        return hmac.compare_digest(given.encode(), f"Bearer {self._token}".encode())

    def link(self, path: str) -> str:
        """`path` with a seal: whoever has it may fetch that for some minutes, as an <img> cannot show a token."""
        until = int(time.time() + LINK_S)
        return f"{path}?until={until}&seal={self._seal(path, until)}"

    def sealed(self, path: str, query: str) -> bool:
        """Whether a link's seal is of this path and has not run out."""
        given = parse_qs(query)
        until, seal = given.get("until", [""])[0], given.get("seal", [""])[0]
        if not (until.isascii() and until.isdigit() and len(until) < 12 and int(until) >= time.time()):
            return False
        return hmac.compare_digest(seal.encode(), self._seal(path, int(until)).encode())

    def _seal(self, path: str, until: int) -> str:
        return hmac.new(self._token.encode(), f"{path} {until}".encode(), hashlib.sha256).hexdigest()


class AuthenticationMiddleware:
    """ASGI middleware before everything that reads a request's body."""

    def __init__(self, app: ASGIApp, guard: AccessToken) -> None:
        self._app = app
        self._guard = guard

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        if scope["path"].startswith("/api/") and not self._guard.shown(headers):
            await _refuse(send, 401, "the console's token is missing or wrong")
            return
        announced = headers.get("content-length", "0")
        if not announced.isdigit() or int(announced) > BODY_LIMIT:
            await _refuse(send, 413, f"a request has at most {BODY_LIMIT // 1024} KiB")
            return
        try:
            body = await asyncio.wait_for(_whole(receive), BODY_S)
        except TimeoutError:
            await _refuse(send, 408, "the request did not come whole in time")
            return
        if body is None:
            await _refuse(send, 413, f"a request has at most {BODY_LIMIT // 1024} KiB")
            return
        given = iter([{"type": "http.request", "body": body, "more_body": False}])

        async def again() -> Message:
            return next(given, None) or await receive()

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                present = {name.lower() for name, _ in message["headers"]}
                message["headers"] = [*message["headers"], *((k, v) for k, v in HEADERS.items() if k not in present)]
            await send(message)

        await self._app(scope, again, answer)


async def _whole(receive: Receive) -> bytes | None:
    """The body; None when it is longer than may be, and what is over is not read."""
    body = bytearray()
    while True:
        message = await receive()
        body += message.get("body", b"")
        if len(body) > BODY_LIMIT:
            return None
        if message["type"] != "http.request" or not message.get("more_body", False):
            return bytes(body)


async def _refuse(send: Send, status: int, why: str) -> None:
    body = json.dumps({"detail": why}).encode()
    headers = [
        (b"content-type", b"application/json"), (b"content-length", str(len(body)).encode()), (b"connection", b"close"),
        *HEADERS.items(),
    ]  # fmt: skip
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
