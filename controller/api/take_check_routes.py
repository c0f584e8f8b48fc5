"""Routes of takes' checks and their contact sheets."""

from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter, HTTPException
from fastapi.params import Depends
from fastapi.responses import Response

from controller.accounts.roles import require
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


def check_router(studio: Studio, guard: Sequence[Depends]) -> APIRouter:
    """/api/takes/... and the contact sheets; `guard`: what each request must pass."""
    api = APIRouter(dependencies=guard)

    @api.get("/api/takes/{take}/checks", dependencies=[require("viewer")])
    def checks(take: str, wait_s: float = 0.0) -> dict[str, Any]:
        review = studio.review(take, min(wait_s, LONGEST_WAIT_S))
        return {"take": take, "review": None if review is None else review_data(review)}

    @api.post("/api/takes/{take}/checks", dependencies=[require("operator")])
    def look_again(take: str, wait_s: float = LONGEST_WAIT_S) -> dict[str, Any]:
        studio.review_again(take)
        return checks(take, wait_s)

    @api.get("/sheets/{sha256}.jpg", dependencies=[require("viewer")])
    def sheet(sha256: str) -> Response:
        if not studio.is_contact_sheet(sha256):
            raise HTTPException(404, "no contact sheet of this hash")
        # It shows a participant: this machine's page alone may embed it, and no proxy may keep it.
        headers = {"Cache-Control": "private, max-age=3600", "Cross-Origin-Resource-Policy": "same-origin"}
        return Response(studio.contact_sheet(sha256), media_type="image/jpeg", headers=headers)

    return api
