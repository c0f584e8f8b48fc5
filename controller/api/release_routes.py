"""Routes of releases, to look at: what may leave and what holds it back, and what has left."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from fastapi import APIRouter
from fastapi.params import Depends
from pydantic import Field

from controller.api.request_body import Body
from controller.studio import Studio


class ProposalBody(Body):
    """The rules are asked what would leave."""

    name: str = Field(pattern="^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")  # of the release


def release_router(studio: Studio, see: Sequence[Depends], manage: Sequence[Depends]) -> APIRouter:
    """/api/release. see: what who looks must pass; manage: what who answers for releases must pass."""
    api = APIRouter(prefix="/api/release")
    rules = studio.study.rules

    @api.get("", dependencies=see)
    def overview() -> dict[str, Any]:
        return asdict(studio.study.release_overview())

    @api.get("/proposal", dependencies=see)
    def proposal() -> dict[str, Any]:
        return {"proposal": asdict(rules.last) if rules.last is not None else None}

    @api.post("/proposal", dependencies=manage)
    def ask(body: ProposalBody) -> dict[str, Any]:
        return {"proposal": asdict(rules.begin(body.name))}

    return api
