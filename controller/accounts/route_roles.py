"""Which role each route of an application declares, found before anything of a request is read."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.routing import iter_route_contexts
from starlette.routing import Mount, compile_path

from controller.accounts.roles import Least, Requirement

PUBLIC_FILES = "/static"  # the page's own modules and styles, which anybody has who has Mien


@dataclass(frozen=True)
class RouteRole:
    """One route."""

    path: str
    methods: frozenset[str]
    least: Least | None  # None: it declares nothing, and answers nobody
    pattern: re.Pattern[str]


def route_roles(app: FastAPI) -> Iterator[RouteRole]:
    """Every route of the application, in the order in which they are tried."""
    for found in iter_route_contexts(app.routes):
        path = found.path or ""
        if isinstance(found.route, Mount):
            least: Least | None = "anyone" if path == PUBLIC_FILES else None
            yield RouteRole(path, frozenset({"GET", "HEAD"}), least, re.compile(re.escape(path) + "/.+"))
            continue
        dependant = getattr(found, "dependant", None)
        methods = frozenset(found.methods or ())
        least = _declared(dependant) if isinstance(dependant, Dependant) else None
        yield RouteRole(path, methods, least, compile_path(path)[0])


class RouteRoles:
    """The table of an application, made at the first request: by then every route is there."""

    def __init__(self, app: FastAPI) -> None:
        self._app = app
        self._routes: list[RouteRole] = []

    def find(self, method: str, path: str) -> RouteRole | None:
        """The first route of this path that takes the method, else the first of this path; None for no such path."""
        if not self._routes:
            self._routes = list(route_roles(self._app))
        partial: RouteRole | None = None
        for route in self._routes:
            if route.pattern.fullmatch(path):
                if method in route.methods:
                    return route
                partial = partial or route
        return partial


def _declared(dependant: Dependant) -> Least | None:
    """What the route itself says, which comes after what its router says."""
    declared = [one.call for one in dependant.dependencies if isinstance(one.call, Requirement)]
    return declared[-1].least if declared else None
