"""Limits of the console's connections: so many at a time, and none for long that does not ask.

uvicorn waits for ever for a request that never comes whole. Here a connection has some seconds to ask; and when there
are too many, the one that has been silent longest makes room for the one that comes. Whoever is being answered stays.
"""

import asyncio
from typing import Any
from weakref import WeakValueDictionary

from fastapi import Request
from uvicorn.protocols.http.h11_impl import H11Protocol

from controller.console.stream.console_contacts import tcp_silence_s

MOST = 160  # connections at a time: eight browsers with six each, some commands; the rest is nobody's
ASK_S = 5.0
_by_client: "WeakValueDictionary[tuple[str, int], LimitedHttpProtocol]" = WeakValueDictionary()


class LimitedHttpProtocol(H11Protocol):
    """uvicorn's protocol with a limit of connections and a deadline for each request's head."""

    _deadline: asyncio.TimerHandle | None = None

    @property
    def _answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._came = self.loop.time()
        if self.client is not None:
            _by_client[self.client] = self
        self._wait_for_request()
        if len(self.connections) > MOST:
            silent = [
                c for c in self.connections if isinstance(c, LimitedHttpProtocol) and not c._answering and c is not self
            ]
            (min(silent, key=lambda c: c._came) if silent else self)._drop()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._answering:
            self._stop_waiting()
        elif self._deadline is None:
            self._wait_for_request()

    def _wait_for_request(self) -> None:
        self._deadline = self.loop.call_later(ASK_S, self._overdue)

    def _stop_waiting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _overdue(self) -> None:
        self._deadline = None
        if not self._answering:
            self._drop()

    def _drop(self) -> None:
        self.connections.discard(self)
        self.transport.abort()


def silence_s(request: Request) -> float:
    """For how long the other end of a request's connection has not acknowledged what was sent; 0 without a socket."""
    client = request.client
    found = _by_client.get((client.host, client.port)) if client is not None else None
    connection = found.transport.get_extra_info("socket") if found is not None else None
    return 0.0 if connection is None else tcp_silence_s(connection)


def server_options() -> dict[str, Any]:
    """uvicorn's options for it: what is accepted in one go is bounded too, as each costs a descriptor."""
    return {"http": LimitedHttpProtocol, "ws": "none", "backlog": 64, "h11_max_incomplete_event_size": 16 * 1024}
