"""Routes of the page itself: its shell, and the files it is made of."""

from pathlib import Path

from fastapi import APIRouter, FastAPI
from fastapi.responses import HTMLResponse
from jinja2 import Environment, PackageLoader, select_autoescape
from starlette.staticfiles import StaticFiles

from controller.console.page_views import VIEWS

STATIC = Path(__file__).parent / "static"


def add_page(app: FastAPI, rig: str) -> None:
    """`/`, `/subject` and `/static`. rig: its name."""
    pages = Environment(loader=PackageLoader("controller.console", "pages"), autoescape=select_autoescape())
    shell = pages.get_template("shell.html")
    subject = pages.get_template("subject.html")
    router = APIRouter()

    @router.get("/", response_class=HTMLResponse)
    def show() -> str:
        return shell.render(rig=rig, views=VIEWS, person="", role="operator", csrf="")

    @router.get("/subject", response_class=HTMLResponse)
    def show_subject() -> str:
        return subject.render(csrf="")

    app.include_router(router)
    app.mount("/static", StaticFiles(directory=STATIC), name="static")
