"""A studio in a temporary home, nodes as real processes, and a node spoken by hand where a fault needs a liar."""

import hashlib
import io
import multiprocessing
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Any, TypeVar

import pytest
import uvicorn
import zmq
from patience import Patience, until
from PIL import Image
from sqlalchemy import Engine

from camera_nodes import wire
from camera_nodes.agent import run
from camera_nodes.agent_settings import AgentSettings
from camera_nodes.curve_keys import KeyPair, ensure_keys, make_keys
from camera_nodes.transport import connect_dealer, receive_reply, send
from controller.api.app import make_console, write_address
from controller.rig_file import CameraEntry, Rig, SyncLimits, TransferLimits
from controller.studio import Studio
from controller.studio_settings import StudioSettings
from db.engine import transaction
from db.models import ConsentScope
from db.settings import Settings
from db.subjects import add_subject, give_consent

PATIENCE_S = 30.0
T = TypeVar("T")
SHORT = ("neutral", "smile", "mouth_stretch")


def make_rig(count: int, frame_timeout_s: float = 15.0, **sync: float) -> Rig:
    """A rig whose limits bear with a machine that runs other tests too."""
    patient = SyncLimits(max_clock_uncertainty_ms=5.0, arm_timeout_ms=8000, stamps_timeout_ms=8000, silence_s=20)
    limits = replace(patient, **sync)
    cameras = tuple(CameraEntry(f"cam-{view:02d}", view) for view in range(count))
    return Rig("test-rig", cameras, sync=limits, transfer=TransferLimits(frame_timeout_s=frame_timeout_s))


def make_jpeg(seed: int = 0, size: tuple[int, int] = (96, 64)) -> bytes:
    stream = io.BytesIO()
    Image.linear_gradient("L").resize(size).point(lambda v: (v + 7 * seed) % 200 + 20).save(stream, "JPEG")
    return stream.getvalue()


@dataclass
class Home:
    """A studio home with a subject and a short protocol, and the way to open a Studio in it."""

    folder: Path
    subject: str = ""
    stack: ExitStack = field(default_factory=ExitStack)

    def settings(self, rig: Rig) -> StudioSettings:
        records = Settings(self.folder, f"sqlite:///{self.folder / 'studio.sqlite'}", str(self.folder / "store"))
        return StudioSettings(records, rig, control="tcp://127.0.0.1:*", bulk="tcp://127.0.0.1:*")

    def open(self, rig: Rig, **changes: Any) -> Studio:
        """A running studio, closed with the test at the latest."""
        studio = self.stack.enter_context(Studio(replace(self.settings(rig), **changes)))
        if not self.subject:
            self.subject = add_participant(studio.engine)
        return studio


def add_participant(engine: Engine) -> str:
    from db.protocols import FACESCAPE, ProtocolData, install_protocol

    with transaction(engine) as tx:
        chosen = tuple(line for line in FACESCAPE.expressions if line[0] in SHORT)
        install_protocol(tx, ProtocolData("short", 1, chosen))
        subject = add_subject(tx)
        give_consent(tx, subject, ConsentScope.RESEARCH_RELEASE, date(2026, 1, 2))
        return subject.code


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    made = Home(tmp_path / "studio")
    with made.stack:
        yield made


