"""What deploy/ offers for a real studio is read by the real readers and, where there is systemd, by systemd."""

import re
import shlex
import shutil
import sys
import tomllib
from collections import Counter
from pathlib import Path

import pytest
from patience import run_patiently

import mien
from camera_nodes import node_supervisor
from camera_nodes.agent_settings import agent_settings
from camera_nodes.backends import make_camera, make_release
from camera_nodes.camera_control.realtime import PRIORITY
from controller.rig_file import format_rig, parse_rig, read_rig
from controller.studio_settings import load_settings

DEPLOY = Path(mien.__file__).parent / "deploy"
UNITS = sorted((DEPLOY / "systemd").iterdir())


def test_the_example_rig_is_the_reference_studio() -> None:
    path = DEPLOY / "examples" / "rig.toml"
    rig = read_rig(path)
    assert Counter(camera.tier for camera in rig.cameras) == {"frontal": 30, "side": 38}
    assert [camera.view for camera in rig.cameras] == list(range(68))
    assert len({camera.serial for camera in rig.cameras}) == 68
    assert all(rig.profile(name) for name in rig.profiles)
    assert parse_rig(tomllib.loads(format_rig(rig)), "written again") == rig
    computers = re.split(r"^# --- (pi-\d\d) ---$", path.read_text(), flags=re.MULTILINE)[1:]
    assert len(computers[::2]) == 17
    assert {part.count("[[camera]]") for part in computers[1::2]} == {4}


def test_the_examples_commented_parts_are_true_when_they_are_taken_in() -> None:
    text = (DEPLOY / "examples" / "rig.toml").read_text()
    taken_in = re.sub(r"^#(?=[\w\[])", "", text, flags=re.MULTILINE)
    plain, rig = parse_rig(tomllib.loads(text), "as it is"), parse_rig(tomllib.loads(taken_in), "taken in")
    assert plain.scene_of("default") is None
    assert [rig.scene_of(profile).name for profile in ("default", "cross")] == ["even", "cross"]
    assert rig.scene_of("cross").levels(2)[4] == 128
    assert (rig.lights.interface, rig.lights.between) == ("10.0.1.1", "even")
    assert (rig.camera("cam-00").lag_ms, plain.camera("cam-00").lag_ms) == (52.4, 0.0)
    assert rig.cameras[1:] == plain.cameras[1:]


def test_the_example_node_names_a_camera_of_the_example_rig() -> None:
    settings = agent_settings(DEPLOY / "examples" / "node.toml", {})
    rig = read_rig(DEPLOY / "examples" / "rig.toml")
    assert rig.camera(settings.camera).view == 7
    make_camera(settings.url, settings.release)
    assert make_release(settings.release).sees_exposure


def test_the_example_studio_listens_where_the_example_node_connects(tmp_path: Path) -> None:
    for name in ("rig.toml", "studio.toml"):
        shutil.copy(DEPLOY / "examples" / name, tmp_path)
    studio = load_settings(tmp_path)
    node = agent_settings(DEPLOY / "examples" / "node.toml", {})
    assert (studio.control, studio.bulk) == (node.control, node.bulk)
    assert len(studio.rig.cameras) == 68


@pytest.mark.parametrize("unit", [unit for unit in UNITS if unit.suffix == ".service"], ids=lambda unit: unit.name)
def test_a_unit_runs_a_command_that_exists(unit: Path) -> None:
    found = re.search(r"^ExecStart=(.*)$", unit.read_text(), re.MULTILINE)
    assert found is not None
    program, group, command, *arguments = shlex.split(found[1])
    assert Path(program).name == "mien"
    answer = run_patiently([sys.executable, "-m", "mien", group, command, "--help"])
    assert answer.returncode == 0, answer.stderr
    for option in (argument for argument in arguments if argument.startswith("--")):
        assert option in answer.stdout


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="this machine has no systemd")
def test_systemd_reads_the_units_without_a_complaint(tmp_path: Path) -> None:
    """With this machine's program and user in place of the studio's; templates with a name."""
    names = []
    for unit in UNITS:
        text = unit.read_text().replace("/opt/mien/bin/mien", sys.executable)
        text = re.sub(r"^(User|Group)=.*$", r"\1=root", text, flags=re.MULTILINE)
        target = tmp_path / unit.name.replace("@", "@cam-07")
        target.write_text(text)
        names.append(str(target))
    command = ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", *names]
    answer = run_patiently(command)
    assert answer.returncode == 0, answer.stderr
    complaints = [line for line in answer.stderr.splitlines() if "mien-" in line or str(tmp_path) in line]
    assert not complaints


def test_the_nodes_unit_restarts_for_ever_and_may_run_in_real_time() -> None:
    node = (DEPLOY / "systemd" / "mien-nodes.service").read_text()
    limits = (f"LimitRTPRIO={PRIORITY}", "LimitMEMLOCK=infinity")
    for line in ("Type=notify", "WatchdogSec=30", "Restart=always", "StartLimitIntervalSec=0", *limits):
        assert f"\n{line}\n" in node
    for line in ("KillMode=mixed", "OOMPolicy=continue"):  # one node's end is not its neighbours'
        assert f"\n{line}\n" in node
    assert float(re.findall(r"^TimeoutStopSec=(\d+)$", node, re.MULTILINE)[0]) > node_supervisor._STOP_S
    studio = (DEPLOY / "systemd" / "mien-studio.service").read_text()
    assert "LimitRTPRIO" not in studio  # nothing in the studio asks for it


def test_no_unit_depends_on_a_group_that_a_computer_may_lack() -> None:
    """systemd does not start a unit whose supplementary group is missing (status 216)."""
    for unit in UNITS:
        assert not re.search(r"^SupplementaryGroups=", unit.read_text(), re.MULTILINE), unit.name


@pytest.mark.parametrize(("name", "count"), [("70-mien-cameras.rules", 2), ("71-mien-hubs.rules", 1)])
def test_the_udev_rules_are_keys_operators_and_values(name: str, count: int) -> None:
    text = (DEPLOY / "udev" / name).read_text().replace("\\\n", "")
    rules = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    assert len(rules) == count
    assert any(rule.startswith('ACTION=="add"') for rule in rules)
    assert "udevadm trigger --action=add" in text  # a plain trigger says "change", which the rules pass over
    part = re.compile(r'\s*(ACTION|SUBSYSTEM|KERNEL|GROUP|MODE|(?:ENV|ATTR)\{[\w/]+\})(==|!=|=)"[^"]*"\s*')
    for rule in rules:
        assert all(part.fullmatch(piece) for piece in rule.split(","))
