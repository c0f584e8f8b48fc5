"""The pieces of the studio on one machine."""

import os
import shlex
from pathlib import Path

import numpy as np
import pytest

from camera_nodes.agent_settings import AgentSettings, agent_settings
from camera_nodes.backends import make_camera
from camera_nodes.camera_control.realtime import PRIORITY
from controller.rig_file import read_rig
from deploy.demo.demo_run import DemoSettings
from deploy.demo.local_studio import LocalStudio, SimulatedBody, perform_expression, write_node, write_rig
from deploy.system_check import _chips, examine
from processing.errors import DataError

ENDPOINTS = {"control": "tcp://127.0.0.1:5701", "bulk": "tcp://127.0.0.1:5702"}


def body(view: int) -> SimulatedBody:
    return SimulatedBody(f"cam-{view:02d}", view, f"SIM{view:04d}", view < 2, 50.0 + view, 0.3)


def test_the_rig_file_says_what_the_bodies_are(tmp_path: Path) -> None:
    write_rig(tmp_path / "rig.toml", "demo", [body(i) for i in range(4)])
    rig = read_rig(tmp_path / "rig.toml")
    assert [c.serial for c in rig.cameras] == ["SIM0000", "SIM0001", "SIM0002", "SIM0003"]
    assert [c.tier for c in rig.cameras] == ["frontal", "frontal", "side", "side"]
    assert [c.lag_ms for c in rig.cameras] == [50.0, 51.0, 52.0, 53.0]


def test_a_bodys_address_survives_odd_folder_names(tmp_path: Path) -> None:
    from camera_nodes.backends import make_camera
    from camera_nodes.sim_camera import SimCamera

    folder = tmp_path / "a & b=c +d"
    folder.mkdir()
    camera = make_camera(body(3).url(folder))
    assert isinstance(camera, SimCamera)
    assert camera.options.photos == str(folder)
    assert camera.options.view == 3


def test_a_nodes_file_says_what_its_settings_are(tmp_path: Path) -> None:
    settings = AgentSettings(
        "cam-07", "sim:photos=/a+%26+b/é\U0001f4f7", "tcp://h:1", "tcp://h:2", tmp_path / "keys", tmp_path / "spool",
        controller_key='a"b\\c' + "x" * 5, lag_ms=58.25, realtime=False, max_late_ms=20.0,
    )  # fmt: skip
    file = write_node(tmp_path / "cam-07" / "node.toml", settings)
    assert agent_settings(file, {}) == settings


def test_a_studio_of_one_machine_has_its_nodes_and_leaves_none(tmp_path: Path) -> None:
    (tmp_path / "now").mkdir()
    bodies = [body(view) for view in range(3)]
    with LocalStudio(tmp_path / "home", tmp_path / "nodes", tmp_path / "now", bodies) as local:
        local.studio.wait_for_cameras(90)
        process = local._process
        assert process is not None
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        assert {Path(f"/proc/{pid}/comm").read_text().strip() for pid in children} == {b.name for b in bodies}
    assert process.returncode == 0
    assert not any(Path(f"/proc/{pid}").exists() for pid in children)


def test_the_scene_changes_at_once(tmp_path: Path) -> None:
    for name in ("1_neutral", "2_smile"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "0.jpg").write_text(name)
        perform_expression(tmp_path / "now", tmp_path / name)
        assert (tmp_path / "now" / "0.jpg").read_text() == name
    assert sorted(p.name for p in tmp_path.iterdir()) == ["1_neutral", "2_smile", "now"]


@pytest.mark.parametrize(("given", "says"), [("neutral,smirk", "no expression smirk"), ("smile", "needs the neutral")])
def test_expressions_the_demo_cannot_show(tmp_path: Path, given: str, says: str) -> None:
    with pytest.raises(DataError, match=says):
        DemoSettings.parse(tmp_path, given, 68, 1, 480)


def test_all_expressions_are_the_protocols_twenty(tmp_path: Path) -> None:
    chosen = DemoSettings.parse(tmp_path, "all", 68, 1, 480).expressions
    assert [k for k, _ in chosen] == list(range(1, 21))
    assert np.array(chosen)[0, 1] == "neutral"


def test_the_doctor_finds_every_role_here() -> None:
    found = {finding.what: finding for finding in examine()}
    for role in ("node", "controller", "farm"):
        assert found[f"Role {role}"].state == "ok", found[f"Role {role}"]
    assert found["One OpenCV wheel"].state == "ok"
    assert all(package in found["Role controller"].found for package in ("sacn", "uvicorn", "psutil"))
    assert "gpiod" in found["Role node"].found
    assert f"priority {PRIORITY}" in found["Real-time release"].found
    assert found["Garbage collector"].state == "ok"
    assert found["System time"].state in ("ok", "note")
    assert os.sched_getscheduler(0) == os.SCHED_OTHER  # looking has changed nothing


def test_the_doctors_way_to_a_simulated_camera_is_one_that_a_node_takes() -> None:
    bodies = next(finding for finding in examine() if finding.what == "Camera bodies")
    if not bodies.remedy:
        pytest.skip("a body is plugged in")
    words = shlex.split(bodies.remedy.partition("mien node run ")[2])
    given = dict(zip(words[:4:2], words[1:4:2], strict=True))
    assert given == {"--camera": "cam-00", "--url": "sim:"}
    assert agent_settings(None, {key[2:]: value for key, value in given.items()} | ENDPOINTS).camera == "cam-00"
    assert make_camera(given["--url"])


def test_the_doctor_names_chips_that_may_not_be_opened(tmp_path: Path) -> None:
    assert next(_chips(tmp_path)).found.startswith("none")
    (tmp_path / "gpiochip0").touch()
    assert next(_chips(tmp_path)).state == "ok"
    (tmp_path / "gpiochip4").symlink_to(tmp_path / "gone")  # for root every file may be opened that is there
    found = next(_chips(tmp_path))
    assert (found.state, found.found) == ("note", "this user may not open gpiochip4")
