"""Routes of the page itself: its shell, and the files it is made of."""

from pathlib import Path

from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, PackageLoader, select_autoescape
from starlette.staticfiles import StaticFiles

from controller.accounts.roles import require, visitor_of
from controller.console.account_pages import account_pages
from controller.console.page_views import VIEWS

STATIC = Path(__file__).parent / "static"


def add_page(app: FastAPI, rig: str, network: str = "") -> None:
    """`/`, `/subject`, `/static` and the pages of accounts.

    rig: its name. network: where other devices reach the console.
    """
    pages = Environment(loader=PackageLoader("controller.console", "pages"), autoescape=select_autoescape())
    shell = pages.get_template("shell.html")
    subject = pages.get_template("subject.html")
    router = APIRouter()

    @router.get("/", dependencies=[require("viewer")], response_class=HTMLResponse)
    def show(request: Request) -> str:
        visitor = visitor_of(request)
        return shell.render(rig=rig, views=VIEWS, person=visitor.person, role=visitor.role.value, csrf=visitor.csrf)

    @router.get("/subject", dependencies=[require("screen")], response_class=HTMLResponse)
    def show_subject(request: Request) -> str:
        return subject.render(csrf=visitor_of(request).csrf)

    app.include_router(router)
    app.include_router(account_pages(pages, network))
    app.mount("/static", StaticFiles(directory=STATIC), name="static")
