"""The console's paths about cameras that are aside: what `mien rig aside` and `mien rig back` ask for, as JSON."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter
from fastapi.params import Depends
from pydantic import BaseModel, ConfigDict

from controller.rig.cameras_aside import UNTIL_TODAY, told

if TYPE_CHECKING:
    from controller.studio import Studio


class AsideBody(BaseModel):
    """until: session, today, back, or a duration as in 2h."""

    model_config = ConfigDict(extra="forbid")

    cameras: list[str]
    reason: str
    until: str = UNTIL_TODAY


class BackBody(BaseModel):
    """Which cameras take part again."""

    model_config = ConfigDict(extra="forbid")

    cameras: list[str]


def aside_data(studio: "Studio") -> dict[str, Any]:
    """Who is aside, why and until when; how many may be."""
    limits = studio.rig.aside
    return {
        "aside": [asdict(aside) | {"told": told(aside)} for aside in studio.asides.current().values()],
        "limits": asdict(limits),
    }


def aside_paths(studio: "Studio", guard: Sequence[Depends]) -> APIRouter:
    """/api/rig/aside and /api/rig/back; `guard`: what each request must pass."""
    api = APIRouter(prefix="/api/rig", dependencies=guard)

    @api.get("/aside")
    def show() -> dict[str, Any]:
        return aside_data(studio)

    @api.post("/aside")
    def put(body: AsideBody) -> dict[str, Any]:
        studio.asides.put(body.cameras, body.reason, body.until)
        return aside_data(studio)

    @api.post("/back")
    def back(body: BackBody) -> dict[str, Any]:
        studio.asides.back(body.cameras)
        problems = {report.camera: list(report.problems) for report in studio.cameras() if not report.ready}
        return aside_data(studio) | {"problems": {camera: problems.get(camera, []) for camera in body.cameras}}

    return api
