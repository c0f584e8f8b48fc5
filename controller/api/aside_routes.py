"""Routes of cameras that are aside: what `mien rig aside` and `mien rig back` ask for, as JSON."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from fastapi import APIRouter
from fastapi.params import Depends

from controller.accounts.roles import require
from controller.api.request_body import Body
from controller.rig.cameras_aside import UNTIL_TODAY, aside_text
from controller.studio import Studio


class AsideBody(Body):
    """Cameras that are set aside."""

    cameras: list[str]
    reason: str
    until: str = UNTIL_TODAY  # session, today, back, or a duration as in 2h


class BackBody(Body):
    """Cameras that take part again."""

    cameras: list[str]


def aside_data(studio: Studio) -> dict[str, Any]:
    """Who is aside, why and until when; how many may be."""
    limits = studio.rig.aside
    return {
        "aside": [asdict(aside) | {"told": aside_text(aside)} for aside in studio.cameras_aside().values()],
        "limits": asdict(limits),
    }


def aside_router(studio: Studio, guard: Sequence[Depends]) -> APIRouter:
    """/api/rig/aside and /api/rig/back; `guard`: what each request must pass."""
    api = APIRouter(prefix="/api/rig", dependencies=guard)

    @api.get("/aside", dependencies=[require("viewer")])
    def show() -> dict[str, Any]:
        return aside_data(studio)

    @api.post("/aside", dependencies=[require("operator")])
    def put(body: AsideBody) -> dict[str, Any]:
        studio.set_aside(body.cameras, body.reason, body.until)
        return aside_data(studio)

    @api.post("/back", dependencies=[require("operator")])
    def back(body: BackBody) -> dict[str, Any]:
        studio.bring_back(body.cameras)
        problems = {report.camera: list(report.problems) for report in studio.cameras() if not report.ready}
        return aside_data(studio) | {"problems": {camera: problems.get(camera, []) for camera in body.cameras}}

    return api
