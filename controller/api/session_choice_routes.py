"""Routes of what is shown before a session begins and when one is looked at: choices, what lacks, pictures."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from fastapi import APIRouter
from fastapi.params import Depends

from controller.rig_file import DEFAULT_PROFILE
from controller.studio import Studio


def session_choice_router(studio: Studio, see: Sequence[Depends]) -> APIRouter:
    """More of /api/sessions, before the routes that take a session's code; see: what who looks must pass."""
    api = APIRouter(prefix="/api/sessions", dependencies=see)

    @api.get("/start")
    def choices(profile: str = DEFAULT_PROFILE) -> dict[str, Any]:
        return {
            "profiles": [DEFAULT_PROFILE, *sorted(studio.rig.profiles)],
            "protocols": [asdict(protocol) for protocol in studio.study.protocols()],
            "lacking": studio.lacking(profile),
            "open": studio.open_session(),
        }

    @api.get("/{session}/pictures")
    def pictures(session: str) -> dict[str, Any]:
        return {"session": session, "pictures": studio.study.frontal_photographs(session)}

    return api
