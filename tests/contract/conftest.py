"""Cameras for the contract suite.  Each lives in a process of its own: libgphoto2 has one bus a process.

A backend joins by an entry in BENCHES; test_camera.py asks that each of camera_nodes.backends.CAMERAS has one.
"""

import multiprocessing
import os
import random
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest
from patience import Patience

from camera_nodes.backends import make_camera
from camera_nodes.sim_camera import built_in_photo

# A Canon EOS that answers PTP/IP, so that libgphoto2's own EOS driver is under test.
RESPONDER = Path(__file__).parents[3] / "shared" / "tools" / "cameras" / "ptpip_body.py"
_METHODS = (
    "open", "close", "arm", "disarm", "expose", "finish", "listen", "search", "read", "delete", "check",
    "preview", "end_preview", "give_sign", "focus", "usb_reset", "power_cycle",
)  # fmt: skip


def _serve(pipe: Connection, url: str) -> None:
    camera = make_camera(url)
    camera.max_late_ns = 100_000_000  # the tests share their processors with others
    while True:
        name, arguments, options = pipe.recv()
        if name == "end":
            return
        try:
            if name in _METHODS:
                value = getattr(camera, name)(*arguments, **options)
            elif name == "now_ns":
                value = camera.clock.now_ns()
            else:
                value = getattr(camera, name)
        except Exception as error:
            pipe.send((False, error))
        else:
            pipe.send((True, value))


class RemoteCamera:
    """The same methods, each run in the camera's own process; errors come back as they were raised."""

    def __init__(self, url: str) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, far = context.Pipe()
        self._process = context.Process(target=_serve, args=(far, url), daemon=True)
        self._process.start()
        far.close()

    def call(self, name: str, *arguments: Any, **options: Any) -> Any:
        self._pipe.send((name, arguments, options))
        assert self._pipe.poll(60), f"{name} did not return"
        good, value = self._pipe.recv()
        if not good:
            raise value
        return value

    def __getattr__(self, name: str) -> Any:
        if name in _METHODS:
            return lambda *arguments, **options: self.call(name, *arguments, **options)
        return self.call(name)

    def end(self) -> None:
        self._pipe.send(("end", (), {}))
        self._process.join(20)
        assert self._process.exitcode == 0
        self._pipe.close()


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "0.jpg").write_bytes(built_in_photo("served") + bytes(50_000))
    return folder


@pytest.fixture
def remote(photos: Path) -> Iterator[Any]:
    """Makes cameras in processes of their own: remote("gphoto2:virtual", "refresh=0")."""
    made: list[RemoteCamera] = []

    def make(url: str, options: str = "", *, served: bool = True) -> RemoteCamera:
        separator = "&" if url.startswith("sim:") else "?"
        query = "&".join(part for part in (f"photos={photos}" if served else "", options) if part)
        made.append(RemoteCamera(f"{url}{separator}{query}" if query else url))
        return made[-1]

    yield make
    for camera in made:
        camera.end()


def _answers(host: str) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((host, 15740)) == 0


@pytest.fixture
def eos(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A body on the network: its address (loopback), and the folder of its card."""
    if not RESPONDER.is_file():
        pytest.skip("no body that answers PTP/IP at ../shared/tools/cameras")
    host = f"127.{os.getpid() % 200 + 20}.{random.randrange(1, 250)}.{random.randrange(1, 250)}"
    folder = tmp_path / "eos"
    environment = os.environ | {"MIEN_CLONE": str(Path(__file__).parents[2]), "SECONDS_MAX": "280"}
    body = subprocess.Popen([sys.executable, str(RESPONDER), host, str(folder)], env=environment)
    patience = Patience(30)
    while not _answers(host):
        assert body.poll() is None, "the body ended"
        assert patience.sleep(0.05), "the body does not answer"
    yield host, folder
    body.kill()
    body.wait()


def _simulated(_request: pytest.FixtureRequest, photos: Path) -> str:
    return f"sim:seed=1&lag_ms=3&photos={photos}"


def _virtual(_request: pytest.FixtureRequest, photos: Path) -> str:
    pytest.importorskip("gphoto2", reason="the gphoto2 wheel is not installed")
    return f"gphoto2:virtual?photos={photos}"


def _networked(request: pytest.FixtureRequest, _photos: Path) -> str:
    pytest.importorskip("gphoto2", reason="the gphoto2 wheel is not installed")
    host, _ = request.getfixturevalue("eos")
    return f"gphoto2:ptpip:{host}"


# What prepares a camera without hardware and says its address; `photos` is a folder with a photograph to serve, 0.jpg.
BENCHES: dict[str, Callable[[pytest.FixtureRequest, Path], str]] = {
    "sim": _simulated,
    "gphoto2": _virtual,
    "gphoto2 ptpip": _networked,
}


@pytest.fixture
def benched() -> set[str]:
    """The schemes that the suite tries."""
    return {name.partition(" ")[0] for name in BENCHES}


@pytest.fixture(params=BENCHES.values(), ids=BENCHES.keys())
def camera(request: pytest.FixtureRequest, remote: Any, photos: Path) -> Any:
    return remote(request.param(request, photos), served=False)
