"""Routes of what the farm made: which takes there are, and the files themselves, as long as their subject consents.

A browser keeps a file and asks each time whether it may still show it (ETag): after a withdrawal the answer is 410.
"""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Path, Request
from fastapi.params import Depends
from fastapi.responses import FileResponse, Response

from controller.studio import Studio
from db.errors import ConsentError, MissingObject, NotFound

Hash = Annotated[str, Path(pattern="^[0-9a-f]{64}$")]
# What a browser may show by itself; anything else is data for the page.
PICTURES = ("image/png", "image/jpeg")


def artefact_router(studio: Studio, see: Sequence[Depends]) -> APIRouter:
    """/api/artefacts; see: what who looks must pass."""
    api = APIRouter(prefix="/api/artefacts", dependencies=see)
    models = studio.study.models

    @api.get("")
    def sessions() -> dict[str, Any]:
        return {"sessions": [asdict(session) for session in models.sessions()]}

    @api.get("/of/{session}")
    def takes(session: str) -> dict[str, Any]:
        return {"session": session, "takes": models.takes(session)}

    @api.get("/rig/{session}")
    def rig(session: str) -> dict[str, Any]:
        return models.rig(session)

    @api.get("/{sha256}")
    def artefact(sha256: Hash, request: Request) -> Response:
        try:
            found = models.file(sha256)
        except ConsentError as error:
            raise HTTPException(410, str(error)) from error
        except (NotFound, MissingObject) as error:
            raise HTTPException(404, str(error)) from error
        headers = {
            "Cache-Control": "private, no-cache",
            "Cross-Origin-Resource-Policy": "same-origin",
            "ETag": f'"{sha256}"',
        }
        if f'"{sha256}"' in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        media = found.media if found.media in PICTURES else "application/octet-stream"
        return FileResponse(found.path, media_type=media, headers=headers)

    return api
