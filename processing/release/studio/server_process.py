"""The gated server as a process: its port, its limits on connections, TLS, and the ledger's regular writing.

uvicorn waits for ever for a request's headers, on any number of connections; here both have an end, so that half-open
connections leave room for those who fetch.
"""

import asyncio
import ipaddress
import logging
import resource
import socket
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from db.errors import RecordError
from processing.release.formats.errors import AccessError
from processing.release.studio.delivery_ledger import Ledger

FLUSH_S = 2.0
log = logging.getLogger("mien.release.serve")


@dataclass(frozen=True)
class ListenSettings:
    """Where and how the server listens. connections, of_address: at one time.  headers_s: how long a request's headers
    may take.  certificate, key: PEM files; without them it listens on this machine alone, for a proxy.
    """

    host: str = "127.0.0.1"
    port: int = 8460
    certificate: Path | None = None
    key: Path | None = None
    behind_proxy: bool = False
    connections: int = 500
    of_address: int = 64
    headers_s: float = 10.0


class ServerLoop(asyncio.SelectorEventLoop):
    """asyncio's, where a TLS handshake that does not come has an end as early as headers that do not come."""

    async def create_server(self, *arguments: Any, **named: Any) -> Any:
        if named.get("ssl") is not None:
            named.setdefault("ssl_handshake_timeout", ListenSettings.headers_s)
        return await super().create_server(*arguments, **named)


def open_door(door: ListenSettings) -> socket.socket:
    """A listening socket. Raises AccessError for a host that would be reached in the clear, and for a port in use."""
    if (door.certificate is None) != (door.key is None):
        raise AccessError("--certificate and --key go together")
    if door.certificate is None and not _here(door.host):
        raise AccessError(
            f"{door.host} would be reached in the clear; give --certificate and --key, or stay on 127.0.0.1 and let a "
            "proxy do HTTPS"
        )
    for file in (door.certificate, door.key):
        if file is not None and not file.is_file():
            raise AccessError(f"{file} is no file")
    family = socket.AF_INET6 if ":" in door.host else socket.AF_INET
    listener = socket.socket(family)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((door.host, door.port))
        listener.listen(256)
    except OSError as error:
        listener.close()
        raise AccessError(
            f"{door.host} port {door.port} cannot be used: {error.strerror}; --port takes another"
        ) from None
    return listener


def make_server(app: Callable[..., Any], door: ListenSettings) -> uvicorn.Server:
    """uvicorn with this door's limits. Its own log stays silent: addresses of requests hold links."""
    config = uvicorn.Config(
        app,
        http=_guarded(door),
        ws="none",
        lifespan="off",
        loop=f"{__name__}:ServerLoop",
        access_log=False,
        log_config=None,
        log_level="critical",
        server_header=False,
        timeout_keep_alive=15,
        timeout_graceful_shutdown=5,
        proxy_headers=door.behind_proxy,
        forwarded_allow_ips="127.0.0.1,::1",
        ssl_certfile=str(door.certificate) if door.certificate else None,
        ssl_keyfile=str(door.key) if door.key else None,
    )
    return uvicorn.Server(config)


def serve_until_stopped(server: uvicorn.Server, listener: socket.socket, ledger: Ledger) -> None:
    """Serve until Ctrl-C or SIGTERM; the ledger is written every two seconds and at the end."""
    with suppress(ValueError, OSError):
        most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    ended = threading.Event()
    writer = threading.Thread(target=_write, args=(ledger, ended), name="mien-ledger")
    writer.start()
    try:
        server.run(sockets=[listener])
    finally:
        ended.set()
        writer.join()
        ledger.flush()


def _write(ledger: Ledger, ended: threading.Event) -> None:
    while not ended.wait(FLUSH_S):
        try:
            ledger.flush()
        except RecordError as error:
            log.error("the ledger is written later: %s", error)


def _here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _guarded(door: ListenSettings) -> type[H11Protocol]:
    """uvicorn's protocol with an end to waiting and to the number of connections."""
    there: Counter[str] = Counter()
    of_address = door.connections if door.behind_proxy else door.of_address

    class Guarded(H11Protocol):
        _address: str | None = None
        _timer: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            address = str((transport.get_extra_info("peername") or ("",))[0])
            if there.total() >= door.connections or there[address] >= of_address:
                self.transport = transport
                transport.abort()
                return
            self._address = address
            there[address] += 1
            super().connection_made(transport)
            self.app = self._with_abort(self.app)
            self._watch()

        def connection_lost(self, exc: Exception | None) -> None:
            if self._address is None:
                return
            there[self._address] -= 1
            if there[self._address] <= 0:
                del there[self._address]
            self._unwatch()
            super().connection_lost(exc)

        def data_received(self, data: bytes) -> None:
            if self._address is None:
                return
            super().data_received(data)
            self._watch()

        def _watch(self) -> None:
            if self.conn.their_state is not h11.IDLE:
                self._unwatch()
            elif self._timer is None:
                self._timer = self.loop.call_later(door.headers_s, self.transport.abort)

        def _unwatch(self) -> None:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None

        def _with_abort(self, app: Any) -> Any:
            async def answering(scope: Any, receive: Any, send: Any) -> None:
                cycle = self.cycle

                def abort() -> None:
                    cycle.disconnected = True
                    self.transport.abort()

                scope["extensions"] = {"mien.abort": abort}
                await app(scope, receive, send)

            return answering

    return Guarded
