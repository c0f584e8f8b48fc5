"""One page's end of the stream: what waits to be sent, never more than a little."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Any

import msgspec
from fastapi.sse import format_sse_event

BACKLOG = 32  # changes that a listener may be behind


def event_bytes(kind: str, data: dict[str, Any]) -> bytes:
    """A server-sent event, data as JSON."""
    return format_sse_event(event=kind, data_str=msgspec.json.encode(data).decode())


class Listener:
    """Everything but its making runs in its event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._waiting: deque[tuple[int, bytes]] = deque()
        self._beat = b""
        self._sent = -1  # the revision that it has
        self._wake = asyncio.Event()
        self._ended = False
        self.behind = True  # its next event is a snapshot

    def put(self, revision: int, change: bytes) -> None:
        """The change that makes this revision is there for it."""
        if self.behind or revision <= self._sent:
            self._wake.set()
        elif len(self._waiting) >= BACKLOG:
            self.start_again()
        else:
            self._waiting.append((revision, change))
            self._wake.set()

    def start_again(self) -> None:
        """It is given the whole state, as soon as there is one."""
        self._waiting.clear()
        self.behind = True
        self._wake.set()

    def look(self) -> None:
        """There may be something for it."""
        self._wake.set()

    def beat(self, beat: bytes) -> None:
        """A sign of life; one that still waits is replaced."""
        self._beat = beat
        self._wake.set()

    def end(self) -> None:
        """The studio ends."""
        self._ended = True
        self._wake.set()

    async def events(self, snapshot: Callable[[], tuple[int, bytes]]) -> AsyncIterator[bytes]:
        """What goes out, as it comes; ends with the studio.

        snapshot: the newest revision and its whole state as an event; no bytes while there is none.
        """
        while not self._ended:
            self._wake.clear()
            if self.behind:
                self._sent, whole = snapshot()
                self.behind = not whole
                if whole:
                    yield whole
            while self._waiting and not self._ended:
                self._sent, change = self._waiting.popleft()
                yield change
            if self._beat and not self.behind:
                beat, self._beat = self._beat, b""
                yield beat
            await self._wake.wait()
        yield event_bytes("end", {})
