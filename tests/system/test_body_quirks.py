"""Bodies with the habits of real ones, behind a real studio and real nodes: nothing misfiled, nothing lost in silence.

The bodies and the harness are not of this repository: without them these tests are skipped.
"""

import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from patience import run_patiently

ROOT = Path(__file__).resolve().parents[2]
CAMERAS = ROOT.parent / "shared" / "tools" / "cameras"
LIMIT_S = 3600

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(LIMIT_S + 100),
    pytest.mark.skipif(not (CAMERAS / "quirks.py").is_file(), reason="no bodies at ../shared/tools/cameras"),
]


@pytest.fixture(scope="module")
def tools(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy whose run/ can be written."""
    folder = tmp_path_factory.mktemp("quirks") / "cameras"
    shutil.copytree(CAMERAS, folder, ignore=shutil.ignore_patterns("run", "__pycache__"))
    (folder / "run").mkdir()
    return folder


ENVIRONMENT = os.environ | {"MIEN_CLONE": str(ROOT)}


@pytest.fixture(scope="module")
def quirks(tools: Path) -> dict[str, Any]:
    """Every scenario, run once, by name."""
    done = run_patiently([sys.executable, "quirks.py"], cwd=tools, env=ENVIRONMENT)
    assert done.returncode == 0, done.stderr[-3000:]
    reports = [json.loads(line) for line in (tools / "run" / "quirks.jsonl").read_text().splitlines()]
    return {report["scenario"]: report for report in reports}


def said(report: dict[str, Any]) -> str:
    return "\n".join([*(take["said"] for take in report["takes"]), *report["log"], *report["notes"]])


def test_nothing_is_misfiled(quirks: dict[str, Any]) -> None:
    assert {name: report["misfiled"] for name, report in quirks.items() if report["misfiled"]} == {}


def test_nothing_is_lost(quirks: dict[str, Any]) -> None:
    assert {name: report["lost"] for name, report in quirks.items() if report["lost"]} == {}


def shown(filed: dict[str, list[str]]) -> set[str]:
    return {show for shows in filed.values() for show in shows}


def safe(report: dict[str, Any], path: str, show: str) -> bool:
    """Whether the studio has the file, or will have it in a moment: its copy on the card is about to go."""
    if path.endswith(".JPG"):
        return show in shown(report["filed"])
    return show in shown(report["raw"]) or any(entry.endswith(".raw/photo") for entry in report["spool"])


def test_what_stays_on_a_card_is_named(quirks: dict[str, Any]) -> None:
    silent = {}
    for name, report in quirks.items():
        left = [line.split(" = ") for line in report["card"]]
        unnamed = [p for p, show in left if not safe(report, p, show) and p.rpartition("/")[2] not in said(report)]
        if unnamed:
            silent[name] = unnamed
    assert silent == {}


def kept(take: dict[str, Any]) -> bool:
    """Whether the take is captured, or was spoilt by the machine that runs this: the sane camera failed with it, or the
    command came too late over the wire."""
    return take["state"] in ("captured", "accepted") or '"cam-00"' in take["said"] or "too late" in take["said"]


def test_every_node_is_alive_and_the_take_after_a_fault_is_captured(quirks: dict[str, Any]) -> None:
    assert [name for name, report in quirks.items() if not report["node_alive"]] == []
    # Here every release fails, as long as the scenario lasts.
    broken = {"card_0_left", "timeouts"}
    last = {name: report["takes"][-1] for name, report in quirks.items() if report["takes"] and name not in broken}
    assert {name: take for name, take in last.items() if not kept(take)} == {}


TRANSIENT = ("busy_read3", "busy_set1", "busy_init3", "busy_fileget1", "gp_error_once", "io_mid", "truncated")


@pytest.mark.parametrize("name", TRANSIENT)
def test_one_transient_error_costs_no_photograph(quirks: dict[str, Any], name: str) -> None:
    assert [take for take in quirks[name]["takes"] if not kept(take)] == []


# --- libgphoto2's own EOS driver, over PTP/IP

DRIVE = """
import json, os, subprocess, sys, time
from harness import *
name, quirk, address = sys.argv[1], json.loads(sys.argv[2]), sys.argv[3]
folder = Path(f"run/{name}").resolve()
studio = Studio(folder, cameras=("cam-01",), rig_extra='\\n[profile.p]\\niso = "200"\\n\\n[profile.q]\\niso = "400"\\n',
                sync={"silence_s": 3.0}, node_env={"PYTHONPATH": ""})
body = subprocess.Popen([sys.executable, "ptpip_body.py", address, str(studio.body("cam-01"))],
                        env=os.environ | {"SECONDS_MAX": "600"}, stderr=subprocess.DEVNULL)
try:
    studio.start_server()
    studio.start_node("cam-01", url=f"gphoto2:ptpip:{address}")
    studio.until(studio.ready, "not ready", 90)
    studio.quirk("cam-01", **quirk)
    time.sleep(0.5)
    if name == "press":
        (studio.body("cam-01") / "press").touch()
        time.sleep(2)
    takes = []
    for profile in ("p", "q"):
        began = time.time()
        code, state, text, seconds = studio.fire(profile)
        shots = [f"shot {l['exposed']}" for l in studio.ledger("cam-01", began) if "exposed" in l]
        takes.append({"take": code, "state": state, "said": text, "shots": shots})
    studio.quirk("cam-01")
    studio.until(studio.ready, "not ready afterwards", 60)
    code, state, text, seconds = studio.fire("p")
    after = {"take": code, "state": state, "said": text}
    time.sleep(3)
    print(json.dumps({"takes": takes, "after": after, "filed": studio.filed("cam-01"), "card": studio.card("cam-01"),
                      "spool": studio.spool("cam-01"), "log": studio.log_since("cam-01", 0),
                      "exposed": [f"shot {l['exposed']}" for l in studio.ledger("cam-01") if "exposed" in l]}))
finally:
    studio.stop()
    body.kill()
"""
EOS: dict[str, dict[str, Any]] = {
    "plain": {},
    "late": {"late": [12.0, 0.3]},
    "busy": {"busy": {"0x9107": 2, "0x1009": 2}},
    "cut": {"cut": 20000, "cuts": 1},
    "ignored": {"ignore": [0xD103]},
    "hang": {"hang": {"0x9116": 12.0}},
    "press": {},
    "raw": {"files": ["CR2", "JPG"], "gap": 0.3},
}
CAPTURED = ("plain", "late", "busy", "cut", "press", "raw")


@pytest.fixture(scope="module")
def eos(tools: Path) -> Callable[[str], dict[str, Any]]:
    """One scenario of the responder, run at the first asking."""
    pytest.importorskip("gphoto2", reason="the gphoto2 wheel is not installed")
    (tools / "drive.py").write_text(DRIVE)
    known: dict[str, dict[str, Any]] = {}

    def run(name: str) -> dict[str, Any]:
        if name not in known:
            address = f"127.0.1.{20 + list(EOS).index(name)}"
            command = [sys.executable, "drive.py", name, json.dumps(EOS[name]), address]
            done = run_patiently(command, cwd=tools, env=ENVIRONMENT)
            assert done.returncode == 0, done.stderr[-3000:]
            known[name] = json.loads(done.stdout.splitlines()[-1])
        return known[name]

    return run


@pytest.mark.parametrize("name", EOS)
def test_the_eos_driver_over_the_network(eos: Callable[[str], dict[str, Any]], name: str) -> None:
    found = eos(name)
    for take in found["takes"]:
        assert set(found["filed"].get(take["take"], [])) <= set(take["shots"]), found
    filed = {show for shows in found["filed"].values() for show in shows}
    left = {line.split(" = ")[1]: line.split(" = ")[0].rpartition("/")[2] for line in found["card"]}
    assert [show for show in found["exposed"] if show not in filed and show not in left] == []
    told = found["log"] + "".join(take["said"] for take in found["takes"])
    assert [file for show, file in left.items() if show not in filed and file not in told] == []
    assert kept(found["after"]), found["after"]
    if name in CAPTURED:
        assert [take for take in found["takes"] if not kept(take)] == []
    if name == "ignored":  # acknowledged and not taken: never a take at another ISO in silence
        for take in found["takes"]:
            assert (take["state"], take["shots"]) == ("failed", []), take
            assert "iso: is '100' after setting" in take["said"] or "iso: is '200' after setting" in take["said"]
