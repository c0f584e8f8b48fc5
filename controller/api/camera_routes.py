"""Routes of single cameras: recovery, live view, write-off; as JSON, frames as JPEG."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Query
from fastapi.params import Depends
from fastapi.responses import Response
from pydantic import Field

from camera_nodes.wire import Drive, Rung
from controller.accounts.roles import require
from controller.api.request_body import Body
from controller.cameras.body_recovery import RUNGS, RecoveryProgress
from controller.studio import Studio

LONGEST_WAIT_S = 30.0


class RecoverBody(Body):
    """A recovery of a camera's body, by these steps in their order."""

    rungs: list[Rung] = Field(default=list(RUNGS), min_length=1, max_length=3)


class WriteOffBody(Body):
    """An exposure whose file is given up."""

    reason: str = Field(default="", max_length=1000)


class IdentifyBody(Body):
    """Signs by which a camera is found."""


class FocusBody(Body):
    """A move of a camera's lens."""

    drive: Drive = "auto"
    step: int = Field(default=1, ge=1, le=3)


class ViewBody(Body):
    """Live view."""

    cameras: list[str] = Field(default_factory=list, max_length=1000)  # without any: all of them
    every_ms: int = Field(default=500, ge=100, le=10_000)


class ViewEndBody(Body):
    """The end of live view."""

    cameras: list[str] = Field(default_factory=list, max_length=1000)  # without any: all of them


def progress_data(found: RecoveryProgress) -> dict[str, Any]:
    """How a recovery stands, for programs."""
    return asdict(found) | {
        "steps": [asdict(step) | {"line": step.line()} for step in found.steps],
    }


def camera_router(studio: Studio, guard: Sequence[Depends]) -> APIRouter:
    """Everything under /api/rig/ about one camera or its picture; `guard`: what each request must pass."""
    api = APIRouter(prefix="/api/rig", dependencies=guard)

    @api.post("/cameras/{camera}/recover", dependencies=[require("operator")])
    def recover(camera: str, body: RecoverBody) -> dict[str, Any]:
        return progress_data(studio.recover(camera, body.rungs))

    @api.get("/recoveries/{recovery}", dependencies=[require("viewer")])
    def recovery(
        recovery: str, after: int = 0, wait_s: Annotated[float, Query(ge=0, le=LONGEST_WAIT_S)] = 0.0
    ) -> dict[str, Any]:
        """Waits until there are more than `after` steps."""
        return progress_data(studio.recovery_progress(recovery, after, wait_s))

    @api.post("/cameras/{camera}/write-off", dependencies=[require("operator")])
    def write_off(camera: str, body: WriteOffBody) -> dict[str, Any]:
        return {"camera": camera, "take": studio.write_off(camera, body.reason), "reason": body.reason}

    @api.post("/cameras/{camera}/identify", dependencies=[require("operator")])
    def identify(camera: str, body: IdentifyBody) -> dict[str, Any]:  # noqa: ARG001  (nothing to say but who)
        return {"camera": camera, "told": studio.identify(camera)}

    @api.post("/cameras/{camera}/focus", dependencies=[require("operator")])
    def focus(camera: str, body: FocusBody) -> dict[str, Any]:
        return {"camera": camera, "told": studio.focus(camera, body.drive, body.step)}

    @api.post("/view", dependencies=[require("operator")])
    def view(body: ViewBody) -> dict[str, Any]:
        """Have live view go on for some seconds, and what is to be seen now: ask again every second."""
        return {"cameras": [asdict(seen) for seen in studio.ask_live_view(body.cameras, body.every_ms)]}

    @api.get("/view", dependencies=[require("viewer")])
    def look() -> dict[str, Any]:
        """What is to be seen now, for whoever looks beside those who ask."""
        return {"cameras": [asdict(seen) for seen in studio.live_view()]}

    @api.post("/view/end", dependencies=[require("operator")])
    def end(body: ViewEndBody) -> dict[str, Any]:
        studio.end_live_view(body.cameras)
        return {"ended": True}

    @api.get("/cameras/{camera}/preview.jpg", dependencies=[require("viewer")])
    def preview(camera: str) -> Response:
        """The newest live view frame."""
        jpeg = studio.live_view_jpeg(camera)
        if jpeg is None:
            raise HTTPException(404, f"{camera} has no live view frame now")
        return Response(jpeg, media_type="image/jpeg", headers={"Cache-Control": "no-store"})

    return api
