"""Reading takes: what is wrong is named; a few missing views are survived."""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from common.view_counts import allowed_missing
from processing.errors import TakeError
from processing.files.camera_models import params_from_cameras
from processing.files.take_folder import find_takes, read_photos, read_take
from processing.geometry.cameras import Camera

VIEWS = 17


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A take of 17 small photographs, of which two may fail."""
    folder = tmp_path / "11" / "2_smile"
    folder.mkdir(parents=True)
    K = np.array([[200, 0, 20], [0, 200, 30], [0, 0, 1.0]])
    cameras = [Camera(K, np.eye(3), np.array([i, 0, 500.0]), 40, 60) for i in range(VIEWS)]
    (folder / "params.json").write_text(json.dumps(params_from_cameras(cameras)))
    for i in range(VIEWS):
        cv2.imwrite(str(folder / f"{i}.jpg"), np.full((60, 40, 3), i * 10, np.uint8))
    return folder


def edit(folder: Path, change: dict[str, Any]) -> None:
    params = json.loads((folder / "params.json").read_text())
    for key, value in change.items():
        if value is None:
            del params[key]
        else:
            params[key] = value
    (folder / "params.json").write_text(json.dumps(params))


def test_a_whole_take(folder: Path) -> None:
    take, images = read_photos(read_take(folder))
    assert (take.name, take.expression, take.position) == ("2_smile", "smile", 2)
    assert [v.index for v in take.views] == list(range(VIEWS))
    assert [int(i.mean() + 0.5) for i in images] == pytest.approx([i * 10 for i in range(VIEWS)], abs=1)
    assert not take.skipped


@pytest.mark.parametrize(("views", "may_fail"), [(68, 17), (34, 8), (17, 4), (7, 1), (6, 0), (3, 0)])
def test_the_allowance_follows_the_rig(views: int, may_fail: int) -> None:
    assert allowed_missing(views) == may_fail


def test_few_failures_are_skipped_with_their_reasons(folder: Path) -> None:
    (folder / "3.jpg").unlink()
    edit(folder, {"5_valid": False})
    take, images = read_photos(read_take(folder))
    assert len(images) == VIEWS - 2
    assert take.skipped == {3: "3.jpg is missing", 5: "marked invalid in params.json"}


def test_what_the_studio_knows_of_a_missing_photograph_is_told(folder: Path) -> None:
    for view in (3, 5):
        (folder / f"{view}.jpg").unlink()
    edit(folder, {"3_absent": "aside", "5_absent": "decided", "7_absent": "aside"})
    take = read_take(folder)
    assert take.skipped == {
        3: "its camera was set aside when the take was fired",
        5: "its photograph is missing, and the studio kept the take without it",
    }
    assert 7 in [view.index for view in take.views]  # a photograph that is there counts, whatever is said of it


def damage_missing(folder: Path, i: int) -> None:
    (folder / f"{i}.jpg").unlink()


def damage_garbage(folder: Path, i: int) -> None:
    (folder / f"{i}.jpg").write_bytes(b"not a photograph")


def damage_cut(folder: Path, i: int) -> None:
    data = (folder / f"{i}.jpg").read_bytes()
    (folder / f"{i}.jpg").write_bytes(data[: len(data) // 2])


def damage_size(folder: Path, i: int) -> None:
    cv2.imwrite(str(folder / f"{i}.jpg"), np.zeros((30, 40, 3), np.uint8))


def damage_keys(folder: Path, i: int) -> None:
    edit(folder, {f"{i}_K": None})


def damage_finite(folder: Path, i: int) -> None:
    edit(folder, {f"{i}_distortion": [float("inf"), 0, 0, 0, 0]})


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (damage_missing, "is missing"),
        (damage_garbage, "is not a JPEG"),
        (damage_cut, "cut short"),
        (damage_size, "is 40 x 30 px; params.json says 40 x 60"),
        (damage_keys, "lacks"),
        (damage_finite, "not finite"),
    ],
)
def test_too_many_failures_name_each_view(folder: Path, damage: Any, says: str) -> None:
    for i in (1, 4, 9, 11, 13):
        damage(folder, i)
    with pytest.raises(TakeError, match=says) as caught:
        read_photos(read_take(folder))
    message = str(caught.value)
    assert "5 of 17 views fail, 4 may" in message
    assert all(f"view {i} " in message for i in (1, 4, 9, 11, 13))
    assert caught.value.exit_code == 4


def test_one_failure_of_each_kind_is_survived(folder: Path) -> None:
    damage_cut(folder, 2)
    damage_finite(folder, 7)
    take, images = read_photos(read_take(folder))
    assert len(images) == VIEWS - 2
    assert set(take.skipped) == {2, 7}


def test_a_folder_that_is_no_take(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(TakeError, match=r"no params\.json"):
        read_take(tmp_path)
    with pytest.raises(TakeError, match="is not a folder"):
        read_take(folder / "0.jpg")
    (folder / "params.json").write_text("{")
    with pytest.raises(TakeError, match="cannot be read as JSON"):
        read_take(folder)
    (folder / "params.json").write_text("[]")
    with pytest.raises(TakeError, match="wanted an object"):
        read_take(folder)


def test_takes_of_a_subject_come_in_order(folder: Path) -> None:
    for name in ("10_dimpler", "1_neutral", "notes"):
        (folder.parent / name).mkdir()
    assert [p.name for p in find_takes(folder.parent)] == ["1_neutral", "2_smile", "10_dimpler"]
    with pytest.raises(TakeError, match="is a take itself"):
        find_takes(folder)
    with pytest.raises(TakeError, match="is not a folder"):
        find_takes(folder / "nothing")
