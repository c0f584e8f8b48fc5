"""A served console of a studio with simulated cameras, and a reader of its stream that applies the patches."""

import json
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
import uvicorn
from patience import until

from controller.api.app import make_console
from controller.api.connection_limits import server_options
from controller.api.server import ConsoleServer
from controller.console.state.snapshot import Snapshot
from controller.console.stream.merge_patch import apply_patch
from controller.studio import Studio
from controller.trigger.trigger import Trigger

TOKEN = "secret-token"
HEADERS = {"Authorization": f"Bearer {TOKEN}"}


@dataclass
class Follower:
    """One page's end of the stream, in a thread of its own."""

    url: str
    state: dict[str, Any] = field(default_factory=dict)
    revision: int = -1
    events: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    ended: bool = False
    changed: threading.Condition = field(default_factory=threading.Condition)

    def start(self) -> "Follower":
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()
        return self

    def _read(self) -> None:
        try:
            with httpx.stream("GET", self.url, headers=HEADERS, timeout=60) as answer:
                assert answer.status_code == 200, answer.status_code
                kind = ""
                for line in answer.iter_lines():
                    if line.startswith("event: "):
                        kind = line.removeprefix("event: ")
                    elif line.startswith("data: "):
                        self._take(kind, json.loads(line.removeprefix("data: ")))
        except httpx.HTTPError:
            pass
        finally:
            with self.changed:
                self.ended = True
                self.changed.notify_all()

    def _take(self, kind: str, data: dict[str, Any]) -> None:
        with self.changed:
            self.events.append((kind, data))
            if kind == "snapshot":
                self.state = data["state"]
            elif kind == "change":
                self.state = apply_patch(self.state, data["patch"])
            self.revision = data.get("revision", self.revision)
            self.changed.notify_all()

    def until(self, holds: Callable[[dict[str, Any]], Any], what: str = "the state did not become so") -> Any:
        """What `holds` says of the state, once it is true."""

        def look() -> Any:
            with self.changed:
                try:
                    return self.state and holds(self.state)
                except KeyError:  # what is not known is not there
                    return False

        return until(look, lambda: f"{what}: {json.dumps(self.state)[:3000]}")


@dataclass
class Served:
    """A console at a port of its own."""

    studio: Studio
    url: str
    server: ConsoleServer
    thread: threading.Thread
    trigger: Trigger
    followers: list[Follower] = field(default_factory=list)

    def follow(self, query: str = "") -> Follower:
        self.followers.append(Follower(f"{self.url}/stream{query}").start())
        return self.followers[-1]

    def ask(self, method: str, path: str, **options: Any) -> httpx.Response:
        headers = HEADERS | options.pop("headers", {})
        return httpx.request(method, self.url + path, headers=headers, timeout=60, **options)

    @property
    def whole(self) -> dict[str, Any]:
        """The state as it is composed anew."""
        return Snapshot(self.studio, self.trigger).compose()

    def stop(self) -> None:
        self.server.should_exit = True
        self.thread.join(30)


@pytest.fixture
def serve() -> Iterator[Callable[[Studio], Served]]:
    """serve(studio): its console, served by uvicorn as `mien studio serve` does."""
    all_served: list[Served] = []

    def begin(studio: Studio) -> Served:
        listener = socket.socket()
        listener.bind(("127.0.0.1", 0))
        app = make_console(studio, TOKEN)
        config = uvicorn.Config(
            app, log_level="warning", log_config=None, timeout_graceful_shutdown=20, **server_options()
        )
        server = ConsoleServer(config)
        thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
        thread.start()
        until(lambda: server.started, "the console did not start")
        all_served.append(
            Served(studio, f"http://127.0.0.1:{listener.getsockname()[1]}", server, thread, app.state.trigger)
        )
        return all_served[-1]

    yield begin
    for served in all_served:
        served.stop()


@pytest.fixture
def shooting(
    home: Any, fleet: Any, rig_of: Callable[..., Any], photos: Any, sim_url: Callable[..., str], serve: Any
) -> Callable[..., tuple[Served, str]]:
    """shooting(cam_01={"drop": 1}): a served studio of two cameras that are ready, with an open session."""

    def begin(count: int = 2, **options: dict[str, object]) -> tuple[Served, str]:
        studio = home.open(rig_of(count))
        urls = {
            camera.name: sim_url(camera.view, photos, **options.get(camera.name.replace("-", "_"), {}))
            for camera in studio.rig.cameras
        }
        fleet.start(studio, urls)
        studio.wait_for_cameras(30)
        return serve(studio), studio.start_session(home.subject, "short")

    return begin
