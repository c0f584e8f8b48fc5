"""A qualification finds each habit that a body has, says so with its limit, and judges."""

import contextlib
import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from patience import Patience, run_patiently

from camera_nodes.camera_models.models import BodyModels
from camera_nodes.errors import CameraMissing
from camera_nodes.qualification.qualify import QualifyOptions, qualify
from camera_nodes.qualification.report import decode, read_report
from camera_nodes.qualification.report_text import table
from camera_nodes.sim_camera import built_in_photo

_spec = importlib.util.spec_from_file_location("scripted_body", Path(__file__).with_name("scripted_body.py"))
scripted_body = importlib.util.module_from_spec(_spec)
sys.modules["scripted_body"] = scripted_body
_spec.loader.exec_module(scripted_body)
Habits, ScriptedBody, Talk, run = (
    scripted_body.Habits,
    scripted_body.ScriptedBody,
    scripted_body.Talk,
    scripted_body.run,
)

FAKE = Path(__file__).parents[4] / "shared" / "tools" / "cameras" / "fake"
EOS = FAKE.parent / "ptpip_body.py"
ROOT = Path(__file__).parents[3]


def reasons(report, *, unfit):
    return [reason.what for reason in report.reasons if reason.unfit is unfit]


def test_a_body_without_faults_is_fit_and_its_times_are_known():
    report = run(Habits(lag_ms=(50.0, 50.2, 50.1)), shots=30)
    assert (report.verdict, report.reasons) == ("fit", ())
    assert report.finished
    shots = report.exposures
    assert (shots.made, shots.whole, shots.without) == (shots.wanted, shots.wanted, 0)
    assert shots.wanted >= 30
    assert report.times.file_ms.count == shots.made
    assert 49.9 < report.lag.ms.mean < 50.3
    assert report.deletion.deleted == report.deletion.tried > 30
    assert [recovery.how for recovery in report.recoveries] == ["reopened"] * 3
    assert all(recovery.found and recovery.shoots for recovery in report.recoveries)


UNFIT = {
    "gave no photograph": Habits(drop=(3, 7)),
    "came short": Habits(cut=(4,)),
    "came short or": Habits(damaged=(5,)),
    "no exposure of ours": Habits(stray=(6,)),
    "raw files did not come": Habits(raw="last", raw_missing=(2,)),
    "named unlike": Habits(raw="last", raw_named_otherwise=True),
    "not yet read were gone": Habits(forgets=True),
    "exposures were made": Habits(fault_arm=(5,)),
    "of 20 exposures were made": Habits(full_at=9),
    "made no exposure": Habits(full_at=-1),
    "exposures were made ": Habits(dead_after=8),
}


@pytest.mark.parametrize(("what", "habits"), UNFIT.items())
def test_what_makes_a_body_unfit_is_named_with_its_limit(what, habits):
    report = run(habits)
    assert report.verdict == "unfit"
    found = [reason for reason in report.reasons if what.strip() in reason.what]
    assert found, [reason.what for reason in report.reasons]
    assert found[0].unfit
    assert found[0].limit
    assert found[0].what in table(report)


REMARKS = {
    "announced 2 files more than once": Habits(twice=(3, 4)),
    "came a second time from another folder": Habits(copies=True),
    "deletions were refused": Habits(refuses_deletion=True),
    "though their deletion was accepted": Habits(pretends_deletion=True),
    "times that it is busy": Habits(busy_release=(4, 9)),
    "never runs dry": Habits(never_dry=True),
    "shutter lag varies": Habits(lag_ms=(50.0, 54.0)),
    "does not tell its clock": Habits(clock_s=None),
    "its clock is +7200 s off": Habits(clock_s=7200.0),
    "how many photographs have room": Habits(photos_left=None),
    "how full its battery is": Habits(battery=None),
    "its battery is at 12 %": Habits(battery=12),
}


