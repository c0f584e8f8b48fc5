"""Looks beside a session, by the farm's own commands: what they find, who is never looked at, what is left of it."""

import io
import json
import os
import stat
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from patience import until
from PIL import Image
from turned_take import MOVED, SUBJECT, VIEWS, turned, write_turned_take

from controller.side_processes.preview_scan import ScanState
from controller.side_processes.side_processes import FOLDER, SideProcesses, missing_packages
from controller.side_processes.side_task import Scratch
from db.engine import reading
from db.takes.side_inputs import seen_takes, side_inputs

HERE = pytest.mark.skipif(not SUBJECT.is_dir(), reason="the test data of ../shared/data are not here")


def grey(seed: int = 0) -> bytes:
    stream = io.BytesIO()
    Image.linear_gradient("L").resize((96, 64)).point(lambda v: (v + 7 * seed) % 200 + 20).save(stream, "JPEG")
    return stream.getvalue()


def plain(desk: Any) -> dict[str, bytes]:
    return {camera.name: grey(camera.view) for camera in desk.cameras}


def params(desk: Any, **changes: Any) -> dict[str, Any]:
    """A calibration that is one; what the cameras see is nothing."""
    made: dict[str, Any] = {}
    for camera in desk.cameras:
        cos, sin = float(np.cos(0.1 * camera.view)), float(np.sin(0.1 * camera.view))
        made |= {
            f"{camera.view}_K": [[100.0, 0, 48], [0, 100.0, 32], [0, 0, 1]],
            f"{camera.view}_Rt": [[cos, 0, sin, 0], [0, -1, 0, 0], [sin, 0, -cos, 800]],
            f"{camera.view}_distortion": [0.0] * 5,
            f"{camera.view}_width": 96,
            f"{camera.view}_height": 64,
        }
    return made | changes


def idle(beside: SideProcesses) -> bool:
    return beside.waiting == 0


def left_behind(desk: Any) -> list[Path]:
    return list((desk.home / FOLDER).rglob("*")) if (desk.home / FOLDER).exists() else []


def test_a_take_without_calibration_is_not_looked_at_and_says_why(desk: Any, beside: Any) -> None:
    studio = desk(6)
    looks = beside(studio)
    assert looks.scan() is None
    take = studio.shoot("neutral", plain(studio))
    looks.whole(take)
    until(lambda: idle(looks))
    assert looks.scan().state is ScanState.FAILED
    assert "mien rig calibration FILE" in looks.scan().text
    assert studio.found(take, "place") == []
    assert left_behind(studio) == []


def test_photographs_that_cannot_be_read_are_told_and_nothing_is_left(desk: Any, beside: Any) -> None:
    """The farm's command is really run: it refuses."""
    studio = desk(6, preview=False)
    studio.calibrate(params(studio))
    studio.begin_session()
    looks = beside(studio)
    take = studio.shoot("neutral", {camera.name: b"\xff\xd8 no photograph" for camera in studio.cameras})
    looks.whole(take)
    until(lambda: idle(looks))
    (place,) = studio.found(take, "place")
    assert (place.state.value, place.camera) == ("not_done", "")
    assert place.reason.startswith("The cameras' places were not looked at: ")
    assert looks.scan() is None
    assert left_behind(studio) == []
    studio.review(take)  # a review that is made anew leaves what came from beside
    assert studio.found(take, "place") == [place]


def test_who_has_withdrawn_is_not_looked_at(desk: Any, beside: Any) -> None:
    studio = desk(6)
    studio.calibrate(params(studio))
    studio.begin_session()
    looks = beside(studio)
    take = studio.shoot("neutral", plain(studio))
    with reading(studio.engine) as tx:
        assert side_inputs(tx, take).calibration is not None
        assert seen_takes(tx, [take, "S999-1-E01-1"]) == {take}
    studio.withdraw()
    looks.whole(take)
    until(lambda: idle(looks))
    assert looks.scan() is None
    assert studio.found(take, "place") == []


def test_a_withdrawal_ends_what_runs_and_a_fire_stops_it(desk: Any, beside: Any) -> None:
    """The farm's command, in the middle of its start."""
    studio = desk(6, bumped=False)
    studio.calibrate(params(studio))
    studio.begin_session()
    looks = beside(studio)
    take = studio.shoot("neutral", plain(studio))
    looks.hold()
    looks.whole(take)
    assert not running(studio)
    looks.go_on()
    until(lambda: running(studio))
    looks.hold()
    (process,) = running(studio)
    until(lambda: process.status() == psutil.STATUS_STOPPED)
    (private,) = (studio.home / FOLDER).iterdir()
    assert stat.S_IMODE(private.stat().st_mode) == 0o700
    assert stat.S_IMODE((private / "take").stat().st_mode) == 0o700
    assert {path.name for path in (private / "take").iterdir()} == {f"{v}.jpg" for v in range(6)} | {"params.json"}
    studio.withdraw()
    looks.go_on()
    until(lambda: idle(looks))
    assert not process.is_running()
    assert looks.scan() is None
    assert left_behind(studio) == []


