"""Routes of a session's takes: what `mien session` asks for to fire, retake, accept, choose, undo and reassign them."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from fastapi import APIRouter, HTTPException
from fastapi.params import Depends
from pydantic import Field

from controller.accounts.roles import require
from controller.api.request_body import Body
from controller.api.session_data import decision_data, session_data, take_data
from controller.studio import Studio
from db.consents.capture_consent import CaptureConsent


class TakeBody(Body):
    """A fire."""

    expression: str | None = None  # what is next by default
    profile: str | None = None  # the session's by default
    wait: bool = True
    shown: str | None = None  # without an expression, what was shown as next: nothing is fired when it is not by now


class AcceptBody(Body):
    """A take that is accepted; without take and expression the one that waits."""

    take: str | None = None  # exactly this one
    expression: str | None = None  # the take that is shown for it
    without: list[str] = Field(default_factory=list)  # cameras whose photographs are missing: it is kept
    reason: str = ""  # why it is kept all the same


class ChooseBody(Body):
    """A whole take that is to stand for its expression."""

    take: str


class UndoBody(Body):
    """A decision that is taken back."""

    take: str | None = None  # the last about it; without one the session's last


class ReassignBody(Body):
    """A take that is given to another expression."""

    take: str
    expression: str


class CalibrateBody(Body):
    """A calibration that is given to takes."""

    take: str | None = None  # without one all of the session that have none
    version: int | None = None  # without one of each the nearest in time


def take_router(studio: Studio, guard: Sequence[Depends]) -> APIRouter:
    """Everything under /api/sessions/SESSION/ about its takes; `guard`: what each request must pass."""
    api = APIRouter(prefix="/api/sessions/{session}", dependencies=guard)

    @api.get("/takes/{take}/photographs", dependencies=[require("viewer")])
    def photographs(session: str, take: str) -> dict[str, Any]:
        """Hashes of a take's photographs by camera, for the page's pictures; none once the consent is withdrawn."""
        state = studio.state_of(session)
        found = state.find_take(take)
        if found is None:
            raise HTTPException(422, "say which take, by its code")
        shown = state.consent != CaptureConsent.WITHDRAWN
        return {"take": found.code, "photographs": studio.photographs_of(found.code) if shown else {}}

    @api.post("/fire", dependencies=[require("operator")])
    def fire(session: str, body: TakeBody) -> dict[str, Any]:
        fired = studio.fire(session, body.expression, profile=body.profile, wait=body.wait, shown=body.shown)
        return take_data(fired)

    @api.post("/retake", dependencies=[require("operator")])
    def retake(session: str, body: TakeBody) -> dict[str, Any]:
        if body.expression is None:
            raise HTTPException(422, "say which expression to take again")
        return take_data(studio.fire(session, body.expression, retake=True, profile=body.profile, wait=body.wait))

    @api.post("/accept", dependencies=[require("operator")])
    def accept(session: str, body: AcceptBody) -> dict[str, Any]:
        wanted = body.take or body.expression
        take = studio.accept(session, wanted, without=body.without, reason=body.reason)
        return decision_data(studio.state_of(session), take)

    @api.post("/choose", dependencies=[require("operator")])
    def choose(session: str, body: ChooseBody) -> dict[str, Any]:
        take = studio.choose(session, body.take)
        return decision_data(studio.state_of(session), take)

    @api.post("/undo", dependencies=[require("operator")])
    def undo(session: str, body: UndoBody) -> dict[str, Any]:
        take = None
        if body.take is not None and (found := studio.state_of(session).find_take(body.take)) is not None:
            take = found.code
        elif body.take is not None:
            raise HTTPException(422, "say which take, by its code")
        undone = studio.undo(session, take)
        return session_data(studio.state_of(session)) | {"undone": asdict(undone)}

    @api.post("/reassign", dependencies=[require("operator")])
    def reassign(session: str, body: ReassignBody) -> dict[str, Any]:
        given = studio.reassign(session, body.take, body.expression)
        return session_data(studio.state_of(session)) | {"reassigned": asdict(given)}

    @api.post("/calibrate", dependencies=[require("operator")])
    def calibrate(session: str, body: CalibrateBody) -> dict[str, Any]:
        served = studio.calibrate(session, body.take, body.version)
        return {"session": session, "served": [asdict(one) for one in served]}

    return api
