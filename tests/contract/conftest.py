"""Cameras for the contract suite.  A gphoto2 camera lives in a process of its own: libgphoto2 has one bus a process."""

import multiprocessing
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest

from camera_nodes.backends import make_camera
from camera_nodes.sim_camera import built_in_photo

BACKENDS = ("sim:seed=1&lag_ms=3", "gphoto2:virtual")
_METHODS = (
    "open", "close", "arm", "disarm", "expose", "finish", "listen", "search", "read", "delete", "check",
    "preview", "end_preview", "usb_reset", "power_cycle",
)  # fmt: skip


def _serve(pipe: Connection, url: str) -> None:
    camera = make_camera(url)
    camera.max_late_ns = 100_000_000  # the tests share their processors with others
    while True:
        name, arguments = pipe.recv()
        if name == "end":
            return
        try:
            if name in _METHODS:
                value = getattr(camera, name)(*arguments)
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

    def call(self, name: str, *arguments: Any) -> Any:
        self._pipe.send((name, arguments))
        assert self._pipe.poll(60), f"{name} did not return"
        good, value = self._pipe.recv()
        if not good:
            raise value
        return value

    def __getattr__(self, name: str) -> Any:
        if name in _METHODS:
            return lambda *arguments: self.call(name, *arguments)
        return self.call(name)

    def end(self) -> None:
        self._pipe.send(("end", ()))
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

    def make(url: str, options: str = "") -> RemoteCamera:
        separator = "&" if url.startswith("sim:") else "?"
        query = "&".join(part for part in (f"photos={photos}", options) if part)
        made.append(RemoteCamera(f"{url}{separator}{query}"))
        return made[-1]

    yield make
    for camera in made:
        camera.end()


@pytest.fixture(params=BACKENDS, ids=["sim", "gphoto2"])
def camera(request: pytest.FixtureRequest, remote: Any) -> Any:
    if request.param.startswith("gphoto2"):
        pytest.importorskip("gphoto2", reason="the gphoto2 wheel is not installed")
    return remote(request.param)
