"""Routes of the trigger: fire after a countdown, abort it, and which screen holds it; as JSON."""

from collections.abc import Sequence
from typing import Any, Literal

from fastapi import APIRouter, HTTPException, Request
from fastapi.params import Depends
from pydantic import Field

from controller.accounts.roles import require
from controller.api.command_rules import screen_of
from controller.api.request_body import Body
from controller.trigger.countdown import LONGEST_S, FireWish
from controller.trigger.trigger import Trigger
from db.audit import audit_log


class TriggerBody(Body):
    """A fire after a countdown."""

    expression: str | None = None  # what is next by default
    shown: str | None = None  # without an expression, what was shown as next: nothing is fired when it is not by now
    retake: bool = False
    countdown_s: float = Field(default=3.0, ge=0, le=LONGEST_S)  # 0: at once


class AutomaticBody(Body):
    """Acceptance of takes by themselves."""

    on: bool


def trigger_router(trigger: Trigger, guard: Sequence[Depends]) -> APIRouter:
    """/api/trigger, and what it does to a session; `guard`: what each request must pass."""
    api = APIRouter(prefix="/api", dependencies=guard)

    @api.post("/sessions/{session}/trigger")
    def fire(session: str, body: TriggerBody, request: Request) -> dict[str, Any]:
        """Answers at once: what comes of it is in the stream."""
        wish = FireWish(session, body.expression, body.shown, body.retake)
        return trigger.fire(wish, body.countdown_s, audit_log.actor(), screen_of(request.headers))

    @api.post("/sessions/{session}/automatic")
    def automatic(session: str, body: AutomaticBody) -> dict[str, Any]:
        trigger.automatic.switch(session, body.on)
        return {"session": session, "automatic": trigger.automatic.on(session)}

    @api.get("/trigger", dependencies=[require("viewer")])
    def show() -> dict[str, Any]:
        return trigger.holder.section() | {"countdown": trigger.countdown.section()}

    @api.post("/trigger/abort")
    def abort() -> dict[str, Any]:
        return {"aborted": trigger.countdown.abort()}

    @api.post("/trigger/{what}")
    def change(what: Literal["take", "ask", "grant", "release"], request: Request) -> dict[str, Any]:
        screen = screen_of(request.headers)
        if screen is None:
            raise HTTPException(422, "say which screen asks, in the header X-Console")
        getattr(trigger.holder, what)(screen)
        return trigger.holder.section()

    return api
