"""The console's paths about sessions: what `mien session` asks for, as JSON."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from fastapi import APIRouter, HTTPException
from fastapi.params import Depends
from pydantic import BaseModel, ConfigDict

from controller.api.take_check_routes import add_checks
from controller.rig_file import DEFAULT_PROFILE
from controller.sessions.session_state import ExpressionState, SessionStateMachine, TakeLine
from controller.studio import Studio
from controller.takes.take_result import TakeResult
from db.consents.capture_consent import CaptureConsent
from db.models import SessionState, TakeState


class Body(BaseModel):
    """Bodies of requests; an unknown field is refused."""

    model_config = ConfigDict(extra="forbid")


class StartBody(Body):
    """`without`: names of what may lack; `consent_later`: before the consent is recorded. Both are kept."""

    subject: str
    protocol: str | None = None
    version: int | None = None
    profile: str = DEFAULT_PROFILE
    without: list[str] = []
    consent_later: bool = False


class TakeBody(Body):
    """`shown`: without an expression, what was shown as next; nothing is fired when another one is by now."""

    expression: str | None = None
    profile: str | None = None
    wait: bool = True
    shown: str | None = None


class AcceptBody(Body):
    """`take`: exactly this one. `expression`: the take that is shown for it. Neither: the one that waits.

    `without`: cameras whose photographs are missing; the last take is kept all the same, for the reason.
    """

    take: str | None = None
    expression: str | None = None
    without: list[str] = []
    reason: str = ""


class ChooseBody(Body):
    take: str


class UndoBody(Body):
    """Without a take: the session's last decision."""

    take: str | None = None


class ReassignBody(Body):
    take: str
    expression: str


class CalibrateBody(Body):
    """Without a take: all of the session that have none. Without a version: of each the nearest in time."""

    take: str | None = None
    version: int | None = None


class SkipBody(Body):
    """Without a reason the expression is asked for again."""

    expression: str
    reason: str | None = None


class CloseBody(Body):
    """`keep`, `drop`: of each whole take that nobody has accepted, by code. `keep_all`: the last of each expression."""

    incomplete: bool = False
    keep: list[str] = []
    drop: list[str] = []
    keep_all: bool = False


def take_data(result: TakeResult) -> dict[str, Any]:
    return asdict(result) | {"kept": result.kept, "coming_in": result.coming_in}


def _line_data(take: TakeLine) -> dict[str, Any]:
    return asdict(take) | {"state": take.state.value, "standing": take.standing, "flagged": take.flagged}


def script_data(script: SessionStateMachine) -> dict[str, Any]:
    """A session as the page and the commands have it. `next` is what a fire without a name fires.

    `shown` of an expression: the take that its name means to `accept`. `undecided`: whole takes that wait.
    """
    following = script.next_expression()
    later = script.consent_later
    return {
        "session": script.session,
        "subject": script.subject,
        "state": script.state.value,
        "profile": script.profile,
        "next": following.name if following else None,
        "undecided": [take.code for take in script.undecided()],
        "consent": {
            "standing": script.consent,
            "later": asdict(later) if later else None,
            "told": consent_told(script),
        },
        "without": dict(script.without),
        "expressions": [_expression_data(script, line) for line in script.expressions],
    }


def _expression_data(script: SessionStateMachine, line: ExpressionState) -> dict[str, Any]:
    shown = script.shown(line.position)
    return {
        "position": line.position,
        "name": line.name,
        "instruction": line.instruction,
        "reference": script.reference(line.position),
        "skipped": script.skipped.get(line.position),
        "shown": shown.code if shown else None,
        "takes": [_line_data(take) for take in script.takes_of(line.position)],
    }


def consent_told(script: SessionStateMachine) -> str:
    """What the operator is told of the consent; "" when all is well."""
    if script.consent == CaptureConsent.WITHDRAWN:
        return (
            f"{script.subject} has withdrawn its consent: nothing more is fired or accepted; what was fired is in "
            f"quarantine. To end:  mien session close {script.session} --incomplete"
        )
    if script.consent == CaptureConsent.GIVEN:
        return ""
    later = script.consent_later
    begun = f"begun by {later.by} at {later.at:%Y-%m-%d %H:%M} UTC before that; " if later else ""
    return f"no consent of {script.subject} is recorded that counts today: {begun}nothing is handed off until it is"


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
        asked = (body.subject, body.protocol, body.version, body.profile)
        session = studio.begin_session(*asked, without=body.without, consent_later=body.consent_later)
        return script_data(studio.script(session))

    @api.get("/{session}")
    def show_session(session: str) -> dict[str, Any]:
        farm = asdict(studio.decisions.hand_off(session))
        return add_checks(studio.engine, script_data(studio.script(session))) | {"farm": farm}

    @api.post("/{session}/fire")
    def fire(session: str, body: TakeBody) -> dict[str, Any]:
        fired = studio.fire(session, body.expression, profile=body.profile, wait=body.wait, shown=body.shown)
        return take_data(fired)

    @api.post("/{session}/retake")
    def retake(session: str, body: TakeBody) -> dict[str, Any]:
        if body.expression is None:
            raise HTTPException(422, "say which expression to take again")
        return take_data(studio.fire(session, body.expression, retake=True, profile=body.profile, wait=body.wait))

    @api.post("/{session}/accept")
    def accept(session: str, body: AcceptBody) -> dict[str, Any]:
        wanted = body.take or body.expression
        return decided(session, studio.accept(session, wanted, without=body.without, reason=body.reason))

    @api.post("/{session}/choose")
    def choose(session: str, body: ChooseBody) -> dict[str, Any]:
        return decided(session, studio.choose(session, body.take))

    def decided(session: str, take: TakeLine) -> dict[str, Any]:
        script = studio.script(session)
        beside = [t.code for t in script.takes_of(take.position) if t.state is TakeState.SUPERSEDED]
        return {
            "take": take.code,
            "state": take.state.value,
            "flags": take.problem if take.flagged else None,
            "beside": beside,
            "next": script_data(script)["next"],
            "undecided": script_data(script)["undecided"],
        }

    @api.post("/{session}/undo")
    def undo(session: str, body: UndoBody) -> dict[str, Any]:
        take = None
        if body.take is not None and (found := studio.script(session).find_take(body.take)) is not None:
            take = found.code
        elif body.take is not None:
            raise HTTPException(422, "say which take, by its code")
        undone = studio.decisions.undo(session, take)
        return script_data(studio.script(session)) | {"undone": asdict(undone)}

    @api.post("/{session}/reassign")
    def reassign(session: str, body: ReassignBody) -> dict[str, Any]:
        given = studio.decisions.reassign(studio.script(session), body.take, body.expression)
        return script_data(studio.script(session)) | {"reassigned": asdict(given)}

    @api.post("/{session}/calibrate")
    def calibrate(session: str, body: CalibrateBody) -> dict[str, Any]:
        served = studio.decisions.calibrate(session, body.take, body.version)
        return {"session": session, "served": [asdict(one) for one in served]}

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
        handed = studio.close(
            session, incomplete=body.incomplete, keep=body.keep, drop=body.drop, keep_all=body.keep_all
        )
        return asdict(handed) | {"told": handed.lines()}

    @api.post("/{session}/reopen")
    def reopen(session: str) -> dict[str, Any]:
        studio.decisions.reopen(session)
        return script_data(studio.script(session))

    return api
