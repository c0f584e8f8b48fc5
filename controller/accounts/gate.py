"""The gate before everything of the console: whose request it is, whether its route is for them, how long it may be.

In this order, each before anything more is read: the host's name, the path, who asks, the route's role, the origin and
the session's own token of a command (CSRF), how often, the length. Then the body, bounded and in time; then the
application, which acts under that person's name.
"""

import asyncio
import hmac
import json
import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from http.cookies import CookieError, SimpleCookie
from urllib.parse import quote

from fastapi import FastAPI
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from controller.accounts.answer_headers import SECURITY_HEADERS, cookie_name, hsts
from controller.accounts.bearers import Bearer
from controller.accounts.browser_sessions import BrowserSessions
from controller.accounts.rate_limits import RequestLimit, StreamLimit
from controller.accounts.roles import VISITOR, Visitor, refusal
from controller.accounts.route_roles import PUBLIC_FILES, RouteRole, RouteRoles
from db.audit.acting_person import acting_as
from db.errors import RecordError

log = logging.getLogger(__name__)

BODY_LIMIT = 256 * 1024  # bytes
OPEN_BODY_LIMIT = 16 * 1024  # bytes of a request by nobody: a sign-in
BODY_S = 10.0
PASS_OVER_S = 1.0
STREAMS = "/stream"  # what begins so stays open
STREAMS_EACH, STREAMS_ALL = 6, 48
LOOK_S = 2.0  # how often a stream asks whether its session still stands
LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
SAFE = ("GET", "HEAD")
BY_ITSELF = "/view"  # what a page with live view asks for each second, whether anybody is there or not
_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9.-]+)(?::\d{1,5})?")
_PLAIN_PATH = re.compile(r"(?:/(?!\.\.?(?:/|$))[^/\\\x00-\x1f\x7f]*)+")
_MISSING = "sign in first, or show the token of the home's owner"


@dataclass
class Refusal(Exception):
    """An answer without the application."""

    status: int
    why: str
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class _Request:
    """What is read of a request before it is let in."""

    method: str
    path: str
    scheme: str
    host: str  # with its port, as it was sent
    headers: Mapping[str, str]
    address: str  # of who asks

    @property
    def origin(self) -> str:
        return f"{self.scheme}://{self.host}"

    @property
    def host_name(self) -> str:
        return re.sub(r":\d{1,5}$", "", self.host)


