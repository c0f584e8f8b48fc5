"""Routes of sessions as a whole: what `mien session` asks for to start, show, pause, resume, close and reopen one."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from fastapi import APIRouter
from fastapi.params import Depends
from pydantic import Field

from controller.accounts.roles import require
from controller.api.request_body import Body
from controller.api.session_data import checked_session_data, session_data
from controller.rig_file import DEFAULT_PROFILE
from controller.studio import Studio
from db.models import SessionState


class StartBody(Body):
    """A session's start."""

    subject: str
    protocol: str | None = None
    version: int | None = None
    profile: str = DEFAULT_PROFILE
    without: list[str] = Field(default_factory=list)  # names of what may lack; kept with the session
    consent_later: bool = False  # before the consent is recorded; kept with the session


class SkipBody(Body):
    """An expression that is skipped."""

    expression: str
    reason: str | None = None  # without one the expression is asked for again


class CloseBody(Body):
    """A session's end."""

    incomplete: bool = False
    keep: list[str] = Field(default_factory=list)  # of each whole take that nobody has accepted, by code
    drop: list[str] = Field(default_factory=list)
    keep_all: bool = False  # the last of each expression


def session_router(studio: Studio, guard: Sequence[Depends]) -> APIRouter:
    """/api/sessions and a session's own path; `guard`: what each request must pass."""
    api = APIRouter(prefix="/api/sessions", dependencies=guard)

    @api.get("", dependencies=[require("viewer")])
    def all_sessions() -> dict[str, Any]:
        return {"sessions": [asdict(line) for line in studio.sessions()]}

    @api.get("/open", dependencies=[require("viewer")])
    def open_session() -> dict[str, Any]:
        paused = [line.session for line in studio.sessions(SessionState.PAUSED)]
        return {"session": studio.open_session(), "paused": paused}

    @api.post("", dependencies=[require("operator")])
    def start(body: StartBody) -> dict[str, Any]:
        asked = (body.subject, body.protocol, body.version, body.profile)
        session = studio.begin_session(*asked, without=body.without, consent_later=body.consent_later)
        return session_data(studio.state_of(session))

    @api.get("/{session}", dependencies=[require("viewer")])
    def show_session(session: str) -> dict[str, Any]:
        farm = asdict(studio.hand_off(session))
        return checked_session_data(studio, session) | {"farm": farm}

    @api.post("/{session}/skip", dependencies=[require("operator")])
    def skip(session: str, body: SkipBody) -> dict[str, Any]:
        if body.reason is None:
            studio.unskip(session, body.expression)
        else:
            studio.skip(session, body.expression, body.reason)
        return session_data(studio.state_of(session))

    @api.post("/{session}/pause", dependencies=[require("operator")])
    def pause(session: str) -> dict[str, Any]:
        studio.pause_session(session)
        return session_data(studio.state_of(session))

    @api.post("/{session}/resume", dependencies=[require("operator")])
    def resume(session: str) -> dict[str, Any]:
        return session_data(studio.resume_session(session))

    @api.post("/{session}/close", dependencies=[require("operator")])
    def close(session: str, body: CloseBody) -> dict[str, Any]:
        handed = studio.close(
            session, incomplete=body.incomplete, keep=body.keep, drop=body.drop, keep_all=body.keep_all
        )
        return asdict(handed) | {"told": handed.lines()}

    @api.post("/{session}/reopen", dependencies=[require("operator")])
    def reopen(session: str) -> dict[str, Any]:
        studio.reopen(session)
        return session_data(studio.state_of(session))

    return api
