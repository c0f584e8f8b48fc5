"""The code of the how-tos runs as printed: a camera backend, a release of the shutter, a check of takes."""

import os
import sys
import threading
import time
import tty
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from patience import Patience
from printed_blocks import ROOT, blocks_of

from camera_nodes.backends import CAMERAS, RELEASES, Backend, make_camera, make_release
from camera_nodes.camera import BodyFile, ShutterRelease
from camera_nodes.errors import BadAddress, CameraFault
from camera_nodes.sim_camera import built_in_photo
from camera_nodes.wire import Exposure
from controller.take_checks.check_context import TakeCheck


@dataclass
class Bench:
    """As in the contract suite."""

    release: ShutterRelease
    exposures: Any
    fail: Any


def python_blocks(name: str) -> list[str]:
    """The Python code of docs/how-to/NAME.md, block by block."""
    text = (ROOT / f"docs/how-to/{name}.md").read_text()
    return [block.text.strip() for block in blocks_of(text, name) if block.language == "python"]


def module(patch: pytest.MonkeyPatch, name: str, code: str) -> ModuleType:
    """The code as this module, for as long as the test lasts."""
    made = ModuleType(name)
    patch.setitem(sys.modules, name, made)
    exec(compile(code, name, "exec"), made.__dict__)
    return made


def bench(code: str, name: str) -> Any:
    """A function of a test suite, with what that imports."""
    names: dict[str, Any] = {
        "os": os, "threading": threading, "time": time, "tty": tty, "Path": Path, "pytest": pytest, "Bench": Bench,
        "ExitStack": ExitStack, "suppress": suppress, "make_release": make_release,
        "BaseHTTPRequestHandler": BaseHTTPRequestHandler, "ThreadingHTTPServer": ThreadingHTTPServer,
    }  # fmt: skip
    exec(compile(code, name, "exec"), names)
    return names[name]


def test_the_camera_backend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    code, line, prepared, _ = python_blocks("camera-backend")
    module(monkeypatch, "camera_nodes.folder_camera", code)
    monkeypatch.setitem(CAMERAS, "folder", eval(f"{{{line}}}", {"Backend": Backend})["folder"])
    photos = tmp_path / "photos"
    photos.mkdir()
    (photos / "0.jpg").write_bytes(built_in_photo("served"))
    url = bench(prepared, "_tethered")(request, photos)
    with pytest.raises(BadAddress, match="did you mean 'trigger'"):
        make_camera("folder:/srv?triger=http://localhost/")
    with make_camera(url) as camera:
        camera.max_late_ns = 10**12  # the tests share their processors with others
        camera.arm(Exposure(iso="200"))
        camera.expose(camera.clock.now_ns())
        files: tuple[BodyFile, ...] = ()
        patience = Patience(30)
        while not files:
            assert not patience.spent()
            files = camera.listen(0.2).files
        assert camera.read(files[0]) == built_in_photo("served")
        assert camera.delete(files[0])
        assert camera.search() == ()


def test_the_shutter_release(monkeypatch: pytest.MonkeyPatch) -> None:
    code, line, prepared, _ = python_blocks("shutter-release")
    module(monkeypatch, "camera_nodes.relay_release", code)
    monkeypatch.setitem(RELEASES, "relay", eval(f"{{{line}}}", {"Backend": Backend})["relay"])
    with ExitStack() as end:
        board = bench(prepared, "_relay")(monkeypatch, end)
        board.release.open()
        for number in (1, 2):
            board.release.prepare()
            assert board.release.release().exposed_at_ns is None
            assert board.exposures() == number
            board.release.rest()
        board.fail()
        with pytest.raises(CameraFault):
            board.release.release()
        board.release.close()


def test_the_check_of_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    code, test = python_blocks("take-check")
    colour_cast = module(monkeypatch, "controller.take_checks.colour_cast", code)
    assert isinstance(colour_cast.CHECK, TakeCheck)
    tried = module(monkeypatch, "test_colour_cast", test)
    tried.test_another_white_balance_is_named_and_another_exposure_is_not()