@pytest.mark.parametrize(("what", "habits"), REMARKS.items())
def test_what_can_be_lived_with_is_a_remark(what, habits):
    report = run(habits)
    assert report.verdict == "fit_with_remarks", [reason.what for reason in report.reasons]
    assert any(what in remark for remark in reasons(report, unfit=False))


def test_a_photograph_that_comes_too_late_is_told_apart_from_a_stray():
    report = run(Habits(late=(5,)))
    assert (report.exposures.without, report.exposures.late, report.exposures.strays) == (1, 1, 0)
    assert report.verdict == "unfit"


def test_a_body_that_gives_nothing_is_not_waited_for_a_hundred_times():
    report = run(Habits(drop=tuple(range(1, 200))), shots=100)
    assert report.exposures.made == report.exposures.without == 5
    assert report.verdict == "unfit"
    assert any("in a row" in reason.what for reason in report.reasons)


def test_a_body_that_comes_back_is_waited_for():
    report = run(Habits(gone_release=(6,)))
    assert report.finished
    assert report.exposures.made == report.exposures.wanted - 1
    assert any(fault.code == "camera_missing" for fault in report.faults)


def test_a_body_that_never_answers_cannot_be_qualified():
    body = ScriptedBody(Habits(dead_after=1))
    body._exposures = 1
    with pytest.raises(CameraMissing):
        qualify(body, "scripted:", BodyModels(scripted_body.QUICK), QualifyOptions(5))


@pytest.mark.parametrize(("raw", "order"), [("first", "raw_first"), ("last", "jpeg_first"), ("", "no raw files")])
def test_the_order_of_raw_file_and_jpeg(raw, order):
    assert run(Habits(raw=raw)).exposures.order == order


def test_files_that_were_there_before_are_never_deleted():
    body = ScriptedBody(Habits(stray=(2,), copies=True), old=("HOLIDAY.JPG", "IMG_9000.JPG"))
    run(body=body, shots=5)
    assert {"/card/HOLIDAY.JPG", "/card/IMG_9000.JPG"} <= body.card.keys()
    assert all(path.startswith("/card/IMG_") and path in body.deleted for path in body.deleted)
    assert "/card/OLD_0002.JPG" in body.card


def test_keep_leaves_all_photographs():
    body = ScriptedBody()
    report = run(body=body, shots=5, keep=True)
    assert not body.deleted
    assert report.deletion.tried == 0
    assert len(body.card) == report.exposures.made


def test_the_person_is_asked_to_pull_the_cable():
    talk = Talk()
    report, _ = qualify(
        ScriptedBody(),
        "scripted:",
        BodyModels(scripted_body.QUICK),
        QualifyOptions(5, pull_cable=True),
        say=talk.said.append,
        ask=talk.asked.append,
    )
    assert len(talk.asked) == 1
    assert "cable" in talk.asked[0]
    assert report.recoveries[-1].how == "cable pulled"
    assert any("exposure 5 of 5" in text for text in talk.said)


def test_broken_off_it_reports_what_it_has():
    report = run(Habits(interrupt_at=7))
    assert not report.finished
    assert report.exposures.made == 7
    assert report.exposures.whole == 6
    assert "broken off" in table(report)
    assert report.verdict == "fit_with_remarks"


def test_what_the_table_says_of_a_model_counts_in_the_verdict():
    wires = run(extra='[[body]]\nname = "w"\nmatch = ["*"]\nreleases = false\n')
    assert any("release it by wires" in what for what in reasons(wires, unfit=True))
    assert wires.exposures.made == 0
    memory = run(extra='[[body]]\nname = "m"\nmatch = ["*"]\nram_only = true\n')
    assert any("memory alone" in what for what in reasons(memory, unfit=True))
    unlike = run(
        Habits(raw="last", raw_named_otherwise=True), extra='[[body]]\nname = "s"\nmatch = ["*"]\nsame_stem = false\n'
    )
    assert unlike.verdict == "fit_with_remarks"


