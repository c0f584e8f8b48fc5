"""The subject's screen at the stream: a few lines that are sent whole whenever they differ, and the signs of life."""

import time
from collections.abc import AsyncIterator, Callable

from controller.console.stream.listener import Listener, event_bytes


class ScreenListener(Listener):
    """As any listener, but that every change has it look at the whole once more."""

    def put(self, revision: int, change: bytes) -> None:
        """Something has changed."""
        del revision, change
        self._wake.set()

    async def events(self, snapshot: Callable[[], tuple[int, bytes]]) -> AsyncIterator[bytes]:
        """snapshot: the newest revision and what the screen is told, as JSON; no bytes while there is none."""
        sent = b""
        while not self._ended:
            self._wake.clear()
            revision, told = snapshot()
            if told and told != sent:
                sent = told
                head = f'{{"revision":{revision},"at":{time.time_ns() // 1_000_000},"state":'
                yield b"event: snapshot\ndata: " + head.encode() + told + b"}\n\n"
            if self._beat and sent:
                beat, self._beat = self._beat, b""
                yield beat
            await self._wake.wait()
        yield event_bytes("end", {})
