"""`mien studio serve` in a process of its own, over a home with a rig file, and nodes that go on when it is killed."""

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

from patience import until
from studio_on_air import OnAir, rig_of, start_nodes, take_pictures

from controller.client import StudioClient
from controller.errors import ControllerError
from controller.rig_file import format_rig
from controller.studio import Studio
from controller.studio_settings import StudioSettings
from db.engine import transaction
from db.models import ConsentScope
from db.protocols import FACESCAPE, ProtocolData, install_protocol
from db.settings import Settings
from db.subjects import add_subject, give_consent

READY_S = 240.0  # on a machine that does other things too
END_S = 120.0


@dataclass
class StudioProcess:
    """The served studio; kill it, stop it for a while, and start it again over the same home and nodes."""

    home: Path
    port: int
    cameras: int
    subject: str
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def url(self) -> str:
        return f"http://localhost:{self.port}"

    @property
    def client(self) -> StudioClient:
        return StudioClient(self.home)

    def start(self) -> None:
        """Until every camera is ready."""
        command = [sys.executable, "-m", "mien", "studio", "serve", "--home", str(self.home), "--port", str(self.port)]
        with (self.home / "served.txt").open("wb") as said:
            self.process = subprocess.Popen(command, stderr=said, env=os.environ | {"PYTHONUNBUFFERED": "1"})
        until(self._ready, self.said, READY_S, 0.2)

    def said(self) -> str:
        """What it printed since it was started."""
        return (self.home / "served.txt").read_text()

    def first_link(self) -> str:
        """The link that it printed for the first person."""
        found = re.search(r"http://\S+/link#\S+", self.said())
        assert found is not None, self.said()
        return found.group()

    def send(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def kill(self) -> None:
        """SIGKILL: nothing is put in order."""
        assert self.process is not None
        self.send(signal.SIGKILL)
        assert self.process.wait() == -signal.SIGKILL

    def end(self) -> None:
        if self.process is None or self.process.poll() is not None:
            return
        self.send(signal.SIGCONT)
        self.process.terminate()
        try:
            self.process.wait(END_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def _ready(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.said()
        try:
            return bool(self.client.get("/api/rig")["ready"] == self.cameras)
        except ControllerError:  # it is not there yet
            return False


@contextmanager
def studio_process(
    folder: Path, picture: Path, cameras: int = 2, expressions: Sequence[str] = ("neutral", "smile"), more: str = ""
) -> Iterator[StudioProcess]:
    """A served studio whose cameras are ready, with a subject and a protocol; nobody has an account yet.

    more: further options of every camera's `sim:` address.
    """
    records = Settings(
        folder / "home", f"sqlite:///{folder / 'home' / 'studio.sqlite'}", str(folder / "home" / "store")
    )
    control, bulk = (f"tcp://127.0.0.1:{free_port()}" for _ in range(2))
    rig = rig_of(cameras)
    rig = replace(rig, transfer=replace(rig.transfer, frame_timeout_s=120.0))
    with Studio(StudioSettings(records, rig, control=control, bulk=bulk)) as studio:
        (records.home / "rig.toml").write_text(format_rig(rig))
        (records.home / "studio.toml").write_text(f'[studio]\ncontrol = "{control}"\nbulk = "{bulk}"\n')
        air = OnAir(records.home, studio, folder / "now")
        air.perform(take_pictures(folder / "photos", picture, cameras))
        studio.add_calibration("test", {})
        with transaction(studio.engine) as tx:
            chosen = tuple(line for line in FACESCAPE.expressions if line[0] in expressions)
            install_protocol(tx, ProtocolData("short", 1, chosen, FACESCAPE.recipes))
            subject = add_subject(tx)
            give_consent(tx, subject, ConsentScope.RESEARCH_RELEASE, date(2026, 1, 2))
            code = subject.code
        start_nodes(air, folder / "nodes", rig, dict.fromkeys((one.name for one in rig.cameras), more))
    made = StudioProcess(records.home, free_port(), cameras, code)
    try:
        made.start()
        yield made
    finally:
        made.end()
        for process in air.nodes.values():
            process.terminate()
        for process in air.nodes.values():
            process.join(10)
            process.kill()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