# --- with real camera layers


def camera_command(tmp_path, *arguments, env=None):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **(env or {})}
    command = [sys.executable, "-m", "mien", "camera", "qualify", *arguments]
    return run_patiently(command, cwd=tmp_path, env=environment)


def test_the_simulated_camera_from_the_command_line(tmp_path):
    done = camera_command(tmp_path, "sim:seed=1&lag_ms=3&raw=dng&card=500", "--shots", "20", "--out", "r.json")
    assert done.returncode == 0, done.stderr
    assert "FIT WITH REMARKS" in done.stdout
    assert "mien camera keep r.json" in done.stderr
    report = read_report(tmp_path / "r.json")
    assert report.exposures.whole == report.exposures.wanted == report.exposures.raw_came
    assert report.lag.source == "simulated"


@pytest.mark.parametrize(
    ("habit", "what"),
    [("drop=1", "gave no photograph"), ("truncate=1", "came short"), ("busy=0.3", "times that it is busy"),
     ("stuck=iso:100", "iso did not take"), ("late=0.4&late_ms=30", "shutter lag varies"),
     ("battery=9", "battery is at 9")],
)  # fmt: skip
def test_habits_of_the_simulated_camera_are_found(tmp_path, habit, what):
    own = tmp_path / "own.toml"
    own.write_text('[[body]]\nname = "Simulated camera"\nfile_s = 0.2\n')
    done = camera_command(tmp_path, f"sim:seed=1&lag_ms=1&{habit}", "--shots", "12", "--json", "--models", "own.toml")
    report = decode(done.stdout.encode(), "stdout")
    assert any(what in reason.what for reason in report.reasons), [reason.what for reason in report.reasons]
    assert done.returncode == (3 if report.verdict == "unfit" else 0)


def test_the_virtual_ptp_camera(tmp_path):
    pytest.importorskip("gphoto2", reason="the gphoto2 wheel is not installed")
    photos = tmp_path / "photos"
    photos.mkdir()
    (photos / "0.jpg").write_bytes(built_in_photo("served") + bytes(50_000))
    done = camera_command(tmp_path, f"gphoto2:virtual?photos={photos}", "--shots", "30", "--out", "r.json")
    report = read_report(tmp_path / "r.json")
    assert report.model == "VC"
    assert "libgphoto2" in report.library
    assert set(report.target.choices) == {"Internal RAM", "Memory card"}
    assert report.target.after_reopening == "Memory card"
    assert report.stores[0].free_photos == 150
    assert {settle.name for settle in report.settles} >= {"shutterspeed", "f-number"}
    assert all(settle.near_ms and not settle.refused for settle in report.settles)
    assert report.exposures.without == report.exposures.strays == report.exposures.cut == 0
    assert abs(report.clock.error_after_s) < 2
    # It forgets everything with the connection, and that is found out.
    assert all(settle.holds is False for settle in report.settles)
    assert [reason.what for reason in report.reasons if reason.unfit] == [
        "after the connection was made anew 3 photographs not yet read were gone (3 tries)"
    ]
    assert done.returncode == 3


