"""The console: a page for the operator and a JSON API for the commands, on this machine only.

The page shows and changes nothing. The API wants the token that lies in the home, readable by its owner alone.
"""

import hmac
import json
import os
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.responses import HTMLResponse, JSONResponse, Response
from jinja2 import Environment, PackageLoader, select_autoescape
from pydantic import BaseModel, ConfigDict
from starlette.middleware.trustedhost import TrustedHostMiddleware

from controller.client import ADDRESS_FILE
from controller.lag_report import LagBody, lag_data, shots_data
from controller.rig_file import DEFAULT_PROFILE
from controller.script import Script
from controller.studio import Studio, TakeResult

HTTP_STATUS = {2: 409, 3: 503, 4: 422}


class Body(BaseModel):
    """Bodies of requests; an unknown field is refused."""

    model_config = ConfigDict(extra="forbid")


class StartBody(Body):
    subject: str
    protocol: str | None = None
    version: int | None = None


class TakeBody(Body):
    expression: str | None = None


class CloseBody(Body):
    incomplete: bool = False


def write_address(home: Path, port: int) -> str:
    """Leave the port and a fresh token where the commands look (mode 0600), and return the token."""
    token = secrets.token_urlsafe(32)
    path = home / ADDRESS_FILE
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump({"port": port, "token": token, "pid": os.getpid()}, file)
    temporary.replace(path)
    return token


def take_data(result: TakeResult) -> dict[str, Any]:
    return asdict(result) | {"kept": result.kept}


def script_data(script: Script) -> dict[str, Any]:
    following = script.next_expression()
    return {
        "session": script.session,
        "subject": script.subject,
        "state": script.state.value,
        "next": following.name if following else None,
        "expressions": [
            {
                "position": line.position,
                "name": line.name,
                "instruction": line.instruction,
                "reference": script.reference(line.position),
                "takes": [asdict(take) | {"state": take.state.value} for take in script.takes_of(line.position)],
            }
            for line in script.expressions
        ],
    }


def rig_data(studio: Studio) -> dict[str, Any]:
    reports = studio.cameras()
    return {
        "rig": studio.rig.name,
        "ready": sum(report.ready for report in reports if report.view >= 0),
        "expected": len(studio.rig.cameras),
        "refused_messages": studio.link.refused_messages,
        "ingest_trouble": studio.ingest.trouble,
        "cameras": [asdict(report) for report in reports],
    }


def make_console(studio: Studio, token: str) -> FastAPI:
    """The application. Every path under /api/ wants `Authorization: Bearer <token>`."""
    app = FastAPI(title="Mien studio", docs_url=None, redoc_url=None, openapi_url=None)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "localhost"])
    page = Environment(loader=PackageLoader("controller"), autoescape=select_autoescape()).get_template("console.html")
    _answer_errors(app)

    def authorised(request: Request) -> None:
        given = request.headers.get("authorization", "")
        if not hmac.compare_digest(given.encode(), f"Bearer {token}".encode()):
            raise HTTPException(401, "the console's token is missing or wrong")

    guard = [Depends(authorised)]

    @app.get("/", response_class=HTMLResponse)
    def show() -> str:
        code = studio.records.open_session()
        last = studio.last_take
        return page.render(
            rig=rig_data(studio),
            script=script_data(studio.script(code)) if code else None,
            last=take_data(last) if last else None,
            limits=studio.rig.sync,
        )

    @app.get("/api/rig", dependencies=guard)
    def rig() -> dict[str, Any]:
        return rig_data(studio)

    @app.get("/api/sessions/open", dependencies=guard)
    def open_session() -> dict[str, Any]:
        return {"session": studio.records.open_session()}

    @app.post("/api/sessions", dependencies=guard)
    def start(body: StartBody) -> dict[str, Any]:
        return script_data(studio.script(studio.start_session(body.subject, body.protocol, body.version)))

    @app.get("/api/sessions/{session}", dependencies=guard)
    def show_session(session: str) -> dict[str, Any]:
        return script_data(studio.script(session))

    @app.post("/api/sessions/{session}/fire", dependencies=guard)
    def fire(session: str, body: TakeBody) -> dict[str, Any]:
        return take_data(studio.fire(session, body.expression))

    @app.post("/api/sessions/{session}/retake", dependencies=guard)
    def retake(session: str, body: TakeBody) -> dict[str, Any]:
        if body.expression is None:
            raise HTTPException(422, "say which expression to take again")
        return take_data(studio.retake(session, body.expression))

    @app.post("/api/sessions/{session}/accept", dependencies=guard)
    def accept(session: str, body: TakeBody) -> dict[str, Any]:
        take = studio.accept(session, body.expression)
        return {"take": take.code, "state": take.state.value, "next": script_data(studio.script(session))["next"]}

    @app.post("/api/sessions/{session}/close", dependencies=guard)
    def close(session: str, body: CloseBody) -> dict[str, Any]:
        return asdict(studio.close(session, incomplete=body.incomplete))

    @app.get("/api/lag", dependencies=guard)
    def lag(profile: str = DEFAULT_PROFILE) -> dict[str, Any]:
        return lag_data(studio, profile)

    @app.post("/api/lag", dependencies=guard)
    def measure_lag(body: LagBody) -> dict[str, Any]:
        return shots_data(studio, body)

    return app


def _answer_errors(app: FastAPI) -> None:
    """An error that carries an exit code becomes an answer that carries it too."""

    async def answer(request: Request, proceed: Callable[[Request], Awaitable[Response]]) -> Response:
        try:
            return await proceed(request)
        except Exception as error:
            code = getattr(error, "exit_code", None)
            if code is None:
                raise
            return JSONResponse({"error": str(error), "exit_code": code}, HTTP_STATUS.get(code, 500))

    app.middleware("http")(answer)
