"""`mien node` as an operator meets it, and what the agent may import."""

import json
import random
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from camera_nodes import wire
from camera_nodes.agent_settings import agent_settings
from camera_nodes.commands.node import app
from camera_nodes.curve_keys import AllowList
from camera_nodes.errors import BadSettings, KeyRefused

runner = CliRunner()


def test_keys_then_enrol(tmp_path):
    made = runner.invoke(app, ["keys", "cam-07", "--keys", str(tmp_path / "node"), "--json"])
    public = json.loads(made.stdout)["public"]
    again = runner.invoke(app, ["keys", "cam-07", "--keys", str(tmp_path / "node"), "--json"])
    assert json.loads(again.stdout)["public"] == public
    enrolled = runner.invoke(app, ["enrol", "cam-07", public, "--keys", str(tmp_path / "studio"), "--json"])
    answer = json.loads(enrolled.stdout)
    assert answer["nodes"] == ["cam-07"]
    assert answer["controller"] == (tmp_path / "studio" / "controller.pub").read_text().strip()
    gone = runner.invoke(app, ["enrol", "cam-07", "--remove", "--keys", str(tmp_path / "studio"), "--json"])
    assert json.loads(gone.stdout)["nodes"] == []
    assert isinstance(runner.invoke(app, ["enrol", "x", "short", "--keys", str(tmp_path)]).exception, KeyRefused)


Z85 = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#"


@settings(max_examples=2, deadline=None)
@given(seed=st.integers(0, 10**9), before=st.booleans())
def test_a_key_enrols_whatever_it_begins_with(seed: int, before: bool) -> None:
    draw = random.Random(seed)
    with tempfile.TemporaryDirectory() as folder:
        keys = Path(folder) / "studio"
        for number, first in enumerate((*Z85, "--", "-h", "--k")):
            key, name = (first + "".join(draw.choices(Z85, k=39)))[:40], f"cam-{number}"
            told = runner.invoke(app, ["enrol", *([name, key] if before else []), "--keys", str(keys),
                                       *([] if before else [name, key])])  # fmt: skip
            assert told.exception is None, (key, told.exception)
            assert AllowList(keys).name_of(key) == name


def test_a_key_that_looks_like_an_option_with_a_value_enrols_behind_two_dashes(tmp_path: Path) -> None:
    key = "--keys=" + "k" * 33
    assert runner.invoke(app, ["enrol", "--keys", str(tmp_path / "s"), "--", "cam-07", key]).exit_code == 0
    assert AllowList(tmp_path / "s").name_of(key) == "cam-07"


def test_a_misspelt_option_of_enrol_is_still_one() -> None:
    assert runner.invoke(app, ["enrol", "cam-07", "--remvoe"]).exit_code == 2
    assert runner.invoke(app, ["enrol", "cam-07", "-x"]).exit_code == 2


def test_a_misspelt_setting_names_file_key_and_likely_key(tmp_path):
    file = tmp_path / "node.toml"
    file.write_text('camera = "cam-07"\nurl = "sim:"\ncontrol = "tcp://a:1"\nbluk = "tcp://a:2"\n')
    with pytest.raises(BadSettings, match=r"node\.toml: unknown key 'bluk'; did you mean 'bulk'"):
        agent_settings(file, {})
    file.write_text('camera = "cam-07"\nspin_us = "many"\n')
    with pytest.raises(BadSettings, match="spin_us is 'many'"):
        agent_settings(file, {})
    file.write_text('camera = "cam-07"\n')
    with pytest.raises(BadSettings, match="missing url, control, bulk"):
        agent_settings(file, {})


def test_a_file_and_flags_make_settings(tmp_path):
    file = tmp_path / "node.toml"
    file.write_text('camera = "cam-07"\nurl = "sim:"\ncontrol = "tcp://a:1"\nbulk = "tcp://a:2"\nlag_ms = 58\n')
    settings = agent_settings(file, {"url": "gphoto2:", "spool": Path("/var/spool/mien")})
    assert (settings.camera, settings.url, settings.lag_ms) == ("cam-07", "gphoto2:", 58)
    assert settings.spool == Path("/var/spool/mien")


def test_the_agent_imports_without_the_other_extras():
    heavy = ["numpy", "cv2", "torch", "sqlalchemy", "gphoto2", "rich.progress", "asyncio", "PIL"]
    code = f"import sys, camera_nodes.agent; print([name for name in {heavy!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]", done.stdout


def test_a_node_process_serves_and_ends_cleanly_on_sigterm_and_survives_sigkill(studio, tmp_path):
    keys = str(studio.keys_folder)
    public = json.loads(runner.invoke(app, ["keys", "cam-00", "--keys", keys, "--json"]).stdout)["public"]
    runner.invoke(app, ["enrol", "cam-00", public, "--keys", keys])
    command = [
        sys.executable, "-c", "from camera_nodes.commands.node import app; app()", "run", "--camera", "cam-00",
        "--url", "sim:lag_ms=5", "--control", studio.control, "--bulk", studio.bulk, "--keys", keys,
        "--spool", str(tmp_path / "spool"),
    ]  # fmt: skip
    studio.store_after = False
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        studio.wait_for_clock("cam-00")
        for attempt in range(10):  # a busy machine may miss one
            studio.arm("cam-00", f"f{attempt}")
            studio.fire("cam-00", f"f{attempt}")
            if not studio.wait(wire.Stamps, count=attempt + 1).missed:
                break
            studio.until(lambda: studio.state() == "idle")
        entry = studio.wait(wire.FrameSpooled).entry
    finally:
        process.kill()
        process.wait(600)
    studio.under_way.clear()
    studio.store_after = True
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    studio.until(lambda: entry in studio.stored)
    process.send_signal(signal.SIGTERM)
    assert process.wait(600) == 0