class Gate:
    """ASGI middleware around an application whose routes declare their roles.

    bearers: who may show a token; names: under which the console may be asked, besides loopback's.
    """

    def __init__(
        self,
        app: ASGIApp,
        console: FastAPI,
        sessions: BrowserSessions,
        bearers: Sequence[Bearer],
        names: Iterable[str] = (),
    ) -> None:
        self._app = app
        self._routes = RouteRoles(console)
        self._sessions = sessions
        self._bearers = bearers
        self._names = {*LOOPBACK, *(f"[{name}]" if ":" in name else name.lower() for name in names)}
        self._by_session = RequestLimit(per_s=300.0, burst=1200.0)  # live view of a rig is 136 pictures a second
        self._commands = RequestLimit(per_s=10.0, burst=60.0)
        self._by_address = RequestLimit(per_s=20.0, burst=200.0)
        self.streams = StreamLimit(STREAMS_EACH, STREAMS_ALL)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return
        request = _read(scope)
        secure = request.scheme == "https"
        try:
            visitor, route = await self._admit(request)
            body = await _body(request.headers, receive, BODY_LIMIT if visitor else OPEN_BODY_LIMIT)
        except Refusal as refused:
            await _pass_over(request.headers, receive)
            await _refuse(send, refused, secure)
            return
        except RecordError as error:
            log.error("a request cannot be let in: %s", error)
            await _refuse(send, Refusal(503, "the records cannot be read now; see the studio's log"), secure)
            return
        scope[VISITOR] = visitor
        given = iter([{"type": "http.request", "body": body, "more_body": False}])

        async def again() -> Message:
            return next(given, None) or await receive()

        guarded = _with_headers(send, secure, request.path.startswith(f"{PUBLIC_FILES}/"))
        with acting_as(None if visitor is None else visitor.person):
            if visitor is not None and route.path.startswith(STREAMS):
                await self._stream(scope, again, guarded, visitor, request)
            else:
                await self._app(scope, again, guarded)

    async def _admit(self, request: _Request) -> tuple[Visitor | None, RouteRole]:
        """Who asks, and for which route. Raises Refusal."""
        if not _HOST.fullmatch(request.host) or request.host_name not in self._names:
            raise Refusal(400, "this console is not known under that name")
        if not _PLAIN_PATH.fullmatch(request.path):
            raise Refusal(400, "no such address")
        visitor = await self._who(request)
        route = self._routes.find(request.method, request.path)
        if visitor is None and (route is None or route.least != "anyone"):
            self._often(self._by_address, request.address)
            raise _sign_in_first(request)
        if route is None or request.method not in route.methods:
            raise Refusal(404 if route is None else 405, "no such address")
        if route.least is None:
            log.error("%s declares no role: it answers nobody", route.path)
            raise Refusal(403, "this address declares no role: it answers nobody")
        if visitor is not None and not visitor.may(route.least):
            raise Refusal(403, refusal(visitor, route.least))
        if request.method not in SAFE:
            _require_same_origin(request, None if route.least == "anyone" else visitor)
        await self._count(request, visitor)
        return visitor, route

    async def _who(self, request: _Request) -> Visitor | None:
        """A program by its token, a person by the session's cookie, or nobody. Raises Refusal."""
        given = request.headers.get("authorization")
        if given is not None:
            for bearer in self._bearers:
                if bearer.shown(given) and bearer.only in ("", request.path):
                    return bearer.visitor
            self._often(self._by_address, request.address)
            raise Refusal(401, "the console's token is wrong")
        token = _cookie(request.headers.get("cookie", ""), cookie_name(request.scheme == "https"))
        if not token:
            return None
        if not self._sessions.is_known(token):
            self._often(self._by_address, request.address)
        return await self._sessions.find(token)

    async def _count(self, request: _Request, visitor: Visitor | None) -> None:
        if request.path.startswith(f"{PUBLIC_FILES}/"):
            return
        if visitor is None:
            self._often(self._by_address, request.address)
        elif visitor.session_id is not None:
            self._often(self._by_session, visitor.session_id)
            if request.method not in SAFE:
                self._often(self._commands, visitor.session_id)
                if not request.path.endswith(BY_ITSELF):
                    await self._sessions.touch(visitor)

    def _often(self, limit: RequestLimit, key: object) -> None:
        wait_s = limit.wait_s(key)
        if wait_s > 0:
            raise Refusal(429, "too many requests: slower, please", {"retry-after": str(max(1, round(wait_s)))})

    async def _stream(self, scope: Scope, receive: Receive, send: Send, visitor: Visitor, request: _Request) -> None:
        """One of the streams that may be open at a time, until its session ends."""
        with self.streams.one(visitor.session_id) as room:
            if not room:
                await _refuse(
                    send, Refusal(429, "too many streams are open: close a page", {"retry-after": "5"}), False
                )
                return
            answer = asyncio.ensure_future(self._app(scope, receive, send))
            try:
                while not answer.done():
                    await asyncio.wait([answer], timeout=LOOK_S)
                    if not answer.done() and not await self._stands(visitor, request):
                        answer.cancel()
                        with suppress(asyncio.CancelledError):
                            await answer
                        with suppress(Exception):  # whoever was listening may be gone
                            await send({"type": "http.response.body", "body": b"", "more_body": False})
                        return
                await answer
            finally:
                answer.cancel()

    async def _stands(self, visitor: Visitor, request: _Request) -> bool:
        if visitor.session_id is None:
            return True
        try:
            found = await self._who(request)
        except (Refusal, RecordError):
            return True  # it is asked again
        return found == visitor


def _read(scope: Scope) -> _Request:
    headers: dict[str, str] = {}
    for raw_name, raw in scope["headers"]:
        name, value = raw_name.decode("latin-1").lower(), raw.decode("latin-1")
        if name in headers and name != "cookie":
            value = f"{headers[name]}, {value}"  # two hosts, two lengths, two tokens are none
        elif name in headers:
            value = f"{headers[name]}; {value}"
        headers[name] = value
    client = scope.get("client")
    address = client[0] if client else ""
    return _Request(scope["method"], scope["path"], scope["scheme"], headers.get("host", "").lower(), headers, address)


