"""A studio on air: simulated cameras in processes of their own, a subject, and the console as it is served."""

import multiprocessing
import shutil
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import uvicorn
from patience import until

from camera_nodes.agent import run
from camera_nodes.agent_settings import AgentSettings
from camera_nodes.curve_keys import ensure_keys
from controller.api.app import make_console, write_address
from controller.api.connection_limits import server_options
from controller.api.server import ConsoleServer
from controller.rig_file import CameraEntry, CheckLimits, Rig, SideWork, SyncLimits, TransferLimits
from controller.studio import Studio
from controller.studio_settings import StudioSettings
from db.engine import transaction
from db.models import ConsentScope
from db.protocols import FACESCAPE, ProtocolData, install_protocol
from db.settings import Settings
from db.subjects import add_subject, give_consent

READY_S = 240.0  # on a machine that does other things too


@dataclass
class OnAir:
    """A running studio and its console."""

    home: Path
    studio: Studio
    scene: Path  # the folder that every camera photographs; perform() changes it
    subject: str = ""  # its code
    port: int = 0
    nodes: dict[str, Any] = field(default_factory=dict)  # camera -> its process
    _server: ConsoleServer | None = None
    _thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def perform(self, folder: Path) -> None:
        """The subject changes its face: every camera sees `folder`/<view>.jpg from now on."""
        new = self.scene.with_name(".next")
        new.unlink(missing_ok=True)
        new.symlink_to(folder.resolve(), target_is_directory=True)
        new.replace(self.scene)

    def serve(self) -> str:
        """Serve the console, at the same port again after stop_serving()."""
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", self.port))
        self.port = listener.getsockname()[1]
        app = make_console(self.studio, write_address(self.home, self.port))
        options: dict[str, Any] = {"log_level": "warning", "log_config": None, "timeout_graceful_shutdown": 2}
        self._server = server = ConsoleServer(uvicorn.Config(app, **options, **server_options()))
        self._thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
        self._thread.start()
        until(lambda: server.started, "the console did not start")
        return self.url

    def stop_serving(self) -> None:
        """The console is gone; the studio goes on."""
        if self._server is not None and self._thread is not None:
            self._server.should_exit = True
            self._thread.join(30)
            self._server = None

    def kill_node(self, camera: str) -> None:
        process = self.nodes.pop(camera)
        process.kill()
        process.join()


def rig_of(count: int, frontal: Sequence[int] = (), **checks: Any) -> Rig:
    """A rig that bears with a busy machine. frontal: views of frontal cameras."""
    sync = SyncLimits(
        max_clock_uncertainty_ms=20.0, max_skew_ms=1000.0, arm_timeout_ms=20_000, stamps_timeout_ms=20_000, silence_s=60
    )
    cameras = tuple(
        CameraEntry(f"cam-{view:02d}", view, tier="frontal" if view in frontal else "side", lag_ms=10.0)
        for view in range(count)
    )
    return Rig(
        "studio-a",
        cameras,
        sync=sync,
        transfer=TransferLimits(frame_timeout_s=30.0),
        checks=CheckLimits(**checks),
        side=SideWork(bumped=False, preview=False),  # they take a processor for a while
    )


@contextmanager
def studio_on_air(
    folder: Path,
    rig: Rig,
    first: Path,
    *,
    expressions: Sequence[str] = (),
    options: dict[str, str] | None = None,
    session: bool = True,
) -> Iterator[OnAir]:
    """The studio with an open session under FaceScape's protocol, or of these expressions of it alone.

    first: what the cameras photograph at first. options: of a camera's `sim:` address, by name. session: False leaves
    it without one, and no camera is waited for.
    """
    records = Settings(
        folder / "home", f"sqlite:///{folder / 'home' / 'studio.sqlite'}", str(folder / "home" / "store")
    )
    settings = StudioSettings(records, rig, control="tcp://127.0.0.1:*", bulk="tcp://127.0.0.1:*")
    with Studio(settings) as studio:
        air = OnAir(records.home, studio, folder / "now")
        air.perform(first)
        try:
            start_nodes(air, folder / "nodes", rig, options or {})
            chosen = tuple(line for line in FACESCAPE.expressions if not expressions or line[0] in expressions)
            with transaction(studio.engine) as tx:
                install_protocol(tx, ProtocolData("session", 1, chosen, FACESCAPE.recipes))
                subject = add_subject(tx)
                give_consent(tx, subject, ConsentScope.RESEARCH_RELEASE, date(2026, 1, 2))
                air.subject = subject.code
            if session:
                studio.wait_for_cameras(READY_S)
                studio.start_session(air.subject, "session")
            air.serve()
            yield air
        finally:
            air.stop_serving()
            for process in air.nodes.values():
                process.terminate()
            for process in air.nodes.values():
                process.join(10)
                process.kill()


def start_nodes(air: OnAir, folder: Path, rig: Rig, options: dict[str, str]) -> None:
    """A node a camera, each with its key enrolled; `options` of a camera's `sim:` address, by name."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["camera_nodes.agent", "camera_nodes.sim_camera"])
    for camera in rig.cameras:
        keys = folder / "keys"
        air.studio.enrol(camera.name, ensure_keys(keys, camera.name).public)
        more = options.get(camera.name, "")
        settings = AgentSettings(
            camera=camera.name,
            url=f"sim:lag_ms=10&jitter_ms=0.05&seed={camera.view}&view={camera.view}&photos={air.scene}{more}",
            control=air.studio.control_endpoint,
            bulk=air.studio.bulk_endpoint,
            keys=keys,
            spool=folder / "spool" / camera.name,
            controller_key=air.studio.public_key,
            lag_ms=10.0,
            min_free_mb=1,
            max_late_ms=1000.0,
        )
        process = context.Process(target=run, args=(settings,), name=camera.name)
        process.start()
        air.nodes[camera.name] = process


def take_pictures(folder: Path, source: Path, views: int) -> Path:
    """`folder`/<view>.jpg, each the picture `source`."""
    folder.mkdir(parents=True, exist_ok=True)
    for view in range(views):
        shutil.copyfile(source, folder / f"{view}.jpg")
    return folder
