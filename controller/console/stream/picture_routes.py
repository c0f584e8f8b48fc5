"""Photographs by their hash, whole and small, as long as the consent of who is on them stands."""

import threading
import time
from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, HTTPException, Path
from fastapi.params import Depends
from fastapi.responses import Response

from controller.studio import Studio
from controller.take_checks.thumbnail_shelf import make_thumbnail
from db.engine import reading
from db.takes.shown_photographs import may_show

Hash = Annotated[str, Path(pattern="^[0-9a-f]{64}$")]
AT_ONCE = 2  # thumbnails that are made at a time
QUIET_S = 20.0  # that one waits at most while a fire is near
HEADERS = {
    "Cache-Control": "private, max-age=31536000, immutable",
    "Cross-Origin-Resource-Policy": "same-origin",
}


def picture_router(studio: Studio, guard: Sequence[Depends]) -> APIRouter:
    """/pictures/...; `guard`: what each request must pass."""
    routes = APIRouter(prefix="/pictures", dependencies=guard)
    makers = threading.Semaphore(AT_ONCE)
    shelf = studio.reviewer.thumbnails

    def require(sha256: str) -> None:
        with reading(studio.engine) as tx:
            allowed = may_show(tx, sha256)
        if not allowed:
            shelf.discard(sha256)
            raise HTTPException(404, "no photograph of this hash may be shown")

    def read(sha256: str) -> bytes:
        with studio.store.open(sha256) as file:
            return file.read()

    def thumbnail_of(sha256: str) -> bytes:
        if (found := shelf.get(sha256)) is not None:
            return found
        end = time.monotonic() + QUIET_S
        while studio.bell.quiet and time.monotonic() < end:
            time.sleep(0.05)
        with makers:
            found = shelf.get(sha256)
            if found is None:
                found = make_thumbnail(read(sha256))
                shelf.put(sha256, found)
        return found

    @routes.get("/photographs/{sha256}.jpg")
    def photograph(sha256: Hash) -> Response:
        require(sha256)
        return _jpeg(read(sha256))

    @routes.get("/thumbnails/{sha256}.jpg")
    def thumbnail(sha256: Hash) -> Response:
        """sha256: the photograph's."""
        require(sha256)
        return _jpeg(thumbnail_of(sha256))

    return routes


def _jpeg(data: bytes) -> Response:
    return Response(data, media_type="image/jpeg", headers=HEADERS)
