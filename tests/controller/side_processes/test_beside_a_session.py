"""A session with real takes: the camera that somebody touched between two of them is named, and a scan turns up."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from patience import until
from turned_take import MOVED, SUBJECT, VIEWS, turned, write_turned_take

from controller.rig_file import Rig, SideWork

PATIENT = SideWork(timeout_s=900.0)


@pytest.mark.slow  # twelve nodes, three takes, and the farm's commands on each: a minute of two cores
@pytest.mark.skipif(not SUBJECT.is_dir(), reason="the test data of ../shared/data are not here")
def test_a_camera_that_is_touched_between_two_takes(
    home: Any, fleet: Any, rig_of: Callable[..., Rig], sim_url: Callable[..., str], tmp_path: Path
) -> None:
    scene = write_turned_take(tmp_path / "1_neutral", 0.0)
    calibration = json.loads((scene / "params.json").read_text())
    studio = home.open(replace(rig_of(VIEWS), side=PATIENT))
    studio.add_calibration("test", calibration)
    fleet.start(studio, {f"cam-{view:02d}": sim_url(view, scene) for view in range(VIEWS)})
    studio.wait_for_cameras(120)
    session = studio.start_session(home.subject, "short")

    def places(take: str) -> dict[str, str]:
        review = studio.review(take)
        return {} if review is None else {c.camera: c.reason for c in review.checks if c.name == "place"}

    first = studio.fire(session, "neutral").take
    until(lambda: places(first) and studio.side.waiting == 0, seconds=300)
    assert places(first) == {"": f"{VIEWS} of {VIEWS} cameras stand where they are calibrated"}
    scan = studio.preview_scan()
    assert (scan.take, scan.state) == (first, "made")
    assert studio.scan_mesh(scan.mesh)[:4] == b"glTF"

    touched = scene / f"{MOVED}.jpg"
    touched.write_bytes(turned(touched.read_bytes(), MOVED, calibration, 0.4))
    second = studio.fire(session, "smile").take
    until(lambda: studio.side.waiting)  # it is looked at while the next one is fired
    third = studio.fire(session, "mouth_stretch").take
    until(lambda: places(second) and places(third) and studio.side.waiting == 0, seconds=600)
    for take in (second, third):
        told = places(take)
        assert told[""] == f"1 of {VIEWS} cameras do not stand where they are calibrated"
        assert told[f"cam-{MOVED:02d}"].startswith("turned 0.4")
        assert f"° since {first}: " in told[f"cam-{MOVED:02d}"]
    assert studio.preview_scan().take == third
