"""Pages about who is at the console: sign-in, a link that works once, accounts."""

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment

from controller.accounts.roles import require, visitor_of


def account_pages(pages: Environment, network: str) -> APIRouter:
    """/sign-in and /link, which show nothing of the studio; /account, for who is signed in.

    network: where other devices reach the console; "" where they do not.
    """
    router = APIRouter(default_response_class=HTMLResponse)
    sign_in, link, account = (pages.get_template(f"{name}.html") for name in ("sign_in", "first", "accounts"))

    @router.get("/sign-in", dependencies=[require("anyone")])
    def show_sign_in() -> str:
        return sign_in.render()

    @router.get("/link", dependencies=[require("anyone")])
    def show_link() -> str:
        return link.render()

    @router.get("/account", dependencies=[require("viewer")])
    def show_account(request: Request) -> str:
        visitor = visitor_of(request)
        return account.render(network=network, person=visitor.person, role=visitor.role.value, csrf=visitor.csrf)

    return router
