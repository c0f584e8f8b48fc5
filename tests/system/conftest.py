"""A bench of real parts: a Studio, nodes as processes of their own, and the records read from outside."""

import hashlib
import io
import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from patience import until
from PIL import Image

from camera_nodes.curve_keys import ensure_keys
from controller.rig_file import CameraEntry, Rig, SyncLimits, TransferLimits
from controller.studio import Studio
from controller.studio_settings import StudioSettings
from db.engine import transaction, utc_now
from db.models import ConsentScope, TakeState
from db.protocols import FACESCAPE, ProtocolData, install_protocol
from db.settings import Settings
from db.subjects import add_subject, give_consent

PATIENCE_S = 60.0
SETTLED = (TakeState.CAPTURED, TakeState.FAILED, TakeState.ACCEPTED, TakeState.SUPERSEDED)
NODE = Path(__file__).with_name("doomed_node.py")


def rig_of(
    count: int, *, frame_timeout_s: float = 4.0, stamps_timeout_ms: float = 3000.0, minimum_lead_ms: float = 150.0
) -> Rig:
    """Patient with a busy machine, and short only where a dead node is waited for."""
    sync = SyncLimits(
        max_clock_uncertainty_ms=5.0,
        arm_timeout_ms=8000,
        stamps_timeout_ms=stamps_timeout_ms,
        silence_s=20,
        minimum_lead_ms=minimum_lead_ms,
    )
    cameras = tuple(CameraEntry(f"cam-{view:02d}", view) for view in range(count))
    return Rig("bench", cameras, sync=sync, transfer=TransferLimits(frame_timeout_s=frame_timeout_s))