class Fleet:
    """Nodes with simulated cameras, one process each."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.processes: dict[str, Any] = {}
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(["camera_nodes.agent", "camera_nodes.sim_camera"])

    def start(self, studio: Studio, urls: dict[str, str], **changes: Any) -> None:
        """urls: a camera's address by its name. changes: of the nodes' settings."""
        for camera, url in urls.items():
            keys = self.folder / "keys"
            studio.enrol(camera, ensure_keys(keys, camera).public)
            settings = AgentSettings(
                camera=camera,
                url=url,
                control=studio.control_endpoint,
                bulk=studio.bulk_endpoint,
                keys=keys,
                spool=self.folder / "spool" / camera,
                controller_key=studio.public_key,
                lag_ms=10.0,
                min_free_mb=1,
                max_late_ms=1000.0,  # what is tested here must not depend on how busy the machine is
            )
            process = self._context.Process(target=run, args=(replace(settings, **changes),), name=camera)
            process.start()
            self.processes[camera] = process

    def spooled(self, camera: str) -> list[str]:
        folder = self.folder / "spool" / camera
        aside = ("damaged", "rejected", "strays")
        return sorted(
            path.name for path in folder.iterdir() if path.is_dir() and path.name[0] != "." and path.name not in aside
        )

    def kill(self, camera: str) -> None:
        self.processes[camera].kill()
        self.processes.pop(camera).join()

    def stop(self) -> None:
        for process in self.processes.values():
            process.terminate()
        for process in self.processes.values():
            process.join(10)
            if process.is_alive():
                process.kill()
                process.join()


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    made = Fleet(tmp_path / "fleet")
    yield made
    made.stop()


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder that simulated cameras serve: <view>.jpg, each different."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for view in range(68):
        (folder / f"{view}.jpg").write_bytes(make_jpeg(view))
    return folder


def sim(view: int, photos: Path, **options: object) -> str:
    values = {"seed": view, "lag_ms": 10, "jitter_ms": 0.05, "view": view, "photos": photos} | options
    return "sim:" + "&".join(f"{key}={value}" for key, value in values.items())


@pytest.fixture
def sim_url() -> Callable[..., str]:
    return sim


@pytest.fixture
def rig_of() -> Callable[..., Rig]:
    return make_rig


@pytest.fixture
def jpeg() -> Callable[..., bytes]:
    return make_jpeg


class Speaker:
    """A node spoken by hand: real sockets, real keys, and words that no honest node would say."""

    def __init__(self, context: zmq.Context[Any], studio: Studio, keys: KeyPair, node: str, camera: str) -> None:
        self.node, self.camera = node, camera
        self.control = connect_dealer(
            context, studio.control_endpoint, keys, studio.public_key, limit=wire.CONTROL_LIMIT
        )
        self.bulk = connect_dealer(context, studio.bulk_endpoint, keys, studio.public_key, limit=wire.BULK_LIMIT)

    def say(self, message: wire.Message, bulk: bool = False) -> None:
        socket = self.bulk if bulk else self.control
        assert socket.poll(PATIENCE_S * 1000, zmq.POLLOUT), "no connection"
        assert send(socket, message, limit=wire.BULK_LIMIT)

    def hear(self, kind: type[T], bulk: bool = False, patience_s: float = PATIENCE_S) -> T | None:
        """The next message of this kind, passing over others; None when none comes in time."""
        socket, decoder = (self.bulk, wire.CONTROLLER_BULK) if bulk else (self.control, wire.CONTROLLER_CONTROL)
        patience = Patience(patience_s)
        while not patience.spent():
            if socket.poll(min(100, patience_s * 1000)):
                message = receive_reply(socket, decoder, limit=wire.BULK_LIMIT)
                if isinstance(message, kind):
                    return message
        return None

    def greet(self, **changes: Any) -> "wire.Welcome | wire.Refused":
        hello = {"node": self.node, "camera": self.camera, "serial": "1", "model": "m", "url": "u", "software": "s"}
        self.say(wire.Hello(**(hello | changes)))
        answer = self.hear(wire.Welcome | wire.Refused)
        assert answer is not None
        return answer

    def offer(self, take: str, data: bytes, **changes: Any) -> wire.Offer:
        offer = wire.Offer(
            **(
                {
                    "entry": f"{take}.f1.{self.camera}",
                    "fire_id": f"{take}.f1",
                    "take_id": take,
                    "camera": self.camera,
                    "name": "DSC_0099.JPG",
                    "sha256": hashlib.sha256(data).hexdigest(),
                    "bytes": len(data),
                }
                | changes
            )
        )
        self.say(offer, bulk=True)
        return offer

    def upload(self, take: str, data: bytes, **changes: Any) -> "wire.Stored | wire.Rejected | None":
        """Offer, then send whatever is wanted until the answer comes."""
        offer = self.offer(take, data, **changes)
        while True:
            answer = self.hear(wire.Want | wire.Stored | wire.Rejected, bulk=True)
            if not isinstance(answer, wire.Want):
                return answer
            offset = answer.offset
            for _ in range(answer.credit):
                piece = data[offset : offset + wire.CHUNK_BYTES]
                last = offset + len(piece) >= len(data)
                self.say(wire.Chunk(entry=offer.entry, offset=offset, data=piece, last=last), bulk=True)
                offset += len(piece)
                if last:
                    break

    def close(self) -> None:
        self.control.close()
        self.bulk.close()


@pytest.fixture
def speaker(tmp_path: Path) -> Iterator[Callable[..., Speaker]]:
    """speaker(studio, "cam-00") enrols a node of that name and connects it; enrol=False leaves it a stranger."""
    context: zmq.Context[Any] = zmq.Context()
    made: list[Speaker] = []

    def make(studio: Studio, camera: str, node: str = "", enrol: bool = True) -> Speaker:
        node = node or f"node-{camera}"
        keys = make_keys(tmp_path / "speakers", f"{node}-{len(made)}")
        if enrol:
            studio.enrol(node, keys.public)
        made.append(Speaker(context, studio, keys, node, camera))
        return made[-1]

    yield make
    for each in made:
        each.close()
    context.destroy(linger=0)


@pytest.fixture
def serve(home: Any) -> Iterator[Callable[[Studio], str]]:
    """serve(studio): its console on a socket of its own, so that commands find it; its address."""
    with ExitStack() as stack:

        def start(studio: Studio) -> str:
            listener = stack.enter_context(socket.socket())
            listener.bind(("127.0.0.1", 0))
            port = listener.getsockname()[1]
            app = make_console(studio, write_address(home.folder, port))
            server = uvicorn.Server(uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=2))
            thread = threading.Thread(target=lambda: server.run(sockets=[listener]))
            thread.start()
            stack.callback(thread.join, 20)
            stack.callback(setattr, server, "should_exit", True)
            until(lambda: server.started, "the console did not start")
            return f"http://127.0.0.1:{port}"

        yield start
