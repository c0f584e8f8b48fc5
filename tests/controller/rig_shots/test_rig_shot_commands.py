"""`mien rig shoot` and `mien rig scene` as an operator types them, against a served studio and real nodes."""

import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from common.charuco.charuco_board import board_toml
from controller.client import StudioClient, StudioRefusal
from controller.commands import rig
from controller.lighting.light_scenes import LightsEntry, Scene
from controller.rig_file import Rig, format_rig
from controller.studio import Studio
from processing.commands.calibrate import app as calibrate_app
from processing.files.camera_models import read_cameras
from tests.controller.rig_shots.conftest import BOARD, BoardBefore

Mien = Callable[..., str]


@pytest.fixture
def mien(home: Any, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Mien:
    """mien("shoot", "test"): what `mien rig` prints; hold: called before each Enter, which ends when it says so."""
    monkeypatch.setenv("COLUMNS", "160")

    def run(*words: str, enter: Callable[[], bool] | None = None) -> str:
        class Keys(io.StringIO):
            def readline(self, _size: int = -1, /) -> str:
                assert enter is not None
                return "\n" if enter() else ""

        monkeypatch.setattr("sys.stdin", Keys())
        command = typer.main.get_command(rig.app)
        command([*words, "--home", str(home.folder)], standalone_mode=False)
        return capfd.readouterr().out

    return run


@pytest.mark.slow  # 72 rendered photographs and a calibration
def test_a_board_photographed_by_the_rig_gives_its_cameras(
    home: Any, rig_of: Callable[..., Rig], fleet: Any, sim_url: Callable[..., str], tmp_path: Path,
    six_cameras: BoardBefore, serve: Callable[[Studio], str], mien: Mien,
) -> None:  # fmt: skip
    studio = home.open(rig_of(6))
    serve(studio)
    fleet.start(studio, {f"cam-{view:02d}": sim_url(view, six_cameras.photos) for view in range(6)})
    studio.wait_for_cameras(90)
    (home.folder / "board.toml").write_text(board_toml(BOARD))
    poses = iter(range(12))

    def enter() -> bool:
        six_cameras.hold(next(poses))
        return True

    state = json.loads(mien("shoot", "board", "--poses", "12", "--frame", "--json", enter=enter))
    assert (state["state"], state["done"]) == ("done", 12)
    assert all(camera["photographs"] == 12 for camera in state["cameras"].values())
    assert all(camera["linked"] and camera["poses"] >= 3 for camera in state["cameras"].values())
    (tmp_path / "rig.toml").write_text(format_rig(rig_of(6)))
    out = tmp_path / "rig.json"
    asked = [state["folder"], "--rig-file", str(tmp_path / "rig.toml"), "--out", str(out), "--json"]
    told = CliRunner().invoke(calibrate_app, asked, catch_exceptions=False)
    assert told.exit_code == 0, told.output
    found = read_cameras(out)
    assert sorted(found) == list(range(6))
    for view, camera in enumerate(six_cameras.cameras):
        assert found[view].K[0, 0] == pytest.approx(camera.K[0, 0], rel=0.01)


def test_a_test_shot_and_a_held_scene(
    home: Any, rig_of: Callable[..., Rig], fleet: Any, sim_url: Callable[..., str], photos: Path,
    serve: Callable[[Studio], str], mien: Mien,
) -> None:  # fmt: skip
    scenes = {"cross": Scene("cross", {1: ((1, 12, 200),)}), "full": Scene("full", {1: ((1, 512, 255),)})}
    studio = home.open(replace(rig_of(2), scenes=scenes, lights=LightsEntry("127.0.0.1")))
    serve(studio)
    fleet.start(studio, {f"cam-{view:02d}": sim_url(view, photos) for view in range(2)})
    studio.wait_for_cameras(90)
    assert "Held: cross. Lit: cross." in mien("scene", "cross")
    with pytest.raises(StudioRefusal, match=r"no light scene 'crss'; did you mean 'cross'\? Its scenes: cross, full"):
        mien("scene", "crss")
    told = mien("shoot", "test", "cam-01")
    assert "The photographs are in" in told
    client = StudioClient(home.folder)
    state = client.get("/api/rig/shoot")
    assert state["pose"]["in"] == ["cam-01"]
    assert (Path(state["folder"]) / "001" / "cam-01.jpg").read_bytes() == (photos / "1.jpg").read_bytes()
    small = client.download(f"/api/rig/shoot/pictures/{state['cameras']['cam-01']['picture']}.jpg")
    assert small[:2] == b"\xff\xd8"
    assert client.get("/api/rig")["held_scene"] == "cross"

    session = studio.start_session(home.subject, "short")
    result = studio.fire(session, "neutral")  # its profile has no scene: it is fired in the held one, and says so
    assert result.kept, result.message
    assert studio.lights.scene == "cross"
    assert "No scene is held. Lit: dark." in mien("scene", "--off")


def test_the_end_of_the_input_ends_a_series_that_can_be_gone_on_with(
    home: Any, rig_of: Callable[..., Rig], serve: Callable[[Studio], str], mien: Mien
) -> None:
    serve(home.open(rig_of(1)))
    (home.folder / "board.toml").write_text(board_toml(BOARD))
    enters = iter((True, False))  # at the first no camera is there: it is said, and the next Enter may try again
    told = mien("shoot", "board", enter=lambda: next(enters))
    assert "no camera is ready" in told
    assert "mien rig shoot board --resume board-" in told
