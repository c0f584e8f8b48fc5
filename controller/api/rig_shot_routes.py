"""Routes of rig shots: boards, ColorCheckers and tests, photographed by the rig without a subject."""

from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import APIRouter, HTTPException
from fastapi.params import Depends
from fastapi.responses import Response
from pydantic import Field

from controller.accounts.roles import require
from controller.api.request_body import Body
from controller.rig_file import DEFAULT_PROFILE
from controller.rig_shots.rig_shooting import MOST_POSES
from controller.rig_shots.shot_names import Kind
from controller.rig_shots.shot_series import ShotRequest
from controller.studio import Studio


class ShootBody(Body):
    """A series of rig shots."""

    kind: Kind
    poses: int = Field(default=1, ge=1, le=MOST_POSES)
    cameras: list[str] = Field(default_factory=list, max_length=1000)  # without any: all that are ready
    profile: str = DEFAULT_PROFILE
    every_s: float | None = Field(default=None, ge=1, le=600)  # of a board; without it each pose is asked for
    frame: bool = False  # the first pose of a board is the head frame
    resume: str = ""  # a series to go on with
    board: dict[str, Any] | None = None  # its measures; the home's board.toml by default


class PoseBody(Body):
    """A shot of the series."""

    name: str = ""  # "frame": the pose that is the head frame


def shot_router(studio: Studio, guard: Sequence[Depends]) -> APIRouter:
    """/api/rig/shoot; `guard`: what each request must pass."""
    api = APIRouter(prefix="/api/rig/shoot", dependencies=guard)
    shots = studio.rig_shots

    @api.get("", dependencies=[require("viewer")])
    def look() -> dict[str, Any]:
        return shots.state()

    @api.post("", dependencies=[require("operator")])
    def begin(body: ShootBody) -> dict[str, Any]:
        board = body.kind == "board"
        asked = ShotRequest(
            body.kind, body.poses if board else 1, tuple(body.cameras), body.profile, board and body.frame
        )
        shots.begin(asked, every_s=body.every_s, resume=body.resume, board=_board(body.board))
        return shots.state()

    @api.post("/pose", dependencies=[require("operator")])
    def pose(body: PoseBody) -> dict[str, Any]:
        shots.shoot(body.name)
        return shots.state()

    @api.post("/stop", dependencies=[require("operator")])
    def stop() -> dict[str, Any]:
        shots.end()
        return shots.state()

    @api.get("/pictures/{sha256}.jpg", dependencies=[require("viewer")])
    def picture(sha256: str) -> Response:
        """A photograph of the series, small."""
        found = shots.thumbnail(sha256)
        if found is None:
            raise HTTPException(404, "no photograph of this series has this hash")
        return Response(found, media_type="image/jpeg", headers={"Cache-Control": "private, max-age=86400, immutable"})

    return api


def _board(table: Mapping[str, Any] | None) -> Any:
    from common.charuco.charuco_board import board_from

    return None if table is None else board_from(table, "the board")
