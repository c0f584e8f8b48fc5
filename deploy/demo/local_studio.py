"""The whole studio on one machine: node processes with simulated cameras beside a Studio in this process."""

import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import urlencode

from camera_nodes.agent_settings import AgentSettings
from camera_nodes.curve_keys import ensure_keys
from common.files.atomic_write import atomic_write
from controller.rig_file import CameraEntry, Rig, SideWork, SyncLimits, format_rig
from controller.studio import Studio
from controller.studio_settings import StudioSettings
from db.settings import Settings

STOP_S = 30.0

# 68 cameras on two busy cores: be patient with them, and let a late one show in the take's skew instead of as missed.
PATIENT = SyncLimits(arm_timeout_ms=8000.0, stamps_timeout_ms=8000.0, silence_s=20.0)
MAX_LATE_MS = 20.0


@dataclass(frozen=True)
class SimulatedBody:
    """A camera body of the simulated rig."""

    name: str
    view: int
    serial: str
    frontal: bool  # whether it looks at the face's front
    lag_ms: float  # from command to exposure
    jitter_ms: float  # the lag's standard deviation

    def url(self, photos: Path) -> str:
        """The address of the body, photographing what `photos/<view>.jpg` shows at the moment of exposure."""
        options = {
            "lag_ms": f"{self.lag_ms:.3f}",
            "jitter_ms": f"{self.jitter_ms:.3f}",
            "photos": str(photos),
            "view": str(self.view),
            "serial": self.serial,
            "seed": str(self.view),
        }
        return "sim:" + urlencode(options)


class LocalStudio:
    """Every role on loopback, each camera with a process, a key and a spool of its own. A context manager.

    home: the studio's home.  scene: the folder with a photograph a view that the bodies look at.
    Raises RigNotReady when a camera is not ready in time.
    """

    def __init__(self, home: Path, nodes: Path, scene: Path, bodies: Sequence[SimulatedBody]) -> None:
        self._home, self._nodes, self._scene = home, nodes, scene
        self._bodies = list(bodies)
        self._process: subprocess.Popen[bytes] | None = None
        self._exits = ExitStack()
        self.studio: Studio

    def __enter__(self) -> Self:
        with self._exits as exits:
            records = Settings.load(self._home)
            records.make_home()
            rig = write_rig(records.home / "rig.toml", "demo", self._bodies)
            rig = dataclasses.replace(rig, side=SideWork(bumped=False, preview=False))  # the farm comes at once
            loopback = "tcp://127.0.0.1:*"
            self.studio = exits.enter_context(Studio(StudioSettings(records, rig, loopback, loopback)))
            exits.callback(self._stop_nodes)
            self._start_nodes()
            self._exits = exits.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._exits.close()

    def _start_nodes(self) -> None:
        """A file a camera, and the one command that serves all cameras of a computer; it logs into `nodes.log`."""
        files = []
        for body in self._bodies:
            folder = self._nodes / body.name
            self.studio.enrol(body.name, ensure_keys(folder / "keys", body.name).public)
            settings = AgentSettings(
                camera=body.name,
                url=body.url(self._scene),
                control=self.studio.control_endpoint,
                bulk=self.studio.bulk_endpoint,
                keys=folder / "keys",
                spool=folder / "spool",
                controller_key=self.studio.public_key,
                lag_ms=body.lag_ms,
                max_late_ms=MAX_LATE_MS,
            )
            files.append(write_node(folder / "node.toml", settings))
        self._process = run_nodes(files, self._nodes / "nodes.log")

    def _stop_nodes(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            end_nodes(process)


def run_nodes(places: Sequence[Path], log: Path) -> "subprocess.Popen[bytes]":
    """`mien node run` of these settings files or folders; what it says is added to `log`."""
    with log.open("ab") as said:
        return subprocess.Popen(
            [sys.executable, "-m", "mien", "node", "run", *map(str, places)],
            stdout=said,
            stderr=said,
            start_new_session=True,  # Ctrl-C ends the session here first, and then the nodes
        )


def end_nodes(process: "subprocess.Popen[bytes]") -> None:
    """End a run of nodes, by force where it does not end by itself."""
    process.terminate()
    try:
        process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()  # its nodes end with it
        process.wait()


def write_node(path: Path, settings: AgentSettings) -> Path:
    """The settings file of a node, as `mien node run` takes it."""
    lines = []
    for name, value in dataclasses.asdict(settings).items():
        if value is not None:
            text = str(value.absolute()) if isinstance(value, Path) else value
            lines.append(f"{name} = {json.dumps(text, ensure_ascii=False)}\n")
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as temporary:
        temporary.write_text("".join(lines), encoding="utf-8")
    return path


def write_rig(path: Path, name: str, bodies: Sequence[SimulatedBody]) -> Rig:
    """The rig file of simulated bodies."""
    cameras = tuple(
        CameraEntry(
            name=body.name,
            view=body.view,
            serial=body.serial,
            tier="frontal" if body.frontal else "side",
            lag_ms=body.lag_ms,
            lag_sigma_ms=body.jitter_ms,
        )
        for body in bodies
    )
    rig = Rig(name=name, cameras=cameras, sync=PATIENT)
    with atomic_write(path) as temporary:
        temporary.write_text(format_rig(rig), encoding="utf-8")
    return rig


def perform_expression(scene: Path, take: Path) -> None:
    """The subject changes its face: the bodies' view of the scene becomes that of `take`, at once."""
    new = scene.with_name(f".{scene.name}-{os.getpid()}")
    new.unlink(missing_ok=True)
    new.symlink_to(take.resolve(), target_is_directory=True)
    new.replace(scene)
