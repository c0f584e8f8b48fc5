"""The page's stream: the state at once, then what changes, and a sign of life each second."""

from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from typing import Annotated

from fastapi import APIRouter, HTTPException, Query, Request
from fastapi.params import Depends
from fastapi.sse import EventSourceResponse

from controller.accounts.roles import require
from controller.console.state.screen_view import screen_view
from controller.console.stream.console_contacts import ConsoleContacts
from controller.console.stream.publisher import Publisher

MOST_STREAMS = 32  # at a time: some screens; the rest is nobody's


ConsoleId = Annotated[str, Query(pattern=r"^[0-9A-Za-z-]{0,64}$")]


def stream_router(
    publisher: Publisher,
    contacts: ConsoleContacts,
    guard: Sequence[Depends],
    silence_s: Callable[[Request], float] = lambda _: 0.0,
) -> APIRouter:
    """/stream; `guard`: what each request must pass. silence_s: for how long a request's other end was not heard."""
    routes = APIRouter(dependencies=guard)

    @routes.get("/stream", dependencies=[require("viewer")])
    async def stream(request: Request, console: ConsoleId = "") -> EventSourceResponse:
        """console: the page's name for itself, by which it may hold the trigger."""
        if publisher.listeners >= MOST_STREAMS:
            raise HTTPException(503, f"{MOST_STREAMS} screens are open already: close one")

        async def events() -> AsyncIterator[bytes]:
            with contacts.open(console, partial(silence_s, request)):
                async for event in publisher.listen():
                    yield event

        return EventSourceResponse(events(), headers={"X-Accel-Buffering": "no"})

    @routes.get("/stream/screen", dependencies=[require("screen")])
    async def screen_stream() -> EventSourceResponse:
        """The few lines that the subject's screen shows."""
        if publisher.listeners >= MOST_STREAMS:
            raise HTTPException(503, f"{MOST_STREAMS} screens are open already: close one")
        return EventSourceResponse(publisher.listen(screen_view), headers={"X-Accel-Buffering": "no"})

    return routes
