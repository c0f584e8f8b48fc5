"""The console: a page for the operator and a JSON API for the commands, on this machine only.

The page shows and changes nothing. The API wants the token that lies in the home, readable by its owner alone.
"""

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
from starlette.middleware.trustedhost import TrustedHostMiddleware

from common.files.atomic_write import write_whole
from controller.api.aside_routes import aside_data, aside_paths
from controller.api.authentication import AccessToken, AuthenticationMiddleware
from controller.api.camera_routes import rig_paths
from controller.api.session_routes import Body, script_data, session_paths, take_data
from controller.api.shutter_lag_data import LagBody, lag_data, shots_data
from controller.api.take_check_routes import add_checks, check_paths, review_data
from controller.client import ADDRESS_FILE
from controller.preflight.preflight import Preflight
from controller.rig_file import DEFAULT_PROFILE
from controller.studio import Studio
from db.models import SessionState

HTTP_STATUS = {2: 409, 3: 503, 4: 422}


class PreflightBody(Body):
    profile: str = DEFAULT_PROFILE


def write_address(home: Path, port: int) -> str:
    """Leave the port and a fresh token where the commands look (mode 0600), and return the token."""
    token = secrets.token_urlsafe(32)
    text = json.dumps({"port": port, "token": token, "pid": os.getpid()})
    write_whole(home / ADDRESS_FILE, text, mode=0o600, durable=False)
    return token


def rig_data(studio: Studio) -> dict[str, Any]:
    reports = studio.cameras()
    return {
        "rig": studio.rig.name,
        "ready": sum(report.ready for report in reports if report.view >= 0),
        "expected": sum(not report.aside for report in reports if report.view >= 0),
        "aside": aside_data(studio)["aside"],
        "late": list(studio.late.told),
        "refused_messages": studio.link.refused_messages,
        "ingest_trouble": studio.ingest.trouble,
        "lights_trouble": studio.lights.trouble,
        "scene": studio.lights.scene if studio.lights.universes else None,
        "cameras": [asdict(report) | studio.care.overview(report.camera) for report in reports],
    }


def preflight_data(found: Preflight) -> dict[str, Any]:
    return asdict(found) | {"ready": found.ready}


def make_console(studio: Studio, token: str) -> FastAPI:
    """The application. Every path under /api/ wants `Authorization: Bearer <token>`, before a body is read; so does a
    sheet, or one of the page's links to it, which hold for some minutes."""
    app = FastAPI(title="Mien studio", docs_url=None, redoc_url=None, openapi_url=None)
    door = AccessToken(token)
    app.add_middleware(AuthenticationMiddleware, guard=door)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "localhost"])
    page = Environment(loader=PackageLoader("controller"), autoescape=select_autoescape()).get_template("console.html")
    _answer_errors(app)

    def authorised(request: Request) -> None:
        if not door.shown(request.headers):
            raise HTTPException(401, "the console's token is missing or wrong")

    guard = [Depends(authorised)]

    @app.get("/", response_class=HTMLResponse)
    def show() -> str:
        code = studio.records.open_session()
        last = studio.last_take
        review = studio.reviewer.result(last.take) if last and last.kept else None
        return page.render(
            rig=rig_data(studio),
            script=add_checks(studio.engine, script_data(studio.script(code))) if code else None,
            last=take_data(last) if last else None,
            review=review_data(review) if review else None,
            preflight=preflight_data(studio.last_preflight) if studio.last_preflight else None,
            paused=studio.sessions.sessions(SessionState.PAUSED),
            limits=studio.rig.sync,
            link=door.link,
        )

    @app.get("/api/rig", dependencies=guard)
    def rig() -> dict[str, Any]:
        return rig_data(studio)

    @app.post("/api/preflight", dependencies=guard)
    def preflight(body: PreflightBody) -> dict[str, Any]:
        return preflight_data(studio.preflight(body.profile))

    app.include_router(rig_paths(studio, guard))
    app.include_router(aside_paths(studio, guard))
    app.include_router(session_paths(studio, guard))
    app.include_router(check_paths(studio.reviewer, studio.engine, studio.store, guard, door))

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
