"""The console's paths about checks, and what of them the page and `mien session show` want."""

from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter, HTTPException, Request
from fastapi.params import Depends
from fastapi.responses import Response
from sqlalchemy import Engine

from controller.api.authentication import AccessToken
from controller.take_checks.take_reviewer import TakeReviewer
from db.engine import reading
from db.store import Store
from db.takes.take_reviews import TakeReviewData, count_advice, is_sheet, last_whole

LONGEST_WAIT_S = 60.0


def review_data(review: TakeReviewData) -> dict[str, Any]:
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


def add_checks(engine: Engine, script: dict[str, Any]) -> dict[str, Any]:
    """Give each take of script_data's answer `checks`: how many results deserve a look, None without a review.

    And the answer `last_take`: the whole take that was fired last, None without one.
    """
    with reading(engine) as tx:
        counts, script["last_take"] = count_advice(tx, script["session"]), last_whole(tx, script["session"])
    for line in script["expressions"]:
        for take in line["takes"]:
            take["checks"] = counts.get(take["code"])
    return script


def check_paths(
    reviewer: TakeReviewer, engine: Engine, store: Store, guard: Sequence[Depends], door: AccessToken
) -> APIRouter:
    """/api/takes/... wants what `guard` asks for; a sheet, which shows a participant, the token or the page's link."""
    api = APIRouter()

    @api.get("/api/takes/{take}/checks", dependencies=guard)
    def checks(take: str, wait_s: float = 0.0) -> dict[str, Any]:
        review = reviewer.result(take, min(wait_s, LONGEST_WAIT_S))
        return {"take": take, "review": None if review is None else review_data(review)}

    @api.post("/api/takes/{take}/checks", dependencies=guard)
    def look_again(take: str, wait_s: float = LONGEST_WAIT_S) -> dict[str, Any]:
        reviewer.again(take)
        return checks(take, wait_s)

    @api.get("/sheets/{sha256}.jpg")
    def sheet(sha256: str, request: Request) -> Response:
        with reading(engine) as tx:
            known = is_sheet(tx, sha256)
        if not known:
            raise HTTPException(404, "no contact sheet of this hash")
        if not (door.shown(request.headers) or door.sealed(request.url.path, request.url.query)):
            raise HTTPException(401, "the console's token is missing, or the link is too old: load the page again")
        with store.open(sha256) as file:
            data = file.read()
        # It shows a participant: this machine's page alone may embed it, and no proxy may keep it.
        headers = {"Cache-Control": "private, max-age=3600", "Cross-Origin-Resource-Policy": "same-origin"}
        return Response(data, media_type="image/jpeg", headers=headers)

    return api
