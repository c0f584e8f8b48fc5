"""Rig shots of simulated cameras: filed whole where `mien calibrate` reads them, with coverage, never in the store."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from patience import until
from PIL import Image

from common.charuco.board_errors import BoardError
from common.charuco.charuco_board import board_toml, read_board
from controller.errors import ConfigurationError, RigNotReady, SessionError
from controller.rig_file import Rig
from controller.rig_shots.shot_series import ShotRequest
from controller.studio import Studio
from tests.controller.rig_shots.conftest import BOARD, BoardBefore


def whole(studio: Studio) -> dict[str, Any]:
    """The series, once every photograph that was fired is in and looked at."""

    def settled() -> dict[str, Any] | None:
        state = studio.rig_shots.state()
        pose = state["pose"]
        return state if set(pose["in"]) == set(pose["fired"]) and not state["looking"] else None

    found = until(settled, lambda: f"it never settled: {studio.rig_shots.state()}")
    assert found is not None
    return found


def hashes(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.rglob("*.jpg")
    }


def test_a_board_is_photographed_pose_by_pose_and_the_series_survives_the_studio(
    home: Any, rig_of: Callable[..., Rig], fleet: Any, sim_url: Callable[..., str], two_cameras: BoardBefore
) -> None:
    studio = home.open(rig_of(2))
    fleet.start(studio, {f"cam-{view:02d}": sim_url(view, two_cameras.photos) for view in range(2)})
    studio.wait_for_cameras(60)
    with pytest.raises(ConfigurationError, match=r"board\.toml is missing.*mien cameras board"):
        studio.rig_shots.begin(ShotRequest("board", 3))
    studio.rig_shots.begin(ShotRequest("board", 3), board=BOARD)
    assert studio.rig_shots.state()["done"] == 0
    with pytest.raises(SessionError, match="is being photographed"):
        studio.rig_shots.begin(ShotRequest("test"))
    for number in range(2):
        facing = two_cameras.hold(number)
        studio.rig_shots.shoot()
        state = whole(studio)
        assert [int(name[-2:]) for name, camera in state["cameras"].items() if camera["seen"]] == facing
        folder = Path(state["folder"])
        for view in range(2):
            assert (folder / f"{number + 1:03d}" / f"cam-{view:02d}.jpg").read_bytes() == two_cameras.shown(view)
    assert state["done"] == 2
    assert {name: camera["photographs"] for name, camera in state["cameras"].items()} == {"cam-00": 2, "cam-01": 2}
    assert state["advice"].startswith("the board towards cam-0")
    thumbnail = studio.rig_shots.thumbnail(state["cameras"]["cam-00"]["picture"])
    assert thumbnail is not None
    assert thumbnail[:2] == b"\xff\xd8"
    assert read_board(folder / "board.toml") == BOARD
    assert studio.records.sessions() == []
    assert not [path for path in (home.folder / "store").rglob("*") if path.is_file() and path.suffix == ""]
    before = hashes(folder)

    home.stack.pop_all().close()  # the studio ends; the nodes look for it
    again = home.open(rig_of(2), control=studio.control_endpoint, bulk=studio.bulk_endpoint)
    again.wait_for_cameras(60)
    again.rig_shots.begin(ShotRequest("board", 3), resume=folder.name)
    assert again.rig_shots.state()["done"] == 2
    two_cameras.hold(2)
    again.rig_shots.shoot()
    state = whole(again)
    assert (state["state"], state["done"]) == ("done", 3)
    assert before.items() < hashes(folder).items()
    assert len(hashes(folder)) == 6
    lines = [json.loads(line) for line in (folder / "photographs.jsonl").read_text().splitlines()]
    assert {line["file"]: line["sha256"] for line in lines} == hashes(folder)


def test_a_camera_that_is_not_there_holds_up_nobody_and_a_colour_chart_is_filed_by_view(
    home: Any, rig_of: Callable[..., Rig], fleet: Any, sim_url: Callable[..., str], photos: Path
) -> None:
    studio = home.open(rig_of(3))
    with pytest.raises(RigNotReady, match=r"(?s)no camera is ready.*cam-02"):
        studio.rig_shots.begin(ShotRequest("colours"))
    assert studio.rig_shots.state()["state"] == "failed"
    fleet.start(studio, {f"cam-{view:02d}": sim_url(view, photos) for view in range(2)})
    until(lambda: len(studio.roster().ready) == 2 and all(r.ready for r in studio.cameras()[:2]), seconds=90)
    studio.rig_shots.begin(ShotRequest("colours"))
    state = whole(studio)
    folder = Path(state["folder"])
    assert set(hashes(folder)) == {"0.jpg", "1.jpg"}
    assert "cam-02" in state["pose"]["lacking"]
    Image.new("L", (96, 64), 40).save(photos / "1.jpg")
    studio.rig_shots.begin(ShotRequest("colours", cameras=("cam-01",)), resume=folder.name)
    whole(studio)
    assert hashes(folder)["1.jpg"] == hashlib.sha256((photos / "1.jpg").read_bytes()).hexdigest()

    session = studio.start_session(home.subject, "short")
    with pytest.raises(SessionError, match=f"mien session pause {session}"):
        studio.rig_shots.begin(ShotRequest("test"))
    studio.pause_session(session)
    studio.rig_shots.begin(ShotRequest("test", cameras=("cam-00",)))
    state = whole(studio)
    assert list(hashes(Path(state["folder"]))) == ["001/cam-00.jpg"]
    job = studio.rig_shots.job()
    assert job is not None
    assert (job["kind"], job["state"], job["done"]) == ("test", "done", 1)


def test_what_is_asked_wrongly_is_refused_with_what_there_is(home: Any, rig_of: Callable[..., Rig]) -> None:
    studio = home.open(rig_of(1))
    shots = studio.rig_shots
    for asked, told in (
        (ShotRequest("test", cameras=("cam-9",)), "no camera 'cam-9'"),
        (ShotRequest("test", profile="cross"), "no settings profile 'cross'"),
    ):
        with pytest.raises(ConfigurationError, match=told):
            shots.begin(asked)
    with pytest.raises(ConfigurationError, match="has no series 'board-1'"):
        shots.begin(ShotRequest("board"), resume="board-1")
    with pytest.raises(SessionError, match="No series is begun"):
        shots.shoot()
    assert shots.state() == {"state": "none"}
    (home.folder / "board.toml").write_text(board_toml(BOARD).replace("square_mm", "squre_mm", 1))
    with pytest.raises(BoardError, match="did you mean square_mm"):
        shots.begin(ShotRequest("board"))
