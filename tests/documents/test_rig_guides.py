"""What docs/operators.md prints for a day at the rig runs as printed, before simulated cameras of this machine."""

import contextlib
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest
from patience import until
from PIL import Image
from printed_blocks import ROOT, Desk, printed

from camera_nodes.curve_keys import CONTROLLER, AllowList, ensure_keys, pin_controller
from controller.client import StudioClient
from controller.errors import ControllerError
from controller.rig_file import CameraEntry, Rig, SyncLimits, TransferLimits, format_rig
from db.engine import open_database, transaction
from db.models import ConsentScope
from db.settings import Settings
from db.subjects import add_subject, give_consent
from processing.files.camera_models import params_from_cameras
from processing.synthetic.studio_rig import studio_rig

CAMERAS = {"cam-00": 0, "cam-07": 1, "cam-31": 2}
SKIP_THE_REST = """
from controller.client import StudioClient
client = StudioClient()
while (waits := client.get("/api/sessions/S012-1")["next"]) is not None:
    client.post("/api/sessions/S012-1/skip", expression=waits, reason="the day is over")
"""


@pytest.fixture
def rig(newcomers: Desk, tmp_path: Path) -> Iterator[Desk]:
    """A desk beside a studio that serves, with three simulated cameras, a calibration, and S012 who consents."""
    _write_rig(newcomers, tmp_path)
    with contextlib.ExitStack() as stack:
        log = stack.enter_context((tmp_path / "log").open("ab"))

        def start(*words: object) -> None:
            env = {**os.environ, "MIEN_HOME": str(newcomers.home), "PYTHONPATH": str(ROOT)}
            process = subprocess.Popen(
                [sys.executable, "-m", "mien", *map(str, words)], env=env, stdout=log, stderr=log
            )
            stack.callback(process.wait)
            stack.callback(process.terminate)

        start("studio", "serve", "--port", _free_ports(1)[0])
        until(lambda: (newcomers.home / "console.json").exists(), lambda: (tmp_path / "log").read_text())
        start("node", "run", *sorted(tmp_path.glob("nodes/*.toml")))
        until(lambda: _all_there(newcomers.home), lambda: (tmp_path / "log").read_text())
        newcomers.shell(f"mien rig calibration {_calibration(tmp_path)}")
        yield newcomers


def _calibration(folder: Path) -> Path:
    cameras = studio_rig(6, 64, 96)[: len(CAMERAS)]
    (folder / "rig.json").write_text(json.dumps(params_from_cameras(cameras)))
    return folder / "rig.json"


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        held = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in held:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in held]


def _all_there(home: Path) -> bool:
    try:
        cameras = StudioClient(home).get("/api/rig")["cameras"]
    except ControllerError:
        return False
    return sum(camera["state"] == "idle" for camera in cameras) == len(CAMERAS)


def _write_rig(desk: Desk, folder: Path) -> None:
    engine = open_database(Settings.load(desk.home).database)
    with transaction(engine) as tx:
        give_consent(tx, add_subject(tx), ConsentScope.RESEARCH_RELEASE, date(2026, 1, 2))
    engine.dispose()
    control, bulk = (f"tcp://127.0.0.1:{port}" for port in _free_ports(2))
    patient = SyncLimits(
        max_clock_uncertainty_ms=50.0, max_skew_ms=1000.0, arm_timeout_ms=8000, stamps_timeout_ms=8000, silence_s=20
    )
    cameras = tuple(CameraEntry(name, view, lag_ms=10.0) for name, view in CAMERAS.items())
    rig = Rig("studio-a", cameras, sync=patient, transfer=TransferLimits(frame_timeout_s=30, min_free_mb=1))
    (desk.home / "rig.toml").write_text(format_rig(rig))
    (desk.home / "studio.toml").write_text(f'[studio]\ncontrol = "{control}"\nbulk = "{bulk}"\n')
    (folder / "nodes").mkdir()
    (folder / "scene").mkdir()
    for name, view in CAMERAS.items():
        Image.linear_gradient("L").resize((96, 64)).save(folder / "scene" / f"{view}.jpg")
        keys = folder / "nodes" / "keys"
        AllowList(desk.home / "keys").add(name, ensure_keys(keys, name).public)
        pin_controller(keys, ensure_keys(desk.home / "keys", CONTROLLER).public)
        (folder / "nodes" / f"{name}.toml").write_text(
            f'camera = "{name}"\nurl = "sim:seed={view}&lag_ms=10&jitter_ms=0.05&view={view}&photos={folder}/scene"\n'
            f'control = "{control}"\nbulk = "{bulk}"\nkeys = "{keys}"\nspool = "{folder}/spool/{name}"\n'
            "lag_ms = 10.0\nmin_free_mb = 1\nmax_late_ms = 1000.0\n"
        )


@pytest.mark.slow  # a whole session; the everyday suite has its parts in tests/controller
def test_a_day_at_the_rig(rig: Desk) -> None:
    """One studio for all of it: starting it and its nodes is most of the time."""
    rig.shell("mien session start S011 --consent-later")
    said = rig.run(printed("docs/operators.md", "mien rig aside cam-07"))
    rig.shell("mien session close --incomplete")
    assert "charging" in said
    _a_session(rig)
    _a_session_of_a_protocol(rig)
    _sessions_that_lack_something(rig)


def _a_session(rig: Desk) -> None:
    (rig.folder / "rest.py").write_text(SKIP_THE_REST)
    said = rig.run(
        printed("docs/operators.md", "mien session start S012   "),
        before={
            "mien session accept": "mien session accept; mien session fire smile",
            "mien session choose": "mien session accept S012-1-E02-2",
            "mien session close": f"{sys.executable} rest.py; mien session accept anger || true; mien session show",
        },
    )
    assert "S012-1-E02-2" in said
    rig.run(printed("docs/operators.md", "mien session checks"))
    assert (rig.folder / "sheet.jpg").is_file()
    rig.shell("mien session close --incomplete --keep-all")


def _a_session_of_a_protocol(rig: Desk) -> None:
    (rig.folder / "facs26.toml").write_text(printed("docs/how-to/protocol.md", 'name = "facs26"').text)
    said = rig.run(printed("docs/how-to/protocol.md", "mien protocol load"))
    assert "S012-2" in said
    assert "jaw_drop" in said
    rig.run(
        printed("docs/operators.md", "mien session close --incomplete --keep S012-1-E04-2"),
        here={"S012-1-E04-2": "S012-2-E01-2", "S012-1-E07-1": "S012-2-E02-1"},
        before={
            "mien session close --incomplete --keep S": "mien session fire; mien session retake neutral\n"
            "mien session fire jaw_drop",
            "mien session close --incomplete --keep-all": "mien session reopen S012-2",
        },
    )


def _sessions_that_lack_something(rig: Desk) -> None:
    rig.run(printed("docs/operators.md", "mien session start S012 --without calibration,lags"))
    rig.shell("mien session close --incomplete")
    said = rig.run(printed("docs/operators.md", "mien session start S012 --consent-later"), here={"S012": "S010"})
    assert "S010-1" in said
