"""The studio as a server: its console on loopback and by TLS on the network, and a clean end on Ctrl-C or SIGTERM."""

import asyncio
import errno
import math
import socket
import sys
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass

import uvicorn
from fastapi import FastAPI

from camera_nodes.sd_notify import Service
from common.guarding.log_fields import LogFormat
from common.guarding.log_records import log_to
from controller.accounts.console_certificate import ConsoleCertificate, console_certificate
from controller.api.app import make_console, write_address
from controller.api.connection_limits import ASK_S, LimitedHttpProtocol, server_options
from controller.client import ADDRESS_FILE
from controller.errors import ControllerError
from controller.metrics.scrape_token import ScrapeToken
from controller.metrics.studio_collector import ConsoleLoad
from controller.node_links.connection_guard import raise_descriptor_limit
from controller.studio import Studio
from controller.studio_settings import StudioSettings
from db.access_guard import require_home

LOOPBACK = "127.0.0.1"
SOCKET_THREADS = {"mien-control", "mien-ingest"}
SWITCH_S = 0.0005  # threads take turns ten times as often as by default, so a pong waits for nobody


Beside = Callable[[Studio, FastAPI], AbstractContextManager[None]]


def serve_studio(
    settings: StudioSettings,
    port: int | None = None,
    log_format: LogFormat | None = None,
    beside: Beside = lambda _studio, _app: nullcontext(),
) -> None:
    """Serve until interrupted. log_format: goes before what the settings say. beside: entered while it is served.

    Raises ControllerError when the console's port is taken.
    """
    require_home(settings.records)
    log_to(form=log_format or settings.log_format)
    raise_descriptor_limit()
    sys.setswitchinterval(SWITCH_S)
    port = port or settings.console_port
    with ExitStack() as listening:
        listener = listening.enter_context(_listener(LOOPBACK, port))
        secure = None
        if settings.console_address:
            certificate = console_certificate(settings.records.keys, set(settings.network_names()))
            secure = SecureDoor(listening.enter_context(_listener(settings.console_address, port)), certificate)
        with Studio(settings) as studio:
            address = settings.records.home / ADDRESS_FILE
            load = ConsoleLoad()
            token = write_address(settings.records.home, port)
            scrape = ScrapeToken(settings.records.home)
            app = make_console(studio, token, scrape, load, settings.network_names())
            config = uvicorn.Config(
                app, log_level="warning", log_config=None, timeout_graceful_shutdown=5, **server_options()
            )
            server = ConsoleServer(config, secure)
            load.connections = lambda: len(server.server_state.connections)
            print(f"Rig {settings.rig.name}: {len(settings.rig.cameras)} cameras expected", file=sys.stderr)
            print(f"Nodes connect to   {studio.control_endpoint} and {studio.bulk_endpoint}", file=sys.stderr)
            print(f"Controller's key   {studio.public_key}", file=sys.stderr)
            _tell_doors(studio, port, secure)
            service = Service()
            service.ready(f"rig {settings.rig.name}, console http://localhost:{port}/")
            watch = threading.Thread(target=_watch, args=(service,), name="mien-watchdog", daemon=True)
            watch.start()
            try:
                with beside(studio, app):
                    server.run(sockets=[listener])
            finally:
                service.stopping()
                address.unlink(missing_ok=True)


@dataclass(frozen=True)
class SecureDoor:
    """Where other devices of the network come in, by TLS."""

    listener: socket.socket
    certificate: ConsoleCertificate


class ConsoleServer(uvicorn.Server):
    """uvicorn's server, in the clear on loopback and by TLS on the network. At its end streams are ended first."""

    def __init__(self, config: uvicorn.Config, secure: SecureDoor | None = None) -> None:
        super().__init__(config)
        self._secure = secure

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self._secure is None:
            return
        self.servers.append(
            await asyncio.get_running_loop().create_server(
                self._protocol,
                sock=self._secure.listener,
                ssl=self._secure.certificate.context(),
                ssl_handshake_timeout=ASK_S,
                backlog=self.config.backlog,
            )
        )

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await asyncio.to_thread(self.config.app.state.publisher.stop)  # type: ignore[union-attr]
        await super().shutdown(sockets)

    def _protocol(self) -> asyncio.Protocol:
        return LimitedHttpProtocol(self.config, self.server_state, self.lifespan.state)


def _listener(address: str, port: int) -> socket.socket:
    """Bound, and not yet listening. Raises ControllerError."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((address, port))
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRNOTAVAIL:
            raise ControllerError(
                f"console_address {address} is no address of this machine now ({error.strerror}); ip -br address "
                "lists them"
            ) from error
        raise ControllerError(f"port {port} is taken ({error.strerror}): is another studio running? --port") from error
    return listener


def _tell_doors(studio: Studio, port: int, secure: SecureDoor | None) -> None:
    """Where the console is, and how the first person gets in."""
    print(f"Console            http://localhost:{port}/", file=sys.stderr)
    if secure is not None:
        for name in sorted(secure.certificate.names):
            host = f"[{name}]" if ":" in name else name
            print(f"  on the network   https://{host}:{port}/", file=sys.stderr)
        new = ", made just now" if secure.certificate.is_new else ""
        print(f"  its certificate  SHA-256 {secure.certificate.fingerprint}{new}", file=sys.stderr)
    token = None if studio.settings.setting_up else studio.accounts.first_link()
    if token is not None:
        print(
            "Nobody has an account yet. Whoever opens this link first, within an hour, is the manager:", file=sys.stderr
        )
        print(f"  http://localhost:{port}/link#{token}", file=sys.stderr)
    sys.stderr.flush()


def _watch(service: Service) -> None:
    """Tell the watchdog as long as the threads that own the sockets run: a studio without them serves nobody."""
    while service.wait_s() < math.inf and {thread.name for thread in threading.enumerate()} >= SOCKET_THREADS:
        service.alive()
        time.sleep(max(0.1, service.wait_s()))
