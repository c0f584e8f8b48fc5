"""`mien calibrate` and `mien cameras` on rendered photographs, from the folder to rig.json."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from rendered_board import ShotConditions, faces_camera, poses_about, render_board
from typer.testing import CliRunner

from common.charuco.charuco_board import Board, board_toml, read_board
from processing.commands.calibrate import app as calibrate_app
from processing.commands.cameras import app as cameras_app
from processing.files.calibration_errors import CalibrationError, NotLinked
from processing.files.camera_models import read_cameras
from processing.geometry.cameras import Camera
from processing.synthetic.studio_rig import studio_rig

RIG = studio_rig(18, 480, 720)[:6]


def run(app: Any, *arguments: object) -> str:
    result = CliRunner().invoke(app, [str(a) for a in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture(scope="module")
def shots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six cameras, twelve poses; one photograph cannot be decoded, one shows nothing."""
    folder = tmp_path_factory.mktemp("board")
    board = Board(7, 9, 28.0, 21.0, "4X4_50")
    (folder / "board.toml").write_text(board_toml(board))
    rng = np.random.default_rng(2)
    poses = poses_about(12, rng, reach_mm=70, towards=[c.centre for c in RIG], tilt_deg=40)
    for view, camera in enumerate(RIG):  # one after the other: the rays of the last few are kept
        for pose in poses:
            (folder / pose.name).mkdir(exist_ok=True)
            if faces_camera(camera, pose):
                picture = render_board(
                    board, camera, pose, ShotConditions(blur_px=rng.uniform(0.5, 1.0), samples=2), rng
                )
                Image.fromarray(picture).save(folder / pose.name / f"{view}.jpg", quality=95)
    good = sorted(folder.glob("pose-03/*.jpg"))
    good[0].write_bytes(good[0].read_bytes()[:3000])
    Image.new("L", (480, 720), 70).save(sorted(folder.glob("pose-05/*.jpg"))[0])
    return folder


def test_photographs_of_a_board_become_the_rigs_cameras(
    shots: Path, tmp_path: Path, errors: Callable[..., dict[str, Any]]
) -> None:
    out = tmp_path / "rig.json"
    told = run(calibrate_app, shots, "--out", out)
    assert "6 cameras" in told
    cameras = read_cameras(out)
    assert sorted(cameras) == list(range(6))
    off = errors(cameras, RIG)
    assert off["centre_mm"].max() < 0.5  # photographs of a third of the width of the rig's own
    assert off["turn_deg"].max() < 0.1
    params = json.loads(out.read_text())
    assert params["calibration"]["rms_px"] < 0.3
    assert params["calibration"]["frame"] == "rig"
    for view in range(6):
        assert params[f"{view}_quality"]["centre_sd_mm"] < 0.5
        assert np.array(params[f"{view}_quality"]["centre_covariance_mm2"]).shape == (3, 3)
    assert [r["pose"] for r in params["calibration"]["rejected"] if "is cut short" in r["reason"]] == ["pose-03"]
    assert "no board found" in {r["reason"] for r in params["calibration"]["rejected"]}


