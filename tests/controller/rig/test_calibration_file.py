"""A calibration is kept whole, or refused with the cameras at fault."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from controller.commands.rig import app
from controller.errors import ConfigurationError
from controller.rig.calibration_file import read_calibration
from controller.rig_file import CameraEntry, Rig, format_rig
from db.engine import reading
from db.migrations import upgrade
from db.rigs.rig_records import get_rig, newest_calibration
from db.studio import open_studio

RIG = Rig("small", (CameraEntry("cam-00", 0), CameraEntry("cam-01", 1)))


def params(views: int = 2) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for v in range(views):
        found |= {
            f"{v}_K": [[900.0, 0, 320], [0, 900, 240], [0, 0, 1]],
            f"{v}_Rt": [[1, 0, 0, 5.5 * v], [0, 1, 0, 0], [0, 0, 1, 1000]],
            f"{v}_distortion": [0.0] * 5,
            f"{v}_width": 640,
            f"{v}_height": 480,
            f"{v}_matches": 12,
        }
    return found


def write(path: Path, content: Any) -> Path:
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_views_that_the_rig_has_are_kept(tmp_path: Path) -> None:
    kept = read_calibration(write(tmp_path / "params.json", params(5)), RIG)
    assert sorted({key.split("_")[0] for key in kept}) == ["0", "1"]
    assert kept["1_Rt"][0][3] == 5.5


def test_qualities_are_kept_and_a_view_marked_invalid_needs_no_camera(tmp_path: Path) -> None:
    content = params(1) | {
        "0_quality": {"rms_px": 0.1},
        "0_colour": [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
        "1_valid": False,
        "1_sn": "x",
        "calibration": {"rms_px": 0.1},
    }
    kept = read_calibration(write(tmp_path / "rig.json", content), RIG)
    assert kept == content


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"1_K": None}, r"cam-01 \(view 1\): 1_K is missing"),
        ({"0_Rt": [[1, 0, 0], [0, 1, 0], [0, 0, 1]]}, "0_Rt is not 3 x 4"),
        ({"0_distortion": [0, 0, float("nan"), 0, 0]}, "0_distortion is not 5 finite"),
        ({"1_width": 0}, "1_width is not a size"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, change: dict[str, Any], says: str) -> None:
    content = {key: value for key, value in (params() | change).items() if value is not None}
    with pytest.raises(ConfigurationError, match=says):
        read_calibration(write(tmp_path / "params.json", content), RIG)


@pytest.mark.parametrize("content", ["{", "[]"])
def test_a_file_that_is_no_calibration(tmp_path: Path, content: str) -> None:
    with pytest.raises(ConfigurationError, match=r"params\.json"):
        read_calibration(write(tmp_path / "params.json", content), RIG)


def test_the_command_makes_the_rigs_next_calibration(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "rig.toml").write_text(format_rig(RIG))
    from db.engine import open_database

    engine = open_database(f"sqlite:///{home / 'studio.sqlite'}")
    upgrade(engine)
    engine.dispose()
    for expected, moved in ((1, 0.0), (1, 0.0), (2, 7.0)):
        content = params()
        content["1_Rt"][0][3] += moved
        file = write(tmp_path / "params.json", content)
        done = CliRunner().invoke(app, ["calibration", str(file), "--home", str(home), "--json"])
        assert done.exit_code == 0, done.output
        assert json.loads(done.output) == {"rig": "small", "version": expected, "served": []}
    with open_studio(home) as studio, reading(studio.engine) as tx:
        newest = newest_calibration(tx, get_rig(tx, "small"))
        assert newest is not None
        assert newest.data["1_Rt"][0][3] == 12.5
