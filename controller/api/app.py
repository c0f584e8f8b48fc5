"""The console application: the operators' page and a JSON API, which the commands use too; behind one gate."""

import json
import os
import secrets
from collections.abc import Sequence
from pathlib import Path

from fastapi import FastAPI

from common.files.atomic_write import write_whole
from controller.accounts.bearers import SCRAPER, Bearer, owner_of
from controller.accounts.gate import Gate
from controller.accounts.roles import require
from controller.api.account_routes import accounts_router, own_account_router
from controller.api.artefact_routes import artefact_router
from controller.api.aside_routes import aside_router
from controller.api.camera_routes import camera_router
from controller.api.command_rules import CommandRules
from controller.api.connection_limits import silence_s
from controller.api.error_answers import ErrorAnswers
from controller.api.farm_routes import farm_router
from controller.api.metrics_routes import metrics_router
from controller.api.release_routes import release_router
from controller.api.rig_routes import rig_router
from controller.api.rig_shot_routes import shot_router
from controller.api.scan_routes import scan_router
from controller.api.screen_routes import screen_router
from controller.api.session_choice_routes import session_choice_router
from controller.api.session_routes import session_router
from controller.api.shutter_lag_routes import lag_router
from controller.api.sign_in_routes import sign_in_router
from controller.api.subject_routes import subject_router
from controller.api.take_check_routes import check_router
from controller.api.take_routes import take_router
from controller.api.trigger_routes import trigger_router
from controller.client import ADDRESS_FILE
from controller.console.page_routes import add_page
from controller.console.stream.console_contacts import ConsoleContacts
from controller.console.stream.picture_routes import picture_router
from controller.console.stream.stream_routes import stream_router
from controller.console.stream.studio_stream import publish
from controller.metrics.scrape_token import ScrapeToken
from controller.metrics.studio_collector import ConsoleLoad
from controller.studio import Studio
from controller.trigger.trigger import Trigger


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
    contacts = ConsoleContacts()
    trigger = app.state.trigger = Trigger(studio, contacts.silent_s)
    app.add_middleware(CommandRules, trigger=trigger)
    app.add_middleware(ErrorAnswers)
    app.add_middleware(Gate, console=app, sessions=studio.accounts.sessions, bearers=bearers, names=names)
    see, run, manage = ([require(role)] for role in ("viewer", "operator", "manager"))
    guard = run  # of a route that says nothing itself
    app.include_router(session_choice_router(studio, see))  # before those that take a session's code
    for router in (rig_router, camera_router, aside_router, session_router, take_router, lag_router, check_router):
        app.include_router(router(studio, guard))
    app.include_router(shot_router(studio, guard))
    app.include_router(subject_router(studio, run, manage))
    app.include_router(farm_router(studio, see, run))
    app.include_router(artefact_router(studio, see))
    app.include_router(release_router(studio, see, manage))
    app.include_router(scan_router(studio, see))
    for own in (sign_in_router, own_account_router, accounts_router):
        app.include_router(own(studio))
    publisher = app.state.publisher = publish(studio, trigger)
    load = load or ConsoleLoad()
    load.streams = lambda: publisher.listeners
    app.include_router(metrics_router(studio, load))
    app.include_router(trigger_router(trigger, guard))
    app.include_router(stream_router(publisher, contacts, see, silence_s))
    app.include_router(screen_router(studio))
    app.include_router(picture_router(studio, see))
    add_page(app, studio.rig.name, names[0] if names else "")
    return app