@pytest.mark.slow
def test_a_pose_may_be_the_frame_and_an_earlier_calibration_too(shots: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "a.json", tmp_path / "b.json"
    run(calibrate_app, shots, "--out", first, "--frame", "pose:pose-02")
    report = json.loads(run(calibrate_app, shots, "--out", second, "--frame", f"like:{first}", "--json"))
    assert report["cameras"] == 6
    told = json.loads(run(cameras_app, "compare", first, second, "--json"))["views"]
    assert max(d["centre_mm"] for d in told) < 1e-6
    assert max(np.abs(read_cameras(first)[v].t - read_cameras(second)[v].t).max() for v in range(6)) < 1e-6


def test_cameras_by_name_need_a_rig_file_or_are_counted(shots: Path, tmp_path: Path) -> None:
    named = tmp_path / "named"
    for path in shots.glob("*/*.jpg"):
        there = named / path.parent.name / f"cam-{'fedcba'[int(path.stem)]}.jpg"
        there.parent.mkdir(parents=True, exist_ok=True)
        there.write_bytes(path.read_bytes())
    rig = tmp_path / "rig.toml"
    lines = [f'[[camera]]\nname = "cam-{name}"\nview = {5 - i}\nserial = "S{i}"' for i, name in enumerate("abcdef")]
    rig.write_text("\n".join(['name = "r"', *lines]))
    out = tmp_path / "rig.json"
    run(calibrate_app, named, "--out", out, "--rig-file", rig, "--board", shots / "board.toml")
    params = json.loads(out.read_text())
    assert params["0_sn"] == "S5"
    assert read_cameras(out)[0].K[0, 0] == pytest.approx(RIG[0].K[0, 0], rel=0.01)
    told = run(calibrate_app, named, "--out", out, "--board", shots / "board.toml")
    assert "cam-a = 0" in told


def test_what_is_missing_or_wrong_is_said_before_minutes_of_work(shots: Path, tmp_path: Path) -> None:
    def refused(*arguments: object) -> str:
        with pytest.raises(CalibrationError) as problem:
            run(calibrate_app, *arguments)
        return str(problem.value)

    empty = tmp_path / "empty"
    empty.mkdir()
    out = tmp_path / "rig.json"
    assert "is not a folder" in refused(tmp_path / "none", "--out", out)
    assert "mien cameras board" in refused(empty, "--out", out)
    (empty / "board.toml").write_text(board_toml(Board()))
    assert "has no photographs" in refused(empty, "--out", out)
    assert "has no pose lying" in refused(shots, "--out", out, "--frame", "pose:lying")
    assert "not known: give rig" in refused(shots, "--out", out, "--frame", "face")
    assert "views that are not there: 99" in refused(shots, "--out", out, "--front", "0-1,99")
    assert "ending in .json" in refused(shots, "--out", tmp_path / "rig")
    assert not out.exists()


def test_an_unlinked_camera_stops_it_by_name_and_nothing_is_written(shots: Path, tmp_path: Path) -> None:
    few = tmp_path / "few"
    for path in shots.glob("*/*.jpg"):
        if path.stem != "4" or path.parent.name == "pose-01":
            there = few / path.parent.name / path.name
            there.parent.mkdir(parents=True, exist_ok=True)
            there.write_bytes(path.read_bytes())
    (few / "board.toml").write_text((shots / "board.toml").read_text())
    out = tmp_path / "rig.json"
    if not any(path.stem == "4" for path in few.glob("*/*.jpg")):
        (few / "pose-01" / "4.jpg").write_bytes(sorted(shots.glob("*/4.jpg"))[0].read_bytes())
    with pytest.raises(NotLinked, match="4  it sees the board in"):
        run(calibrate_app, few, "--out", out)
    assert not out.exists()
    told = run(calibrate_app, few, "--out", out, "--allow-unlinked")
    assert "missing   4" in told
    assert json.loads(out.read_text())["4_valid"] is False
    assert 4 not in read_cameras(out)


def test_the_board_is_drawn_at_true_size(tmp_path: Path) -> None:
    told = run(cameras_app, "board", "--out", tmp_path / "board.png", "--squares", "5x7", "--square-mm", 30,
               "--dictionary", "4X4_50", "--dpi", 254)  # fmt: skip
    assert "150 x 210 mm" in told
    with Image.open(tmp_path / "board.png") as picture:
        assert picture.size == (1700, 2300)
        assert picture.info["dpi"] == pytest.approx((254, 254), abs=0.1)
    assert read_board(tmp_path / "board.toml") == Board(5, 7, 30.0, 22.5, "4X4_50")
    run(cameras_app, "board", "--out", tmp_path / "board.pdf", "--dpi", 150)
    assert (tmp_path / "board.pdf").read_bytes().startswith(b"%PDF")


def test_cameras_go_to_colmap_and_back(tmp_path: Path) -> None:
    from processing.files.camera_models import params_of, write_params

    rig: dict[int, Camera] = dict(enumerate(RIG))
    write_params(tmp_path / "rig.json", params_of(rig))
    run(cameras_app, "convert", tmp_path / "rig.json", tmp_path / "model")
    told = json.loads(run(cameras_app, "convert", tmp_path / "model", tmp_path / "again.json", "--json"))
    assert told["cameras"] == 6
    assert "0.000" in run(cameras_app, "compare", tmp_path / "rig.json", tmp_path / "again.json")
