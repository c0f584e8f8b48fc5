"""The console's paths about sessions: what `mien session` asks for, as JSON."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from fastapi import APIRouter, HTTPException
from fastapi.params import Depends
from pydantic import BaseModel, ConfigDict

from controller.quality.api import add_checks
from controller.rig_file import DEFAULT_PROFILE
from controller.script import Script, TakeLine
from controller.studio import Studio, TakeResult
from db.models import SessionState


class Body(BaseModel):
    """Bodies of requests; an unknown field is refused."""

    model_config = ConfigDict(extra="forbid")


class StartBody(Body):
    subject: str
    protocol: str | None = None
    version: int | None = None
    profile: str = DEFAULT_PROFILE


class TakeBody(Body):
    expression: str | None = None
    profile: str | None = None
    wait: bool = True


class AcceptBody(Body):
    """`without`: cameras whose photographs are missing; the last take is kept all the same, for the reason."""

    expression: str | None = None
    without: list[str] = []
    reason: str = ""


class SkipBody(Body):
    """Without a reason the expression is asked for again."""

    expression: str
    reason: str | None = None


class CloseBody(Body):
    incomplete: bool = False


def take_data(result: TakeResult) -> dict[str, Any]:
    return asdict(result) | {"kept": result.kept, "coming_in": result.coming_in}


def _line_data(take: TakeLine) -> dict[str, Any]:
    return asdict(take) | {"state": take.state.value, "flagged": take.flagged}


def script_data(script: Script) -> dict[str, Any]:
    following = script.next_expression()
    return {
        "session": script.session,
        "subject": script.subject,
        "state": script.state.value,
        "profile": script.profile,
        "next": following.name if following else None,
        "expressions": [
            {
                "position": line.position,
                "name": line.name,
                "instruction": line.instruction,
                "reference": script.reference(line.position),
                "skipped": script.skipped.get(line.position),
                "takes": [_line_data(take) for take in script.takes_of(line.position)],
            }
            for line in script.expressions
        ],
    }


def session_paths(studio: Studio, guard: Sequence[Depends]) -> APIRouter:
    """Everything under /api/sessions; `guard`: what each request must pass."""
    api = APIRouter(prefix="/api/sessions", dependencies=guard)

    @api.get("")
    def all_sessions() -> dict[str, Any]:
        return {"sessions": [asdict(line) for line in studio.sessions.sessions()]}

    @api.get("/open")
    def open_session() -> dict[str, Any]:
        paused = [line.session for line in studio.sessions.sessions(SessionState.PAUSED)]
        return {"session": studio.records.open_session(), "paused": paused}

    @api.post("")
    def start(body: StartBody) -> dict[str, Any]:
        session = studio.start_session(body.subject, body.protocol, body.version, body.profile)
        return script_data(studio.script(session))

    @api.get("/{session}")
    def show_session(session: str) -> dict[str, Any]:
        return add_checks(studio.engine, script_data(studio.script(session)))

    @api.post("/{session}/fire")
    def fire(session: str, body: TakeBody) -> dict[str, Any]:
        return take_data(studio.fire(session, body.expression, profile=body.profile, wait=body.wait))

    @api.post("/{session}/retake")
    def retake(session: str, body: TakeBody) -> dict[str, Any]:
        if body.expression is None:
            raise HTTPException(422, "say which expression to take again")
        return take_data(studio.fire(session, body.expression, retake=True, profile=body.profile, wait=body.wait))

    @api.post("/{session}/accept")
    def accept(session: str, body: AcceptBody) -> dict[str, Any]:
        take = studio.accept(session, body.expression, without=body.without, reason=body.reason)
        return {
            "take": take.code,
            "state": take.state.value,
            "flags": take.problem if take.flagged else None,
            "next": script_data(studio.script(session))["next"],
        }

    @api.post("/{session}/skip")
    def skip(session: str, body: SkipBody) -> dict[str, Any]:
        script = studio.script(session)
        if body.reason is None:
            studio.sessions.ask_again(script, body.expression)
        else:
            studio.sessions.skip(script, body.expression, body.reason)
        return script_data(studio.script(session))

    @api.post("/{session}/pause")
    def pause(session: str) -> dict[str, Any]:
        studio.sessions.pause(session)
        return script_data(studio.script(session))

    @api.post("/{session}/resume")
    def resume(session: str) -> dict[str, Any]:
        return script_data(studio.resume_session(session))

    @api.post("/{session}/close")
    def close(session: str, body: CloseBody) -> dict[str, Any]:
        return asdict(studio.close(session, incomplete=body.incomplete))

    return api
