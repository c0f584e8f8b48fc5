"""Routes by which a browser signs in and out. Nobody is asked for a role here; all of it is bounded and slowed down."""

from typing import Any

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import JSONResponse
from pydantic import Field

from controller.accounts.accounts_desk import AccountsDesk
from controller.accounts.answer_headers import drop_session, set_session
from controller.accounts.passkey_ceremonies import PasskeyRefused, Place
from controller.accounts.passwords import PasswordRefused
from controller.accounts.roles import VISITOR, Visitor, require, visitor_of
from controller.accounts.sign_in import SignedIn, SignInRefused, TooManyTries
from controller.api.request_body import Body
from controller.studio import Studio
from db.errors import NotFound, RecordError

LONGEST_TOKEN = 200
LONGEST_PASSWORD = 1000


class PasswordBody(Body):
    """A sign-in by password."""

    name: str = Field(max_length=100)
    password: str = Field(max_length=LONGEST_PASSWORD)


class PasskeyBody(Body):
    """What navigator.credentials gave, as JSON."""

    credential: dict[str, Any]


class LinkBody(Body):
    """A link's token: what comes after the # of its address, so that no server's log has it."""

    token: str = Field(max_length=LONGEST_TOKEN)


class OpenLinkBody(LinkBody):
    """A link that is opened, with what the person has chosen."""

    name: str = Field(default="", max_length=100)
    password: str = Field(default="", max_length=LONGEST_PASSWORD)


def address_of(request: Request) -> str:
    """Where the browser is."""
    return request.client.host if request.client else ""


def place_of(request: Request) -> Place:
    """How the browser sees the console; the gate has looked at the name."""
    host = request.headers.get("host", "").lower()
    return Place(host.rsplit(":", 1)[0] if ":" in host.rpartition("]")[2] else host, f"{request.url.scheme}://{host}")


def sign_in_router(studio: Studio) -> APIRouter:
    """Everything under /sign-in that is no page, and /api/me/sign-out."""
    api = APIRouter()
    desk = studio.accounts

    @api.get("/sign-in/standing", dependencies=[require("anyone")])
    def standing(request: Request) -> dict[str, Any]:
        """Whether this browser is signed in; nothing of anybody."""
        return {"signed_in": request.scope.get(VISITOR) is not None}

    @api.post("/sign-in/password", dependencies=[require("anyone")])
    def by_password(body: PasswordBody, request: Request) -> JSONResponse:
        try:
            opened = desk.sign_in.by_password(body.name, body.password, address_of(request), _former(request))
        except SignInRefused as error:
            raise _refused(error) from error
        return _signed_in(desk, opened, request)

    @api.post("/sign-in/passkey/ask", dependencies=[require("anyone")])
    def ask_passkey(request: Request) -> dict[str, Any]:
        return desk.sign_in.ask_passkey(place_of(request))

    @api.post("/sign-in/passkey", dependencies=[require("anyone")])
    def by_passkey(body: PasskeyBody, request: Request) -> JSONResponse:
        where = (place_of(request), body.credential, address_of(request), _former(request))
        try:
            opened = desk.sign_in.by_passkey(*where)
        except (SignInRefused, PasskeyRefused) as error:
            raise _refused(error) from error
        return _signed_in(desk, opened, request)

    @api.post("/sign-in/link/look", dependencies=[require("anyone")])
    def look_at_link(body: LinkBody, request: Request) -> dict[str, Any]:
        try:
            found = desk.sign_in.look_at_link(body.token, address_of(request))
        except (SignInRefused, NotFound) as error:
            raise _refused(error) from error
        return {"kind": found.kind.value, "role": found.role.value, "name": found.name}

    @api.post("/sign-in/link", dependencies=[require("anyone")])
    def by_link(body: OpenLinkBody, request: Request) -> JSONResponse:
        given = (body.token, body.name, body.password, address_of(request), _former(request))
        try:
            opened = desk.sign_in.by_link(*given)
        except (SignInRefused, PasswordRefused, RecordError) as error:
            raise _refused(error) from error
        return _signed_in(desk, opened, request)

    @api.post("/api/me/sign-out", dependencies=[require("screen")])
    def sign_out(request: Request) -> JSONResponse:
        desk.sign_out(visitor_of(request))
        answer = JSONResponse({"signed_out": True}, headers={"Clear-Site-Data": '"cache"'})
        drop_session(answer, request.url.scheme == "https")
        return answer

    return api


def _former(request: Request) -> int | None:
    """The browser's session until now: it ends with the next one."""
    visitor = request.scope.get(VISITOR)
    return visitor.session_id if isinstance(visitor, Visitor) else None


def _signed_in(desk: AccountsDesk, opened: SignedIn, request: Request) -> JSONResponse:
    desk.sessions.forget()
    answer = JSONResponse({"person": opened.person, "role": opened.role.value})
    set_session(answer, opened.token, request.url.scheme == "https")
    return answer


def _refused(error: Exception) -> HTTPException:
    if isinstance(error, TooManyTries):
        return HTTPException(429, str(error), {"Retry-After": str(max(1, round(error.wait_s)))})
    return HTTPException(422 if isinstance(error, PasswordRefused | RecordError) else 401, str(error))