@pytest.mark.slow
@pytest.mark.skipif(not FAKE.is_dir(), reason="the body with quirks is not here")
@pytest.mark.parametrize(
    ("quirk", "found"),
    [
        ({"target": "Internal RAM"}, lambda r: (r.target.read_back, r.verdict) == ("Memory card", "fit_with_remarks")),
        ({"target_widget": False}, lambda r: r.target.choices == ()),
        ({"set_lag": {"iso": 0.4}}, lambda r: any(s.name == "iso" and s.near_ms.median > 300 for s in r.settles)),
        ({"flood": 60}, lambda r: r.events.busiest >= 60),
        ({"delete": "forbidden"}, lambda r: r.deletion.refused == r.deletion.tried > 0),
        ({"buffer": 2, "buffer_s": 1.5}, lambda r: r.busy_answers > 0 and r.busy_longest_s > 0.1),
        ({"truncate": {"times": 50, "fraction": 0.5}}, lambda r: r.exposures.cut > 0 and r.verdict == "unfit"),
        ({"freeimages": 2**64 - 1}, lambda r: r.photos_left is None and r.stores[0].free_photos is None),
        ({"files": [{"ext": "JPG", "after": 0.1}, {"ext": "CR2", "after": 0.2}],
          "widgets": {"imageformat": "RAW + Large Fine JPEG"}}, lambda r: r.exposures.order == "jpeg_first"),
        ({"files": [{"ext": "JPG", "after": 0.1}, {"ext": "JPG", "after": 0.15, "store": "/store_00020001/DCIM"}]},
         lambda r: r.exposures.copies > 0),
        ({"errors": [{"call": "file_get", "code": -7, "times": 1}]},
         lambda r: any((f.where, f.code) == ("file_get", "-7") for f in r.faults) and r.exposures.without == 0),
    ],
)  # fmt: skip
def test_habits_of_a_body_under_libgphoto2_are_found(tmp_path, quirk, found):
    body = tmp_path / "body"
    body.mkdir()
    (body / "quirk.json").write_text(json.dumps({"serial": "123", **quirk}))
    env = {"FAKE_GP_DIR": str(body), "PYTHONPATH": f"{FAKE}{os.pathsep}{ROOT}"}
    done = camera_command(tmp_path, "gphoto2:", "--shots", "4", "--out", "r.json", env=env)
    assert (tmp_path / "r.json").exists(), done.stderr
    report = read_report(tmp_path / "r.json")
    assert found(report), done.stdout


@pytest.mark.slow
@pytest.mark.skipif(not EOS.is_file(), reason="the EOS responder is not here")
def test_an_eos_body_that_acknowledges_a_setting_and_does_not_take_it(tmp_path):
    """Through libgphoto2's own EOS driver, which answers the read-back from its memory: only a new connection tells."""
    pytest.importorskip("gphoto2", reason="the gphoto2 wheel is not installed")
    iso = 0xD103
    folder = tmp_path / "body"
    folder.mkdir()
    (folder / "quirk.json").write_text(json.dumps({"ignore": [iso]}))
    host = "127.0.78.9"
    with subprocess.Popen([sys.executable, str(EOS), host, str(folder)]) as body:
        try:
            _wait_for_port(host, 15740)
            done = camera_command(tmp_path, f"gphoto2:ptpip:{host}", "--shots", "2", "--out", "r.json")
        finally:
            body.terminate()
    report = read_report(tmp_path / "r.json")
    assert report.model == "Canon EOS 5D Mark IV", done.stderr
    settles = {settle.name: settle for settle in report.settles}
    assert settles["iso"].holds is False
    assert not settles["iso"].refused
    assert settles["shutterspeed"].holds
    assert report.exposures.whole == report.exposures.made > 0
    assert all(recovery.found for recovery in report.recoveries)
    assert done.returncode == 3
    assert [reason.what for reason in report.reasons if reason.unfit] == [
        "iso reads otherwise on a new connection: what was read back was not so"
    ]


def _wait_for_port(host, port):
    patience = Patience(60)
    while not patience.spent():
        with contextlib.suppress(OSError), socket.create_connection((host, port), 1):
            return
        time.sleep(0.1)
    pytest.fail(f"nothing listens at {host}:{port}")


def test_ctrl_c_leaves_a_report(tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    command = [sys.executable, "-m", "mien", "camera", "qualify", "sim:seed=1&download_ms=100", "--out", "r.json"]
    with subprocess.Popen(
        command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        for line in process.stderr:
            if line.startswith("exposure 5 "):
                process.send_signal(signal.SIGINT)
                break
        process.communicate(timeout=600)
        assert process.returncode == 130
    report = read_report(tmp_path / "r.json")
    assert not report.finished
    assert report.exposures.made >= 5
