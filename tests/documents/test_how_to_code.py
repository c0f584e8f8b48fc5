"""The code of the how-tos runs as printed: camera backend, shutter release, check of takes, stage, export format."""

import json
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

import numpy as np
import pytest
from patience import Patience
from printed_blocks import ROOT, blocks_of

from camera_nodes.backends import CAMERAS, RELEASES, Backend, make_camera, make_release
from camera_nodes.camera import BodyFile, ShutterRelease
from camera_nodes.errors import BadAddress, CameraFault
from camera_nodes.sim_camera import built_in_photo
from camera_nodes.wire import Exposure
from controller.take_checks.check_context import TakeCheck
from processing.files.displacement_map import DisplacementMap
from processing.files.displacement_png import write_displacement_png
from processing.files.morph_targets.morph_target_model import MorphTargetModel, Rights, TopologyArrays
from processing.geometry.mesh import Mesh
from processing.release.formats.released_files import ReleasedFile
from processing.release.holder.export_formats import ExportFormat
from processing.stages.base import Inputs
from processing.stages.discovery import BUILT_IN, discover


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


WRINKLES_IMPORTS = """
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import numpy as np

from processing.files.displacement_png import read_displacement_png
from processing.files.stage_files import write_json
from processing.stages.base import Inputs, Scope, Stage, StageParams


"""


def test_the_stage_of_a_subject(tmp_path: Path) -> None:
    (tmp_path / "wrinkles.py").write_text(WRINKLES_IMPORTS + python_blocks("stage")[1])
    stage = discover(BUILT_IN, tmp_path)["wrinkles"]
    flat, seen = np.zeros((8, 8), dtype=np.float32), np.ones((8, 8), dtype=bool)
    maps = {"1_neutral": tmp_path / "1.png", "2_smile": tmp_path / "2.png"}
    for height_mm, path in zip((0.0, 0.5), maps.values(), strict=True):
        write_displacement_png(path, DisplacementMap(flat + height_mm, seen))
    stage.run(Inputs({"rest": maps["1_neutral"]}, many={"maps": maps}), stage.Params(), tmp_path)
    depth = json.loads((tmp_path / "depth.json").read_text())
    assert depth == {"1_neutral": 0, "2_smile": pytest.approx(0.5, abs=0.01)}


def test_the_stage_and_its_entry(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    code, of_subject, entry = python_blocks("stage")
    (tmp_path / "normals.py").write_text(code)
    (tmp_path / "wrinkles.py").write_text(WRINKLES_IMPORTS + of_subject)
    stages = discover(BUILT_IN, tmp_path)
    order = list(stages)
    assert order.index("bake") < order.index("normals")
    assert order.index("bake") < order.index("wrinkles")
    normals = module(monkeypatch, "normals", code)
    # A square of 2 mm by 2 mm whose heights rise by 0.3 mm a millimetre along u.
    corners = np.array([[0.0, 0, 0], [2, 0, 0], [2, 2, 0], [0, 2, 0]])
    uvs = (corners[:, :2] / 2).astype(np.float32)
    triangles = np.array([[0, 1, 2], [0, 2, 3]], dtype=np.int32)
    mesh = Mesh(corners, triangles, uvs=uvs, uv_triangles=triangles)
    heights = np.tile(0.3 * 2 * (np.arange(64) + 0.5) / 64, (64, 1)).astype(np.float32)
    shown = (
        normals.normal_map(mesh, DisplacementMap(heights, np.ones((64, 64), dtype=bool)))[32, 32].astype(float) - 128
    ) / 127
    np.testing.assert_allclose(shown, np.array([-0.3, 0, 1]) / np.hypot(0.3, 1), atol=1 / 127)
    made = {"ReleasedFile": ReleasedFile}
    exec(entry, made)
    assert made["NORMALS"].output in stages[made["NORMALS"].stage].makes


def test_the_export_format(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    code, entry = python_blocks("export-format")
    found = eval(entry, {"ExportFormat": ExportFormat})
    name, _, function = found.writer.partition(":")
    write = getattr(module(monkeypatch, name, code), function)
    triangle = np.array([[0, 1, 2]], dtype=np.int32)
    topology = TopologyArrays(triangle, np.array([[0, 0], [1, 0], [0, 1]], np.float32), triangle)
    neutral = np.array([[0, 0, 0], [10, 0, 0], [0, 10, 0]], np.float32)
    rights = Rights("CC0-1.0", "No rights are kept.", ("A studio",), "nobody", "faces-1")
    targets = {"smile": neutral + 1}
    write(tmp_path / "1.npz", MorphTargetModel("subject_1", topology, neutral, targets, b"jpeg", rights))
    with np.load(tmp_path / "1.npz") as again:
        np.testing.assert_array_equal(again["targets"][0], neutral + 1)
        assert (again["names"].tolist(), "CC0-1.0" in str(again["rights"])) == (["smile"], True)
