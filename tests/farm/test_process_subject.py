"""`mien process` on bad input: refused by name before any work, exit code 4, and nothing left that looks whole."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

import mien
from processing.files.camera_models import params_from_cameras
from processing.geometry.cameras import Camera

VIEWS = 17  # of which 2 may fail, as 8 of 68
SIZE = (48, 32)
LAYOUT = ("models_reg", "dpmap", "mesh", "report.html")
Process = Callable[..., tuple[int, str]]


def write_take(folder: Path) -> None:
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    K = np.array([[100.0, 0, 15.5], [0, 100.0, 23.5], [0, 0, 1]])
    cameras = []
    for view in range(VIEWS):
        angle = np.radians(10 * (view - VIEWS // 2))
        R = np.array([[np.cos(angle), 0, np.sin(angle)], [0, -1, 0], [np.sin(angle), 0, -np.cos(angle)]])
        cameras.append(Camera(K=K, R=R, t=np.array([0, 0, 900.0]), width=SIZE[1], height=SIZE[0], name=str(view)))
        cv2.imwrite(str(folder / f"{view}.jpg"), rng.integers(0, 255, (*SIZE, 3), dtype=np.uint8))
    (folder / "params.json").write_text(json.dumps(params_from_cameras(cameras)))


@pytest.fixture
def subject(tmp_path: Path) -> Path:
    for name in ("1_neutral", "2_smile"):
        write_take(tmp_path / "subject" / name)
    return tmp_path / "subject"


@pytest.fixture
def process(
    subject: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Process:
    """Runs `mien process`; its exit code and what it said on the error stream."""

    def call(*extra: str, folder: Path | None = None, out: Path | None = None) -> tuple[int, str]:
        out = out or tmp_path / "out"
        arguments = ["mien", "process", str(folder or subject), "--out", str(out), *extra]
        monkeypatch.setattr(sys, "argv", arguments)
        with pytest.raises(SystemExit) as ended:
            mien.main()
        assert not [name for name in LAYOUT if (out / name).exists()]
        return int(ended.value.code or 0), capsys.readouterr().err

    return call


def edit_params(take: Path, change: Callable[[dict[str, Any]], None]) -> None:
    params = json.loads((take / "params.json").read_text())
    change(params)
    (take / "params.json").write_text(json.dumps(params))


def spoil(take: Path, what: str, view: int) -> str:
    """Spoil one view; what the message must say of it."""
    photo = take / f"{view}.jpg"
    if what == "missing":
        photo.unlink()
        return f"view {view}  {photo.name} is missing"
    if what == "not a JPEG":
        photo.write_bytes(b"this is no picture")
        return f"view {view}  {photo.name} is not a JPEG"
    if what == "cut short":
        photo.write_bytes(photo.read_bytes()[:200])
        return f"view {view}  {photo.name} is cut short"
    if what == "wrong size":
        cv2.imwrite(str(photo), np.zeros((40, 40, 3), np.uint8))
        return f"view {view}  {photo.name} is 40 x 40 px; params.json says 32 x 48"
    if what == "no keys":
        edit_params(take, lambda p: [p.pop(k) for k in list(p) if k.startswith(f"{view}_")])  # type: ignore[func-returns-value]
        return f"view {view}  params.json lacks {view}_K"
    assert what == "not finite"
    edit_params(take, lambda p: p[f"{view}_Rt"][0].__setitem__(3, float("nan")))
    return f"view {view}  "


FAULTS = ("missing", "not a JPEG", "cut short", "wrong size", "no keys", "not finite")


@pytest.mark.parametrize("what", FAULTS)
def test_five_bad_views_of_seventeen_are_refused_by_name(subject: Path, process: Process, what: str) -> None:
    said = [spoil(subject / "2_smile", what, view) for view in (0, 3, 5, 9, 16)]
    code, message = process()
    assert code == 4
    assert "Take 2_smile cannot be used: 5 of 17 views fail, 4 may." in message
    for line in said:
        assert line in message
    assert "Traceback" not in message


def test_all_takes_problems_are_named_at_once(subject: Path, process: Process) -> None:
    for take in ("1_neutral", "2_smile"):
        for view in range(5):
            spoil(subject / take, "missing", view)
    code, message = process()
    assert code == 4
    assert "Take 1_neutral cannot be used" in message
    assert "Take 2_smile cannot be used" in message


def test_two_bad_views_of_seventeen_pass_the_check_and_are_warned_of(subject: Path) -> None:
    from processing.farm.process_subject import read_takes

    spoil(subject / "2_smile", "missing", 3)
    spoil(subject / "2_smile", "not a JPEG", 4)
    takes, _ = read_takes(subject, None)
    assert len(takes[1].views) == VIEWS - 2
    assert dict(takes[1].skipped) == {3: "3.jpg is missing", 4: "4.jpg is not a JPEG, nor a PNG or TIFF"}


def test_folders_that_are_no_subject(subject: Path, tmp_path: Path, process: Process) -> None:
    code, message = process(folder=subject / "1_neutral")
    assert code == 4
    assert "it is a take itself: give the folder above it" in message
    code, message = process(folder=tmp_path / "nowhere")
    assert code == 4
    assert "nowhere is not a folder" in message
    (subject / "2_smile" / "params.json").unlink()
    code, message = process()
    assert code == 4
    assert "2_smile is not a take: it has no params.json" in message
    (subject / "2_smile" / "params.json").write_text("{ not json")
    code, message = process()
    assert code == 4
    assert "cannot be read as JSON" in message


def test_without_a_neutral_it_says_why_one_is_needed(subject: Path, process: Process) -> None:
    (subject / "1_neutral").rename(subject / "1_calm")
    code, message = process()
    assert code == 4
    assert "No take is neutral among 1_calm, 2_smile" in message
    assert "registered from the neutral face" in message


def test_an_expression_that_was_not_taken(process: Process) -> None:
    code, message = process("--expressions", "smile,anger")
    assert code == 4
    assert "has no take anger; it has 1_neutral, 2_smile" in message


def test_misspelt_settings_are_refused_with_what_was_meant(process: Process) -> None:
    for setting, said in (
        ("bake.size_xp=8", "did you mean 'size_px'?"),
        ("bakery.size_px=8", "there is no stage 'bakery'"),
        ("bake.size_px=large", "wanted int"),
        ("bake", "write STAGE.NAME=VALUE"),
    ):
        code, message = process("--set", setting)
        assert code == 2, message
        assert said in message


def test_an_out_that_is_a_file_or_in_use(process: Process, tmp_path: Path) -> None:
    import fcntl

    (tmp_path / "file").write_text("mine")
    code, message = process(out=tmp_path / "file")
    assert code == 4
    assert "is a file; name a folder" in message
    work = tmp_path / "out" / ".work"
    work.mkdir(parents=True)
    with (work / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        code, message = process()
    assert code == 4
    assert "another mien process is working in" in message


def test_a_template_that_is_not_there_or_is_none(process: Process, tmp_path: Path) -> None:
    code, message = process("--template", str(tmp_path / "none.npz"))
    assert code == 4
    assert "there is no template file" in message


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own with room for next to nothing."""
    place = tmp_path / "small"
    place.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", place], capture_output=True)
    if mounted.returncode != 0:
        pytest.skip(f"no small disk can be mounted here: {mounted.stderr.decode().strip()}")
    yield place
    subprocess.run(["umount", place], check=True)


def test_a_full_disk(process: Process, small_disk: Path) -> None:
    (small_disk / "filler").write_bytes(bytes(os.statvfs(small_disk).f_bavail * 4096))
    code, message = process(out=small_disk / "out")
    assert code == 4
    assert "No room is left to write" in message


def test_a_disk_too_small_for_the_takes(process: Process, small_disk: Path) -> None:
    code, message = process(out=small_disk / "out")
    assert code == 4
    assert "No room is left to write" in message
    assert "2 takes need about" in message
