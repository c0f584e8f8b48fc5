"""Routes of releases, to look at: what may leave and what holds it back, and what has left."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from fastapi import APIRouter
from fastapi.params import Depends

from controller.studio import Studio


def release_router(studio: Studio, see: Sequence[Depends]) -> APIRouter:
    """/api/release; see: what who looks must pass."""
    api = APIRouter(prefix="/api/release", dependencies=see)

    @api.get("")
    def overview() -> dict[str, Any]:
        return asdict(studio.study.release_overview())

    return api