class Bench:
    """One studio and its nodes. `start` runs a node, honest or doomed; everything ends with the test."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.stack = ExitStack()
        self.nodes: dict[str, subprocess.Popen[bytes]] = {}
        self.routes: dict[str, bytes] = {}  # of a camera's earlier node, which is taken as present for a while
        self.studio: Studio
        self.session = ""
        self.scene = folder / "scene"
        self.scene.mkdir(parents=True)

    def open(self, rig: Rig, host: str = "127.0.0.1") -> Studio:
        home = self.folder / "home"
        records = Settings(home, f"sqlite:///{home / 'studio.sqlite'}", str(home / "store"))
        settings = StudioSettings(records, rig, control=f"tcp://{host}:*", bulk=f"tcp://{host}:*")
        self.studio = self.stack.enter_context(Studio(settings))
        with transaction(self.studio.engine) as tx:
            chosen = tuple(line for line in FACESCAPE.expressions if line[0] in ("neutral", "smile"))
            install_protocol(tx, ProtocolData("two", 1, chosen))
            who = add_subject(tx)
            give_consent(tx, who, ConsentScope.RESEARCH_RELEASE, utc_now().date())
            subject = who.code
        self.session = self.studio.start_session(subject, "two")
        return self.studio

    def show(self, number: int, extra: int = 0) -> dict[str, str]:
        """Put a new scene before the cameras: their photographs' hashes by camera. `extra`: bytes more a photograph."""
        expected = {}
        for camera in self.studio.rig.cameras:
            data = photograph(f"scene {number} view {camera.view}", extra)
            (self.scene / f"{camera.view}.new").write_bytes(data)
            (self.scene / f"{camera.view}.new").rename(self.scene / f"{camera.view}.jpg")
            expected[camera.name] = hashlib.sha256(data).hexdigest()
        return expected

    def start(
        self, camera: str, moment: str = "never", *, namespace: str = "", bulk: str = "", **options: object
    ) -> None:
        """Run the node of a camera, up to `moment`. namespace: the network namespace to run it in."""
        if earlier := self.studio.link.nodes().get(camera):
            self.routes[camera] = earlier.route
        keys = self.folder / "keys"
        self.studio.enrol(camera, ensure_keys(keys, camera).public)
        view = int(camera.rpartition("-")[2])
        given = {"seed": view, "lag_ms": 10, "jitter_ms": 0.05, "view": view, "photos": self.scene} | options
        settings = {
            "camera": camera,
            "url": "sim:" + "&".join(f"{key}={value}" for key, value in given.items()),
            "control": self.studio.control_endpoint,
            "bulk": bulk or self.studio.bulk_endpoint,
            "keys": str(keys),
            "spool": str(self.spool(camera)),
            "controller_key": self.studio.public_key,
            "lag_ms": 10.0,
            "min_free_mb": 1,
            "max_late_ms": 1000.0,  # what is tested here must not depend on how busy the machine is
        }
        file = self.folder / f"{camera}.json"
        file.write_text(json.dumps(settings))
        command = [sys.executable, str(NODE), str(file), moment]
        if namespace:
            command = ["ip", "netns", "exec", namespace, *command]
        with (self.folder / f"{camera}.log").open("ab") as log:
            self.nodes[camera] = subprocess.Popen(command, stdout=log, stderr=log)

    def start_all(self) -> None:
        for camera in self.studio.rig.cameras:
            self.start(camera.name)

    def ready(self) -> None:
        """Until every camera's present process is here, with a clock that is known."""
        for camera, route in self.routes.items():
            self.until(lambda camera=camera, route=route: self._route(camera) not in (b"", route))
        self.studio.wait_for_cameras(PATIENCE_S)

    def _route(self, camera: str) -> bytes:
        state = self.studio.link.nodes().get(camera)
        return state.route if state is not None else b""

    def wait_dead(self, camera: str) -> None:
        assert self.nodes.pop(camera).wait(PATIENCE_S) == -9

    def kill(self, camera: str) -> None:
        node = self.nodes.pop(camera)
        node.kill()
        node.wait()

    def fire_behind(self, expression: str = "neutral") -> Callable[[], Any]:
        """Fire from another thread; the function that is returned waits for what came of it."""
        outcome: list[Any] = []

        def fire() -> None:
            try:
                taken = bool(self.studio.state_of(self.session).takes_of(self.position(expression)))
                outcome.append((self.studio.retake if taken else self.studio.fire)(self.session, expression))
            except BaseException as error:
                outcome.append(error)

        thread = threading.Thread(target=fire)
        thread.start()

        def result() -> Any:
            thread.join(2 * PATIENCE_S)
            assert outcome, "the fire never ended"
            if isinstance(outcome[0], BaseException):
                raise outcome[0]
            return outcome[0]

        return result

    def fire(self, expression: str = "neutral") -> Any:
        return self.fire_behind(expression)()

    def position(self, expression: str) -> int:
        return self.studio.state_of(self.session).find(expression).position

    def settled(self, take: str) -> Any:
        """The take's line in the records once it is decided."""
        self.until(lambda: self.studio.records.take(take).state in SETTLED)
        return self.studio.records.take(take)

    def until(self, condition: Callable[[], object]) -> None:
        until(condition, "did not come to pass", PATIENCE_S)

    def spool(self, camera: str) -> Path:
        return self.folder / "spool" / camera

    def spooled(self, camera: str) -> list[str]:
        if not self.spool(camera).exists():
            return []
        aside = ("damaged", "rejected", "strays")
        return sorted(
            path.name
            for path in self.spool(camera).iterdir()
            if path.is_dir() and path.name[0] != "." and path.name not in aside
        )

    def aside(self, camera: str, where: str) -> list[str]:
        folder = self.spool(camera) / where
        return sorted(path.name for path in folder.iterdir()) if folder.exists() else []

    def close(self) -> None:
        for node in self.nodes.values():
            node.kill()
        for node in self.nodes.values():
            node.wait()
        self.stack.close()


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path / "bench")
    yield made
    made.close()


@pytest.fixture
def patient_rig() -> Callable[..., Rig]:
    return rig_of


_PICTURE = io.BytesIO()
Image.linear_gradient("L").resize((64, 48)).save(_PICTURE, "JPEG")


def photograph(comment: str, extra: int = 0) -> bytes:
    """A JPEG that says what it shows, so that no two are alike; `extra` bytes after its end weigh it down."""
    text = comment.encode()
    data = _PICTURE.getvalue()
    return data[:2] + b"\xff\xfe" + (len(text) + 2).to_bytes(2, "big") + text + data[2:] + bytes(extra)


@pytest.fixture
def make_photograph() -> Callable[..., bytes]:
    return photograph
