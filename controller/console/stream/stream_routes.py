"""The page's stream: the state at once, then what changes, and a sign of life each second."""

from collections.abc import Sequence

from fastapi import APIRouter, HTTPException
from fastapi.params import Depends
from fastapi.sse import EventSourceResponse

from controller.console.stream.publisher import Publisher

MOST_STREAMS = 32  # at a time: some screens; the rest is nobody's


def stream_router(publisher: Publisher, guard: Sequence[Depends]) -> APIRouter:
    """/stream; `guard`: what each request must pass."""
    routes = APIRouter(dependencies=guard)

    @routes.get("/stream")
    async def stream() -> EventSourceResponse:
        if publisher.listeners >= MOST_STREAMS:
            raise HTTPException(503, f"{MOST_STREAMS} screens are open already: close one")
        return EventSourceResponse(publisher.listen(), headers={"X-Accel-Buffering": "no"})

    return routes
