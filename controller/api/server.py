"""The studio as a server: a Studio, its console on loopback, and a clean end on Ctrl-C or SIGTERM."""

import asyncio
import math
import socket
import sys
import threading
import time

import uvicorn

from camera_nodes.sd_notify import Service
from common.guarding.log_fields import LogFormat
from common.guarding.log_records import log_to
from controller.api.app import make_console, write_address
from controller.api.connection_limits import server_options
from controller.client import ADDRESS_FILE
from controller.errors import ControllerError
from controller.metrics.scrape_token import ScrapeToken
from controller.metrics.studio_collector import ConsoleLoad
from controller.node_links.connection_guard import raise_descriptor_limit
from controller.studio import Studio
from controller.studio_settings import StudioSettings
from db.access_guard import require_home

SOCKET_THREADS = {"mien-control", "mien-ingest"}
SWITCH_S = 0.0005  # threads take turns ten times as often as by default, so a pong waits for nobody


def serve_studio(settings: StudioSettings, port: int | None = None, log_format: LogFormat | None = None) -> None:
    """Serve until interrupted. log_format: goes before what the settings say.

    Raises ControllerError when the console's port is taken.
    """
    require_home(settings.records)
    log_to(form=log_format or settings.log_format)
    raise_descriptor_limit()
    sys.setswitchinterval(SWITCH_S)
    port = port or settings.console_port
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
        except OSError as error:
            raise ControllerError(
                f"port {port} is taken ({error.strerror}): is another studio running? --port"
            ) from error
        with Studio(settings) as studio:
            address = settings.records.home / ADDRESS_FILE
            load = ConsoleLoad()
            token = write_address(settings.records.home, port)
            app = make_console(studio, token, ScrapeToken(settings.records.home), load)
            server = ConsoleServer(
                uvicorn.Config(
                    app, log_level="warning", log_config=None, timeout_graceful_shutdown=5, **server_options()
                )
            )
            load.connections = lambda: len(server.server_state.connections)
            print(f"Rig {settings.rig.name}: {len(settings.rig.cameras)} cameras expected", file=sys.stderr)
            print(f"Nodes connect to   {studio.control_endpoint} and {studio.bulk_endpoint}", file=sys.stderr)
            print(f"Controller's key   {studio.public_key}", file=sys.stderr)
            print(f"Console            http://127.0.0.1:{port}/", file=sys.stderr, flush=True)
            service = Service()
            service.ready(f"rig {settings.rig.name}, console http://127.0.0.1:{port}/")
            watch = threading.Thread(target=_watch, args=(service,), name="mien-watchdog", daemon=True)
            watch.start()
            try:
                server.run(sockets=[listener])
            finally:
                service.stopping()
                address.unlink(missing_ok=True)


class ConsoleServer(uvicorn.Server):
    """uvicorn's server, which waits for open answers at its end: streams are ended first."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await asyncio.to_thread(self.config.app.state.publisher.stop)  # type: ignore[union-attr]
        await super().shutdown(sockets)


def _watch(service: Service) -> None:
    """Tell the watchdog as long as the threads that own the sockets run: a studio without them serves nobody."""
    while service.wait_s() < math.inf and {thread.name for thread in threading.enumerate()} >= SOCKET_THREADS:
        service.alive()
        time.sleep(max(0.1, service.wait_s()))