def test_a_studio_that_stops_ends_what_runs(desk: Any, beside: Any) -> None:
    studio = desk(6)
    studio.calibrate(params(studio))
    studio.begin_session()
    looks = beside(studio)
    take = studio.shoot("neutral", plain(studio))
    looks.whole(take)
    until(lambda: running(studio))
    (process,) = running(studio)
    looks.stop()
    assert not process.is_running()
    assert left_behind(studio) == []
    looks.whole(take)
    assert looks.waiting == 0


def test_the_newest_take_goes_first(desk: Any, beside: Any) -> None:
    studio = desk(6)
    looks = beside(studio)
    looks.hold()
    takes = [studio.shoot(name, plain(studio)) for name in ("neutral", "smile", "mouth_stretch")]
    for take in (*takes, takes[0]):
        looks.whole(take)
    order = [(take, task.name) for take, task in reversed(looks._queue)]
    wanted = (takes[0], takes[2], takes[1])
    assert order == [(take, name) for take in wanted for name in ("place", "scan")]
    assert looks.scan().take == takes[0]


def test_what_a_killed_studio_left_is_removed_at_the_start(desk: Any, beside: Any) -> None:
    studio = desk(6)
    with Scratch(studio.home / FOLDER).folder() as private:
        (private / "take").mkdir()
        (private / "take" / "0.jpg").write_bytes(grey())
        beside(studio)
        assert left_behind(studio) == []


def test_without_the_farms_packages_it_says_so_and_does_nothing(desk: Any, beside: Any) -> None:
    studio = desk(6)
    looks = beside(studio, missing=lambda: "the farm's packages are not on this computer (open3d)")
    looks.whole(studio.shoot("neutral", plain(studio)))
    assert looks.waiting == 0
    assert (looks.scan().state, looks.scan().text) == (ScanState.FAILED, looks.missing)
    assert missing_packages() == ""  # they are here
    off = beside(desk(6, bumped=False, preview=False), missing=lambda: 1 / 0)  # nor is it looked for
    assert off.scan() is None


def running(desk: Any) -> list[psutil.Process]:
    """The side processes that work in this desk's home."""
    found = []
    for process in psutil.Process(os.getpid()).children():
        try:
            if str(desk.home / FOLDER) in process.cwd():
                found.append(process)
        except psutil.Error:
            continue
    return found


@HERE
@pytest.mark.slow  # three checks and three scans by the farm: half a minute of two cores
def test_a_camera_that_is_turned_between_two_takes_is_named_and_a_scan_is_there(
    desk: Any, beside: Any, tmp_path: Path
) -> None:
    folder = write_turned_take(tmp_path / "1_neutral", 0.0)
    calibration = json.loads((folder / "params.json").read_text())
    well = {f"cam-{view:02d}": (folder / f"{view}.jpg").read_bytes() for view in range(VIEWS)}
    name = f"cam-{MOVED:02d}"
    studio = desk(VIEWS)
    studio.calibrate(calibration)
    studio.begin_session()
    heard: list[None] = []
    looks = beside(studio, changed=lambda: heard.append(None))

    first = studio.shoot("neutral", well)
    looks.whole(first)
    until(lambda: idle(looks), seconds=120)
    assert [c.state.value for c in studio.found(first, "place")] == ["ok"]
    scan = looks.scan()
    assert (scan.take, scan.state, scan.text) == (first, ScanState.MADE, "")
    mesh = looks.mesh(scan.mesh)
    assert mesh[:4] == b"glTF"
    assert looks.mesh("0" * 64) is None
    assert len(heard) >= 3

    second = studio.shoot("smile", well | {name: turned(well[name], MOVED, calibration, 0.4)})
    looks.whole(second)
    until(lambda: idle(looks), seconds=120)
    head, camera = [c for c in studio.found(second, "place") if c.state.value == "advice"]
    assert (head.camera, camera.camera) == ("", name)
    assert camera.reason.startswith("turned 0.4")
    assert f"° since {first}: " in camera.reason
    assert camera.measured == pytest.approx(0.4, abs=0.05)

    studio.begin_session()
    third = studio.shoot("neutral", well | {name: turned(well[name], MOVED, calibration, 0.5)})
    looks.whole(third)
    until(lambda: idle(looks), seconds=120)
    assert "° since an earlier session: " in studio.found(third, "place")[1].reason

    held = looks.scan(third)
    assert looks.mesh(held.mesh) is not None
    studio.withdraw()
    assert looks.mesh(held.mesh) is None  # at once
    until(lambda: looks.scan(third) is None)
    assert looks.mesh(scan.mesh) == mesh  # the other subject's
    assert left_behind(studio) == []