def _cookie(header: str, name: str) -> str:
    """A cookie's value; "" for none, and for one that is there twice."""
    if len(re.findall(rf"(?:^|;)\s*{re.escape(name)}=", header)) != 1:
        return ""
    with suppress(CookieError):
        found = SimpleCookie(header).get(name)
        return "" if found is None else found.value
    return ""


def _sign_in_first(request: _Request) -> Refusal:
    page = request.method == "GET" and "text/html" in request.headers.get("accept", "")
    if not page or request.path.startswith(("/api/", STREAMS)):
        return Refusal(401, _MISSING)
    after = "" if request.path == "/" else f"?next={quote(request.path, safe='')}"
    return Refusal(303, "sign in first", {"location": f"/sign-in{after}"})


def _require_same_origin(request: _Request, visitor: Visitor | None) -> None:
    """A command comes from a page of this console, which shows what only such a page can know. Raises Refusal.

    visitor: whose session's token is wanted; None for a sign-in, whose page has none.
    """
    if visitor is not None and visitor.session_id is None:
        return  # the token in the header is what no other page has
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    if site not in (None, "same-origin") or origin not in (None, request.origin) or (site, origin) == (None, None):
        raise Refusal(403, "this command does not come from a page of this console")
    if visitor is not None:
        shown = request.headers.get("x-csrf-token", "")
        if not hmac.compare_digest(shown.encode(), visitor.csrf.encode()):
            raise Refusal(403, "this command does not show its session's own token: load the page again")


async def _body(headers: Mapping[str, str], receive: Receive, most: int) -> bytes:
    """The whole body. Raises Refusal for one that is too long, unread beyond that, or too slow."""
    announced = headers.get("content-length", "0")
    too_long = Refusal(413, f"a request has at most {most // 1024} KiB")
    if not (announced.isascii() and announced.isdigit()) or len(announced) > 12 or int(announced) > most:
        raise too_long
    try:
        body = await asyncio.wait_for(_whole(receive, most), BODY_S)
    except TimeoutError:
        raise Refusal(408, "the request did not come whole in time") from None
    if body is None:
        raise too_long
    return body


async def _pass_over(headers: Mapping[str, str], receive: Receive) -> None:
    """Let a short body that was announced come in, for a moment: who still sends it when we hang up reads no answer."""
    announced = headers.get("content-length", "")
    if announced.isascii() and announced.isdigit() and len(announced) < 6 and 0 < int(announced) <= OPEN_BODY_LIMIT:
        with suppress(TimeoutError):
            await asyncio.wait_for(_whole(receive, OPEN_BODY_LIMIT), PASS_OVER_S)


async def _whole(receive: Receive, most: int) -> bytes | None:
    """The body; None when it is longer than may be, and what is over is not read."""
    body = bytearray()
    while True:
        message = await receive()
        body += message.get("body", b"")
        if len(body) > most:
            return None
        if message["type"] != "http.request" or not message.get("more_body", False):
            return bytes(body)


def _with_headers(send: Send, secure: bool, public: bool) -> Send:
    """public: a file that anybody has, which a browser may keep as long as it asks whether it still is the same."""
    ours = {**SECURITY_HEADERS, **hsts(secure)} | ({b"cache-control": b"no-cache"} if public else {})

    async def answer(message: Message) -> None:
        if message["type"] == "http.response.start":
            present = {name.lower() for name, _ in message["headers"]}
            message["headers"] = [*message["headers"], *((k, v) for k, v in ours.items() if k not in present)]
        await send(message)

    return answer


async def _refuse(send: Send, refused: Refusal, secure: bool) -> None:
    body = json.dumps({"detail": refused.why}).encode()
    headers = [
        (b"content-type", b"application/json"), (b"content-length", str(len(body)).encode()), (b"connection", b"close"),
        *((name.encode(), value.encode("latin-1")) for name, value in refused.headers.items()),
        *SECURITY_HEADERS.items(), *hsts(secure).items(),
    ]  # fmt: skip
    await send({"type": "http.response.start", "status": refused.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
