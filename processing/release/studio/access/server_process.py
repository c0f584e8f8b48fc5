"""Server process: port, limits on connections, TLS, and the regular writing of the delivery ledger.

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
from processing.release.studio.access.delivery_ledger import Ledger

FLUSH_S = 2.0
log = logging.getLogger("mien.release.serve")


@dataclass(frozen=True)
class ListenSettings:
    """Where and how the server listens."""

    host: str = "127.0.0.1"
    port: int = 8460
    #: The server's certificate with its chain (PEM); without it, it listens on this machine alone, for a proxy.
    certificate: Path | None = None
    #: The certificate's key (PEM).
    key: Path | None = None
    #: Whether a proxy on this machine does HTTPS and says who asks.
    behind_proxy: bool = False
    #: At one time.
    connections: int = 500
    #: Of one address, at one time.
    of_address: int = 64
    #: How long a request's headers may take, s.
    headers_s: float = 10.0


class ServerLoop(asyncio.SelectorEventLoop):
    """asyncio's, where a TLS handshake that does not come has an end as early as headers that do not come."""

    async def create_server(self, *arguments: Any, **named: Any) -> Any:
        if named.get("ssl") is not None:
            named.setdefault("ssl_handshake_timeout", ListenSettings.headers_s)
        return await super().create_server(*arguments, **named)


def open_listener(settings: ListenSettings) -> socket.socket:
    """A listening socket. Raises AccessError for a host that would be reached in the clear, and for a port in use."""
    if (settings.certificate is None) != (settings.key is None):
        raise AccessError("--certificate and --key go together")
    if settings.certificate is None and not _here(settings.host):
        raise AccessError(
            f"{settings.host} would be reached in the clear; give --certificate and --key, or stay on 127.0.0.1 and "
            "let a proxy do HTTPS"
        )
    for file in (settings.certificate, settings.key):
        if file is not None and not file.is_file():
            raise AccessError(f"{file} is no file")
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((settings.host, settings.port))
        listener.listen(256)
    except OSError as error:
        listener.close()
        raise AccessError(
            f"{settings.host} port {settings.port} cannot be used: {error.strerror}; --port takes another"
        ) from None
    return listener


def make_server(app: Callable[..., Any], settings: ListenSettings) -> uvicorn.Server:
    """uvicorn with these limits. Its own log stays silent: addresses of requests hold links."""
    config = uvicorn.Config(
        app,
        http=_limited(settings),
        ws="none",
        lifespan="off",
        loop=f"{__name__}:ServerLoop",
        access_log=False,
        log_config=None,
        log_level="critical",
        server_header=False,
        timeout_keep_alive=15,
        timeout_graceful_shutdown=5,
        proxy_headers=settings.behind_proxy,
        forwarded_allow_ips="127.0.0.1,::1",
        ssl_certfile=str(settings.certificate) if settings.certificate else None,
        ssl_keyfile=str(settings.key) if settings.key else None,
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


class _LimitedProtocol(H11Protocol):
    """uvicorn's protocol with an end to waiting and to the number of connections; its settings come by _limited."""

    settings: ListenSettings
    connected: Counter[str]  # address -> connections
    _address: str | None = None
    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        address = str((transport.get_extra_info("peername") or ("",))[0])
        settings, connected = self.settings, self.connected
        of_address = settings.connections if settings.behind_proxy else settings.of_address
        if connected.total() >= settings.connections or connected[address] >= of_address:
            self.transport = transport
            transport.abort()
            return
        self._address = address
        connected[address] += 1
        super().connection_made(transport)
        self.app = self._with_abort(self.app)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._address is None:
            return
        self.connected[self._address] -= 1
        if self.connected[self._address] <= 0:
            del self.connected[self._address]
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
            self._timer = self.loop.call_later(self.settings.headers_s, self.transport.abort)

    def _unwatch(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _with_abort(self, app: Any) -> Any:
        """The application, which may close the connection by the scope's extension."""

        async def answering(scope: Any, receive: Any, send: Any) -> None:
            cycle = self.cycle

            def abort() -> None:
                cycle.disconnected = True
                self.transport.abort()

            scope["extensions"] = {"mien.abort": abort}
            await app(scope, receive, send)

        return answering


def _limited(settings: ListenSettings) -> type[H11Protocol]:
    """The protocol of one server."""
    return type("_ServersProtocol", (_LimitedProtocol,), {"settings": settings, "connected": Counter()})
