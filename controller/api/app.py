"""The console application: the operators' page and a JSON API, which the commands use too; behind one gate."""

import json
import os
import secrets
from collections.abc import Sequence
from pathlib import Path

from fastapi import FastAPI
from fastapi.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from common.files.atomic_write import write_whole
from controller.accounts.bearers import SCRAPER, Bearer, owner_of
from controller.accounts.gate import Gate
from controller.accounts.roles import require
from controller.api.account_routes import accounts_router, own_account_router
from controller.api.aside_routes import aside_router
from controller.api.camera_routes import camera_router
from controller.api.connection_limits import silence_s
from controller.api.metrics_routes import metrics_router
from controller.api.rig_routes import rig_router
from controller.api.rig_shot_routes import shot_router
from controller.api.session_routes import session_router
from controller.api.shutter_lag_routes import lag_router
from controller.api.sign_in_routes import sign_in_router
from controller.api.take_check_routes import check_router
from controller.api.take_routes import take_router
from controller.client import ADDRESS_FILE
from controller.console.page_routes import add_page
from controller.console.stream.picture_routes import picture_router
from controller.console.stream.stream_routes import stream_router
from controller.console.stream.studio_stream import publish
from controller.metrics.scrape_token import ScrapeToken
from controller.metrics.studio_collector import ConsoleLoad
from controller.studio import Studio

HTTP_STATUS = {2: 409, 3: 503, 4: 422}


def write_address(home: Path, port: int) -> str:
    """Leave the port and a fresh token where the commands look (mode 0600), and return the token."""
    token = secrets.token_urlsafe(32)
    text = json.dumps({"port": port, "token": token, "pid": os.getpid()})
    write_whole(home / ADDRESS_FILE, text, mode=0o600, durable=False)
    return token


def make_console(
    studio: Studio,
    token: str,
    scrape: ScrapeToken | None = None,
    load: ConsoleLoad | None = None,
    names: Sequence[str] = (),
) -> FastAPI:
    """The application, behind its gate. A route declares the least role that it wants; without one it answers nobody.

    token: who shows it is the home's owner, a manager. scrape: who shows it may ask for /metrics alone. names: of this
    machine in the network, besides loopback's, its address first.
    """
    app = FastAPI(title="Mien studio", docs_url=None, redoc_url=None, openapi_url=None)
    bearers = [owner_of(token)] if scrape is None else [owner_of(token), Bearer(scrape.shown, SCRAPER, "/metrics")]
    app.add_middleware(ErrorAnswers)
    app.add_middleware(Gate, console=app, sessions=studio.accounts.sessions, bearers=bearers, names=names)
    guard = [require("operator")]  # of a route that says nothing itself
    for router in (rig_router, camera_router, aside_router, session_router, take_router, lag_router, check_router):
        app.include_router(router(studio, guard))
    app.include_router(shot_router(studio, guard))
    for own in (sign_in_router, own_account_router, accounts_router):
        app.include_router(own(studio))
    app.include_router(metrics_router(studio, load or ConsoleLoad()))
    publisher = app.state.publisher = publish(studio)
    app.include_router(stream_router(publisher, guard, silence_s))
    app.include_router(picture_router(studio, guard))
    add_page(app, studio.rig.name, names[0] if names else "")
    return app


class ErrorAnswers:
    """ASGI middleware: an error that carries an exit code becomes an answer that carries it too."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        begun = False

        async def tell(message: Message) -> None:
            nonlocal begun
            begun = begun or message["type"] == "http.response.start"
            await send(message)

        try:
            await self._app(scope, receive, tell)
        except Exception as error:
            code = getattr(error, "exit_code", None)
            if code is None or begun or scope["type"] != "http":
                raise
            answer = JSONResponse({"error": str(error), "exit_code": code}, HTTP_STATUS.get(code, 500))
            await answer(scope, receive, send)
