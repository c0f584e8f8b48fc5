"""The rig of a rehearsal: camera computers that can be switched off, bodies that go wrong while they run."""

import json
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlencode

from camera_nodes.agent_settings import AgentSettings
from camera_nodes.curve_keys import ensure_keys
from common.files.atomic_write import write_whole
from controller.studio import Studio
from deploy.demo.local_studio import MAX_LATE_MS, SimulatedBody, end_nodes, run_nodes, write_node

PER_COMPUTER = 4
NO_ROOM_MB = 1_000_000_000  # more than any disk has


def computers_of(cameras: Sequence[str]) -> dict[str, list[str]]:
    """Four cameras a computer, as is usual."""
    groups = [cameras[at : at + PER_COMPUTER] for at in range(0, len(cameras), PER_COMPUTER)]
    return {f"pi-{number:02d}": list(group) for number, group in enumerate(groups, 1)}


class SimulatedRig:
    """start() the nodes and stop() them once; whatever goes wrong between is said by the methods."""

    def __init__(
        self, folder: Path, scene: Path, bodies: Sequence[SimulatedBody], max_late_ms: float = MAX_LATE_MS
    ) -> None:
        """scene: the folder with a photograph a view that the bodies look at. max_late_ms: of each node."""
        self._max_late_ms = max_late_ms
        self._folder = folder
        self._scene = scene
        self._bodies = {body.name: body for body in bodies}
        self.computers: Mapping[str, Sequence[str]] = computers_of(list(self._bodies))
        self._of = {camera: computer for computer, own in self.computers.items() for camera in own}
        self._settings: dict[str, AgentSettings] = {}
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, studio: Studio) -> None:
        """Enrol a node a camera, and start every computer."""
        for body in self._bodies.values():
            folder = self._folder / body.name
            studio.enrol(body.name, ensure_keys(folder / "keys", body.name).public)
            self.befall(body.name)
            self._settings[body.name] = AgentSettings(
                camera=body.name,
                url=self._url(body, body.name),
                control=studio.control_endpoint,
                bulk=studio.bulk_endpoint,
                keys=folder / "keys",
                spool=folder / "spool",
                computer=self._of[body.name],
                controller_key=studio.public_key,
                lag_ms=body.lag_ms,
                max_late_ms=self._max_late_ms,
                min_free_mb=1,
            )
            self._write(body.name, self._settings[body.name])
        for computer in self.computers:
            self.switch_on(computer)

    def stop(self) -> None:
        for computer in list(self._processes):
            self.switch_off(computer)

    def befall(self, camera: str, **options: object) -> None:
        """Let these keys of its `sim:` address be so from now on; without any it is as it was."""
        lines = [f"{key} = {json.dumps(value)}\n" for key, value in options.items()]
        write_whole(self._folder / camera / "script.toml", "".join(lines), durable=False)

    def swap(self, first: str, second: str) -> None:
        """Each of them has the other's body from now on; their nodes start anew."""
        for camera, other in ((first, second), (second, first)):
            settings, body = self._settings[camera], replace(self._bodies[camera], serial=self._bodies[other].serial)
            self._renew(camera, replace(settings, url=self._url(body, camera)))

    def fill_disk(self, camera: str) -> None:
        """The disk of its node is full; its node starts anew."""
        self._renew(camera, replace(self._settings[camera], min_free_mb=NO_ROOM_MB))

    def put_right(self, camera: str) -> None:
        """Its body, its node and their places are as they were."""
        self.befall(camera)
        self._renew(camera, self._settings[camera])

    def switch_on(self, computer: str) -> None:
        if computer in self._processes:
            return
        self._processes[computer] = run_nodes([self._folder / computer], self._folder / "nodes.log")

    def switch_off(self, computer: str) -> None:
        process = self._processes.pop(computer, None)
        if process is not None:
            end_nodes(process)

    def _url(self, body: SimulatedBody, camera: str) -> str:
        script = (self._folder / camera / "script.toml").absolute()
        return f"{body.url(self._scene)}&{urlencode({'script': str(script)})}"

    def _renew(self, camera: str, settings: AgentSettings) -> None:
        """Its node starts anew where its settings are others."""
        path = self._folder / self._of[camera] / f"{camera}.toml"
        before = path.read_bytes()
        self._write(camera, settings)
        process = self._processes.get(self._of[camera])
        if process is not None and path.read_bytes() != before:
            process.send_signal(signal.SIGUSR1)

    def _write(self, camera: str, settings: AgentSettings) -> None:
        write_node(self._folder / self._of[camera] / f"{camera}.toml", settings)
