"""Routes of the subject's screen: its own live view, its own neutral, and the button that stops."""

from typing import Any

from fastapi import APIRouter, HTTPException
from fastapi.responses import Response
from pydantic import Field

from common.take_codes import NEUTRAL
from controller.accounts.roles import require
from controller.api.request_body import Body
from controller.studio import Studio
from db import session_rules as rules
from db.consents.capture_consent import CaptureConsent

FRAME_MS = 200


class ScreenBody(Body):
    """The camera that the screen shows."""

    camera: str = Field(max_length=200)


def screen_router(studio: Studio) -> APIRouter:
    """/api/subject-screen/...: all that the screen may ask for."""
    api = APIRouter(prefix="/api/subject-screen", dependencies=[require("screen")])
    frontal = {camera.name for camera in studio.rig.cameras if camera.tier == "frontal"}

    def require_session(camera: str) -> str:
        session = studio.open_session()
        if session is None or camera not in frontal:
            raise HTTPException(404, "there is nothing to show now")
        return session

    @api.post("/view")
    def view(body: ScreenBody) -> dict[str, Any]:
        """Have the camera's live view go on for some seconds; which frame is there now."""
        require_session(body.camera)
        (seen,) = studio.ask_live_view([body.camera], FRAME_MS)
        return {"frame": seen.frame, "problem": seen.problem}

    @api.get("/live.jpg")
    def live(camera: str) -> Response:
        """The newest frame."""
        require_session(camera)
        jpeg = studio.live_view_jpeg(camera)
        if jpeg is None:
            raise HTTPException(404, "there is no frame now")
        return Response(jpeg, media_type="image/jpeg", headers={"Cache-Control": "no-store"})

    @api.get("/neutral.jpg")
    def neutral(camera: str) -> Response:
        """The session's neutral as the camera saw it, as long as its consent stands."""
        state = studio.state_of(require_session(camera))
        position = next((line.position for line in state.expressions if line.name == NEUTRAL), 0)
        takes = [take for take in state.takes_of(position) if take.state in rules.WHOLE]
        take = rules.accepted(takes) or (takes[-1] if takes else None)
        found = studio.photographs_of(take.code).get(camera) if take is not None else None
        if found is None or state.consent == CaptureConsent.WITHDRAWN:
            raise HTTPException(404, "there is no neutral to show")
        headers = {"Cache-Control": "private, no-store", "Cross-Origin-Resource-Policy": "same-origin"}
        return Response(studio.photograph(found), media_type="image/jpeg", headers=headers)

    @api.post("/stop")
    def stop() -> dict[str, Any]:
        """The subject wants to stop: the session is paused, and nothing is fired until the operator resumes it."""
        session = studio.open_session()
        if session is not None:
            studio.pause_session(session)
        return {"paused": session}

    return api
