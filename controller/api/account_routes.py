"""Routes of accounts: the own one for everybody, all of them for managers, the subject's screen for operators."""

from dataclasses import asdict
from datetime import datetime
from typing import Any, Literal

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import JSONResponse
from pydantic import Field

from controller.accounts.accounts_desk import AccountFacts
from controller.accounts.answer_headers import set_session
from controller.accounts.roles import require, visitor_of
from controller.accounts.sign_in import SignInRefused
from controller.api.request_body import Body
from controller.api.sign_in_routes import LONGEST_PASSWORD, address_of, place_of
from controller.studio import Studio
from db.models import ConsoleRole

LINK = "/link#{}"  # a link's page; a browser sends nobody what stands after the #


class AccountBody(Body):
    """A new account."""

    name: str = Field(max_length=100)
    role: Literal["viewer", "operator", "manager"]


class RoleBody(Body):
    """Another role."""

    role: Literal["viewer", "operator", "manager"]


class ChangeBody(Body):
    """Another password of one's own."""

    former: str = Field(max_length=LONGEST_PASSWORD)
    wanted: str = Field(max_length=LONGEST_PASSWORD)


class NewPasskeyBody(Body):
    """A passkey that a browser made."""

    credential: dict[str, Any]
    label: str = Field(default="", max_length=60)


def account_data(found: AccountFacts) -> dict[str, Any]:
    """An account for programs: nothing that opens it."""
    keys = [
        asdict(key) | {"created_at": _told(key.created_at), "last_used_at": _told(key.last_used_at)}
        for key in found.passkeys
    ]
    return asdict(found) | {"role": found.role.value, "passkeys": keys}


def _told(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat()


def own_account_router(studio: Studio) -> APIRouter:
    """/api/me: who asks, and what they change about their own account."""
    api = APIRouter(prefix="/api/me")
    desk = studio.accounts

    @api.get("", dependencies=[require("screen")])
    def me(request: Request) -> dict[str, Any]:
        visitor = visitor_of(request)
        own = desk.own(visitor)
        known = {"person": visitor.person, "role": visitor.role.value, "csrf": visitor.csrf}
        return known | {"account": None if own is None else account_data(own)}

    @api.post("/active", dependencies=[require("screen")])
    def active() -> dict[str, Any]:
        """Somebody is at the page; the gate has written it down."""
        return {"active": True}

    @api.post("/password", dependencies=[require("viewer")])
    def change_password(body: ChangeBody, request: Request) -> JSONResponse:
        try:
            token = desk.change_password(visitor_of(request), body.former, body.wanted, address_of(request))
        except SignInRefused as error:
            raise HTTPException(422, "The password until now is wrong, or it was tried too often") from error
        answer = JSONResponse({"changed": True})
        set_session(answer, token, request.url.scheme == "https")
        return answer

    @api.post("/passkeys/ask", dependencies=[require("viewer")])
    def ask_passkey(request: Request) -> dict[str, Any]:
        return desk.ask_passkey(visitor_of(request), place_of(request))

    @api.post("/passkeys", dependencies=[require("viewer")])
    def add_passkey(body: NewPasskeyBody, request: Request) -> dict[str, Any]:
        desk.add_passkey(visitor_of(request), place_of(request), body.credential, body.label)
        return {"added": True}

    @api.post("/passkeys/{number}/remove", dependencies=[require("viewer")])
    def remove_passkey(number: int, request: Request) -> dict[str, Any]:
        desk.remove_passkey(visitor_of(request), number)
        return {"removed": number}

    @api.post("/screen", dependencies=[require("operator")])
    def screen() -> dict[str, Any]:
        """A link that makes a browser the subject's screen."""
        return {"link": LINK.format(desk.screen_link())}

    return api


def accounts_router(studio: Studio) -> APIRouter:
    """/api/accounts: who may come in, for managers."""
    api = APIRouter(prefix="/api/accounts")
    desk = studio.accounts

    @api.get("", dependencies=[require("manager")])
    def all_accounts() -> dict[str, Any]:
        return {"accounts": [account_data(one) for one in desk.all()]}

    @api.post("", dependencies=[require("manager")])
    def add(body: AccountBody) -> dict[str, Any]:
        return {"link": LINK.format(desk.add(body.name, ConsoleRole(body.role)))}

    @api.post("/{name}/role", dependencies=[require("manager")])
    def set_role(name: str, body: RoleBody) -> dict[str, Any]:
        desk.set_role(name, ConsoleRole(body.role))
        return all_accounts()

    @api.post("/{name}/disable", dependencies=[require("manager")])
    def disable(name: str) -> dict[str, Any]:
        desk.set_disabled(name, True)
        return all_accounts()

    @api.post("/{name}/enable", dependencies=[require("manager")])
    def enable(name: str) -> dict[str, Any]:
        desk.set_disabled(name, False)
        return all_accounts()

    @api.post("/{name}/link", dependencies=[require("manager")])
    def link(name: str) -> dict[str, Any]:
        return {"link": LINK.format(desk.link(name))}

    @api.post("/{name}/sign-out", dependencies=[require("manager")])
    def sign_out(name: str) -> dict[str, Any]:
        return {"ended": desk.sign_out_everywhere(name)}

    return api
