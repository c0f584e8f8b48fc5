"""Every route says who may; the guide's table says the same; what says nothing answers nobody."""

import asyncio
import fnmatch
import re
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from controller.accounts.bearers import owner_of
from controller.accounts.browser_sessions import BrowserSessions
from controller.accounts.gate import Gate
from controller.accounts.roles import require
from controller.accounts.route_roles import route_roles
from controller.api.app import make_console
from db.engine import open_database

GUIDE = Path(__file__).parents[3] / "docs" / "operators.md"
TOKEN = "the-token"
ROLES = {"anyone", "screen", "viewer", "operator", "manager"}


@pytest.fixture
def console(studio: Any) -> FastAPI:
    return make_console(studio, TOKEN)


def table() -> list[tuple[str, str, str]]:
    """The guide's table of roles: method, pattern of a path, role."""
    section = GUIDE.read_text().partition("### What each role may do")[2].partition("\n#")[0]
    rows = [line.strip("| ").split(" | ") for line in section.splitlines() if line.startswith("| ")]
    return [(*found, cells[2]) for cells in rows for found in re.findall(r"`(GET|POST) ([^`]+)`", cells[1])]


def test_every_route_declares_who_may(console: FastAPI) -> None:
    found = list(route_roles(console))
    assert len(found) > 50
    assert [route.path for route in found if route.least not in ROLES] == []
    open_to_all = {route.path for route in found if route.least == "anyone"}
    assert {path for path in open_to_all if not path.startswith("/sign-in")} == {"/link", "/static"}


def test_looking_changes_nothing_and_what_changes_is_for_operators(console: FastAPI) -> None:
    own = re.compile(r"/sign-in/|/api/me(/|$)|/api/subject-screen/(view|stop)$")
    for route in route_roles(console):
        if route.methods & {"POST", "PUT", "PATCH", "DELETE"} and not own.match(route.path):
            assert route.least in ("operator", "manager"), route.path


def test_the_guides_table_is_what_the_routes_declare(console: FastAPI) -> None:
    rows = table()
    assert len(rows) > 40
    told = {(method, route.path): route.least for route in route_roles(console) for method in route.methods}
    wrong = []
    for (method, path), least in told.items():
        roles = {role for wanted, pattern, role in rows if wanted == method and fnmatch.fnmatch(path, pattern)}
        if method in ("GET", "POST") and roles != {least}:
            wrong.append(f"{method} {path}: {least}, in the guide {sorted(roles)}")
    assert wrong == []
    unused = [row for row in rows if not any(m == row[0] and fnmatch.fnmatch(p, row[1]) for m, p in told)]
    assert unused == []


def test_a_route_that_declares_nothing_answers_nobody(tmp_path: Path) -> None:
    app = FastAPI()
    sessions = BrowserSessions(open_database(f"sqlite:///{tmp_path / 'none.sqlite'}"))
    app.add_middleware(Gate, console=app, sessions=sessions, bearers=[owner_of(TOKEN)])

    @app.get("/api/forgotten")
    def forgotten() -> str:
        raise AssertionError("it answered")

    @app.get("/api/said", dependencies=[require("manager")])
    def said() -> str:
        return "said"

    async def ask(path: str) -> int:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client:
            return (await client.get(path, headers={"Authorization": f"Bearer {TOKEN}"})).status_code

    assert asyncio.run(ask("/api/forgotten")) == 403
    assert asyncio.run(ask("/api/said")) == 200
    assert asyncio.run(ask("/api/unknown")) == 404


def test_an_application_without_its_gate_answers_nobody() -> None:
    app = FastAPI()

    @app.get("/api/said", dependencies=[require("anyone")])
    def said() -> str:
        return "said"

    async def ask() -> int:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client:
            return (await client.get("/api/said")).status_code

    assert asyncio.run(ask()) == 401
