"""Rules of every command that comes over HTTP, in one place: given once, not too late, by who holds the trigger."""

import re
import time
from collections.abc import Mapping

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from controller.api.error_answers import ErrorAnswers
from controller.errors import SessionError
from controller.trigger.idempotency import DoneOnce, KeptAnswer, fingerprint, require_fresh
from controller.trigger.trigger import Trigger
from controller.trigger.trigger_holder import Screen
from db.audit import audit_log

SAFE = ("GET", "HEAD", "OPTIONS")
HELD = re.compile(r"/api/sessions/[^/]+/(fire|retake|trigger|accept|choose|undo|reassign|skip|automatic)")
CONSOLE = re.compile(r"[0-9A-Za-z-]{1,64}")
KEY = re.compile(r"[!-~]{1,200}")
NOT_KEPT = (401, 403, 429)  # refused before anything was looked at


def screen_of(headers: Mapping[str, str]) -> Screen | None:
    """The page that asks, as its header X-Console says; None for a command without a page. Raises SessionError."""
    console = headers.get("x-console")
    if console is None:
        if "authorization" in headers:
            return None
        raise SessionError("This command does not say which screen it comes from (X-Console): load the page again")
    if not CONSOLE.fullmatch(console):
        raise SessionError("X-Console has to be 1 to 64 letters, digits and hyphens")
    return Screen(console, audit_log.actor())


class CommandRules:
    """ASGI middleware within the sign-in: whoever asks may do so."""

    def __init__(self, app: ASGIApp, trigger: Trigger) -> None:
        self._app = app
        self._answered = ErrorAnswers(app)
        self._trigger = trigger
        self._once = DoneOnce()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] in SAFE or not scope["path"].startswith("/api/"):
            await self._app(scope, receive, send)
            return
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        key, person = headers.get("idempotency-key"), audit_log.actor()
        if key is not None and not KEY.fullmatch(key):
            raise SessionError("Idempotency-Key has to be 1 to 200 visible ASCII characters")
        if key is None or not self._once.known(person, key):
            self._check(scope["path"], headers, person)
        if key is None:
            await self._app(scope, receive, send)
            return
        body = await _whole(receive)
        target = scope["path"] + "?" + scope.get("query_string", b"").decode("latin-1")
        answer = await self._once.answer(
            person, key, fingerprint(scope["method"], target, body), lambda: self._do(scope, receive, body)
        )
        await _send(send, answer)

    def _check(self, path: str, headers: Mapping[str, str], person: str) -> None:
        """Raises SessionError."""
        if (issued_at := headers.get("x-issued-at")) is not None:
            require_fresh(issued_at, time.time() * 1e3)
        found = HELD.fullmatch(path)
        if found is None:
            return
        screen = screen_of(headers)
        if screen is None:
            self._trigger.holder.note_command(found[1], person)
        else:
            self._trigger.holder.require(screen)

    async def _do(self, scope: Scope, receive: Receive, body: bytes) -> KeptAnswer:
        """The application's answer, whole."""
        given = iter([{"type": "http.request", "body": body, "more_body": False}])
        status, parts = 500, bytearray()
        headers: tuple[tuple[bytes, bytes], ...] = ()

        async def again() -> Message:
            return next(given, None) or await receive()

        async def keep(message: Message) -> None:
            nonlocal status, headers
            if message["type"] == "http.response.start":
                status, headers = message["status"], tuple(message["headers"])
            elif message["type"] == "http.response.body":
                parts.extend(message.get("body", b""))

        await self._answered(scope, again, keep)
        return KeptAnswer(status, headers, bytes(parts), kept=status not in NOT_KEPT)


async def _whole(receive: Receive) -> bytes:
    """The body; how long it may be is looked at before."""
    body = bytearray()
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body", False):
            return bytes(body)


async def _send(send: Send, answer: KeptAnswer) -> None:
    await send({"type": "http.response.start", "status": answer.status, "headers": list(answer.headers)})
    await send({"type": "http.response.body", "body": answer.body})
