"""Routes of the farm's runs: how they stand, why one failed, and another chance."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Path
from fastapi.params import Depends
from pydantic import Field

from controller.api.request_body import Body
from controller.studio import Studio


class RetryBody(Body):
    """Runs that are queued again."""

    keys: list[str] = Field(default_factory=list, max_length=1000)  # or their beginnings; none: all that failed


def farm_router(studio: Studio, see: Sequence[Depends], run: Sequence[Depends]) -> APIRouter:
    """/api/farm. see: what who looks must pass; run: what who runs sessions must pass."""
    api = APIRouter(prefix="/api/farm")

    @api.get("", dependencies=see)
    def picture() -> dict[str, Any]:
        return asdict(studio.study.farm.picture())

    @api.get("/runs/{key}", dependencies=see)
    def log(key: Annotated[str, Path(pattern="^[0-9a-f]{64}$")]) -> dict[str, Any]:
        error, tail = studio.study.farm.log(key)
        return {"key": key, "error": error, "log": tail}

    @api.post("/retry", dependencies=run)
    def retry(body: RetryBody) -> dict[str, Any]:
        return {"retried": studio.study.farm.retry(body.keys)}

    return api
