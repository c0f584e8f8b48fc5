"""The console application: a page for the operator and a JSON API for the commands, on this machine only.

The page shows and changes nothing. The API wants the token that lies in the home, readable by its owner alone.
"""

import json
import os
import secrets
from pathlib import Path
from typing import Any

from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, PackageLoader, select_autoescape
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.staticfiles import StaticFiles

import controller.console
from common.files.atomic_write import write_whole
from controller.api.aside_routes import aside_router
from controller.api.authentication import AccessToken, AuthenticationMiddleware
from controller.api.camera_routes import camera_router
from controller.api.command_rules import CommandRules
from controller.api.connection_limits import silence_s
from controller.api.error_answers import ErrorAnswers
from controller.api.metrics_routes import metrics_router
from controller.api.rig_routes import preflight_data, rig_data, rig_router
from controller.api.rig_shot_routes import shot_router
from controller.api.screen_routes import screen_router
from controller.api.session_data import checked_session_data, take_data
from controller.api.session_routes import session_router
from controller.api.shutter_lag_routes import lag_router
from controller.api.take_check_routes import check_router, review_data
from controller.api.take_routes import take_router
from controller.api.trigger_routes import trigger_router
from controller.client import ADDRESS_FILE
from controller.console.stream.console_contacts import ConsoleContacts
from controller.console.stream.picture_routes import picture_router
from controller.console.stream.stream_routes import stream_router
from controller.console.stream.studio_stream import publish
from controller.metrics.scrape_token import ScrapeToken
from controller.metrics.studio_collector import ConsoleLoad
from controller.studio import Studio
from controller.trigger.trigger import Trigger
from db.models import SessionState

STATIC = Path(controller.console.__file__).parent / "static"


def write_address(home: Path, port: int) -> str:
    """Leave the port and a fresh token where the commands look (mode 0600), and return the token."""
    token = secrets.token_urlsafe(32)
    text = json.dumps({"port": port, "token": token, "pid": os.getpid()})
    write_whole(home / ADDRESS_FILE, text, mode=0o600, durable=False)
    return token


def make_console(
    studio: Studio, token: str, scrape: ScrapeToken | None = None, load: ConsoleLoad | None = None
) -> FastAPI:
    """The application. Every path under /api/ wants `Authorization: Bearer <token>`, before a body is read; so does a
    sheet, or one of the page's links to it, which hold for some minutes. /metrics takes `scrape` too."""
    app = FastAPI(title="Mien studio", docs_url=None, redoc_url=None, openapi_url=None)
    access = AccessToken(token)
    contacts = ConsoleContacts()
    trigger = app.state.trigger = Trigger(studio, contacts.silent_s)
    app.add_middleware(CommandRules, trigger=trigger)
    app.add_middleware(ErrorAnswers)
    app.add_middleware(AuthenticationMiddleware, guard=access)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "localhost"])
    page = Environment(loader=PackageLoader("controller"), autoescape=select_autoescape()).get_template("console.html")

    def authorised(request: Request) -> None:
        if not access.shown(request.headers):
            raise HTTPException(401, "the console's token is missing or wrong")

    guard = [Depends(authorised)]

    @app.get("/", response_class=HTMLResponse)
    def show() -> str:
        return page.render(**_page_data(studio), link=access.link)

    for router in (rig_router, camera_router, aside_router, session_router, take_router, lag_router, shot_router):
        app.include_router(router(studio, guard))
    app.include_router(check_router(studio, guard, access))
    app.include_router(metrics_router(studio, scrape, access.shown, load or ConsoleLoad()))
    publisher = app.state.publisher = publish(studio, trigger)
    app.include_router(trigger_router(trigger, guard))
    app.include_router(stream_router(publisher, contacts, guard, silence_s))
    app.include_router(screen_router(studio, guard))
    app.include_router(picture_router(studio, guard))
    app.mount("/static", StaticFiles(directory=STATIC))
    return app


def _page_data(studio: Studio) -> dict[str, Any]:
    """What the page shows: the rig, the open session, the last take and its review, the last preflight."""
    session, last = studio.open_session(), studio.last_take
    review = studio.review(last.take) if last and last.kept else None
    return {
        "rig": rig_data(studio),
        "session": checked_session_data(studio, session) if session else None,
        "last": take_data(last) if last else None,
        "review": review_data(review) if review else None,
        "preflight": preflight_data(studio.last_preflight) if studio.last_preflight else None,
        "paused": studio.sessions(SessionState.PAUSED),
        "limits": studio.rig.sync,
    }
