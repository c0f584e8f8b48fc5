"""Meshes of preview scans, by their hash."""

import re
from collections.abc import Sequence

from fastapi import APIRouter, HTTPException
from fastapi.params import Depends
from fastapi.responses import Response

from controller.studio import Studio

_SHA256 = re.compile(r"[0-9a-f]{64}")


def scan_router(studio: Studio, guard: Sequence[Depends]) -> APIRouter:
    """/pictures/scans/...; `guard`: what each request must pass."""
    api = APIRouter(dependencies=guard)

    @api.get("/pictures/scans/{sha256}.glb")
    def scan(sha256: str) -> Response:
        data = studio.scan_mesh(sha256) if _SHA256.fullmatch(sha256) else None
        if data is None:
            raise HTTPException(404, "no scan of this hash; it is held for the last takes of a running studio")
        # It shows a participant: this page alone may read it, and it is asked for anew, so that a withdrawal counts.
        headers = {"Cache-Control": "private, no-store", "Cross-Origin-Resource-Policy": "same-origin"}
        return Response(data, media_type="model/gltf-binary", headers=headers)

    return api
