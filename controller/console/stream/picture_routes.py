"""Photographs by their hash, whole and small, as long as the consent of who is on them stands."""

import io
from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, HTTPException, Path
from fastapi.params import Depends
from fastapi.responses import Response
from PIL import Image, ImageOps

from controller.accounts.roles import require
from controller.studio import Studio
from db.engine import reading
from db.takes.shown_photographs import may_show

Hash = Annotated[str, Path(pattern="^[0-9a-f]{64}$")]
THUMBNAIL_PX = 320
HEADERS = {
    "Cache-Control": "private, max-age=31536000, immutable",
    "Cross-Origin-Resource-Policy": "same-origin",
}


def picture_router(studio: Studio, guard: Sequence[Depends]) -> APIRouter:
    """/pictures/...; `guard`: what each request must pass."""
    routes = APIRouter(prefix="/pictures", dependencies=guard)

    def require_shown(sha256: str) -> None:
        with reading(studio.engine) as tx:
            if not may_show(tx, sha256):
                raise HTTPException(404, "no photograph of this hash may be shown")

    @routes.get("/photographs/{sha256}.jpg", dependencies=[require("viewer")])
    def photograph(sha256: Hash) -> Response:
        require_shown(sha256)
        with studio.store.open(sha256) as file:
            return Response(file.read(), media_type="image/jpeg", headers=HEADERS)

    @routes.get("/thumbnails/{sha256}.jpg", dependencies=[require("viewer")])
    def thumbnail(sha256: Hash) -> Response:
        require_shown(sha256)
        with studio.store.open(sha256) as file:
            data = file.read()
        with Image.open(io.BytesIO(data), formats=["JPEG"]) as image:
            orientation = image.getexif().get(0x0112, 1)
            image.draft("RGB", (THUMBNAIL_PX, THUMBNAIL_PX))
            small = image.convert("RGB")
        small.getexif()[0x0112] = orientation
        small = ImageOps.exif_transpose(small)
        small.thumbnail((THUMBNAIL_PX, THUMBNAIL_PX))
        stream = io.BytesIO()
        small.save(stream, "JPEG", quality=85)
        return Response(stream.getvalue(), media_type="image/jpeg", headers=HEADERS)

    return routes
