"""Roles of the console: each route declares the least that it wants, and one that declares none answers nobody.

    @api.post("/fire", dependencies=[require("operator")])

Each role may do what those before it may: viewer, operator, manager. `screen` is the subject's screen, which may do
what routes for screens allow and nothing else; people may do that too, each within their role.
"""

from dataclasses import dataclass
from typing import Any, Literal

from fastapi import Depends, HTTPException, Request

from db.models import ConsoleRole

Least = Literal["anyone", "screen", "viewer", "operator", "manager"]
VISITOR = "mien.visitor"  # in a request's scope
_RANK = {ConsoleRole.SCREEN: 0, ConsoleRole.VIEWER: 1, ConsoleRole.OPERATOR: 2, ConsoleRole.MANAGER: 3}
_WANTED = {"anyone": -1, "screen": 0, "viewer": 1, "operator": 2, "manager": 3}


@dataclass(frozen=True)
class Visitor:
    """Who asks."""

    person: str  # the account's name; the login name of the home's owner; which screen it is
    role: ConsoleRole
    account_id: int | None = None  # None: no account's
    session_id: int | None = None  # None: not by a browser's cookie but by the token in the home
    csrf: str = ""  # what its commands must show beside the cookie

    def may(self, least: Least) -> bool:
        """Whether the role suffices."""
        return _RANK[self.role] >= _WANTED[least]


@dataclass(frozen=True)
class Requirement:
    """What a route wants of who asks; a dependency of the route, or of all routes of a router.

    The gate reads it and asks, before the body is read; of several the route's own counts.
    """

    least: Least

    def __call__(self, request: Request) -> None:
        if VISITOR not in request.scope:  # an application that was put up without its gate
            raise HTTPException(401, "sign in first")


def require(least: Least) -> Any:
    """The dependency that declares a route's least role: "anyone" (the sign-in), "screen", "viewer", "operator",
    "manager"."""
    return Depends(Requirement(least))


def refusal(visitor: Visitor, least: Least) -> str:
    """Why a role does not suffice, for people."""
    return f"{visitor.person} is {_with_article(visitor.role.value)}: this is for {least}s"


def visitor_of(request: Request) -> Visitor:
    """Who asks. Raises HTTPException for nobody."""
    found = request.scope.get(VISITOR)
    if not isinstance(found, Visitor):
        raise HTTPException(401, "sign in first")
    return found


def _with_article(word: str) -> str:
    return f"{'an' if word[0] in 'aeiou' else 'a'} {word}"
