"""Routes of takes' checks and their contact sheets."""

from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter, HTTPException, Request
from fastapi.params import Depends
from fastapi.responses import Response

from controller.api.authentication import AccessToken
from controller.studio import Studio
from db.takes.take_reviews import TakeReviewData

LONGEST_WAIT_S = 60.0


def review_data(review: TakeReviewData) -> dict[str, Any]:
    """A review for programs. `advice`: how many results deserve a look."""
    return {
        "take": review.take,
        "seconds": review.seconds,
        "sheet": review.sheet,
        "checks": [
            {
                "check": check.name,
                "state": check.state.value,
                "camera": check.camera or None,
                "reason": check.reason,
                "measured": check.measured,
                "bound": check.bound,
            }
            for check in review.checks
        ],
        "advice": len(review.advice),
    }


def check_router(studio: Studio, guard: Sequence[Depends], access: AccessToken) -> APIRouter:
    """/api/takes/... wants what `guard` asks for; a sheet, which shows a participant, the token or the page's link."""
    api = APIRouter()

    @api.get("/api/takes/{take}/checks", dependencies=guard)
    def checks(take: str, wait_s: float = 0.0) -> dict[str, Any]:
        review = studio.review(take, min(wait_s, LONGEST_WAIT_S))
        return {"take": take, "review": None if review is None else review_data(review)}

    @api.post("/api/takes/{take}/checks", dependencies=guard)
    def look_again(take: str, wait_s: float = LONGEST_WAIT_S) -> dict[str, Any]:
        studio.review_again(take)
        return checks(take, wait_s)

    @api.get("/sheets/{sha256}.jpg")
    def sheet(sha256: str, request: Request) -> Response:
        if not studio.is_contact_sheet(sha256):
            raise HTTPException(404, "no contact sheet of this hash")
        if not (access.shown(request.headers) or access.sealed(request.url.path, request.url.query)):
            raise HTTPException(401, "the console's token is missing, or the link is too old: load the page again")
        # It shows a participant: this machine's page alone may embed it, and no proxy may keep it.
        headers = {"Cache-Control": "private, max-age=3600", "Cross-Origin-Resource-Policy": "same-origin"}
        return Response(studio.contact_sheet(sha256), media_type="image/jpeg", headers=headers)

    return api
