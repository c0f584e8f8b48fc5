"""Reading takes: what is wrong is named; a few missing views are survived."""

import errno
import json
import os
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import PIL.Image
import PIL.ImageOps
import pytest

from common.bounded.decoder_pool import decode
from common.bounded.exif_orientation import INVERSE, turned
from common.view_counts import allowed_missing
from processing.errors import TakeError
from processing.farm.execution.machine_faults import machine_fault
from processing.farm.scheduling.content_keys import take_digest
from processing.files import take_folder
from processing.files.camera_models import params_from_cameras
from processing.files.take_folder import read_photos, read_take, take_files
from processing.geometry.cameras import Camera
from processing.synthetic.studio_rig import studio_rig

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


def damage_shape(folder: Path, i: int) -> None:
    edit(folder, {f"{i}_K": [200, 0, 20, 0, 200, 30, 0, 0, 1]})


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
        (damage_shape, "_K has shape \\(9,\\); wanted \\(3, 3\\)"),
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


@pytest.mark.parametrize(
    ("said", "used"),
    [(True, True), (1, True), (1.0, True), ("true", True), ("True", True), ("1", True),
     (False, False), (0, False), (0.0, False), ("false", False), ("FALSE", False), ("no", False), ("0", False)],
)  # fmt: skip
def test_valid_is_understood_as_programs_write_it(folder: Path, said: object, used: bool) -> None:
    edit(folder, {"3_valid": said})
    take = read_take(folder)
    assert (3 in {view.index for view in take.views}) == used
    assert take.skipped == ({} if used else {3: "marked invalid in params.json"})


@pytest.mark.parametrize("said", ["null", '"maybe"', "2", "-1", "NaN", '""', "[]", "[true]", "{}"])
def test_what_is_neither_true_nor_false_is_named(folder: Path, said: str) -> None:
    text = (folder / "params.json").read_text().replace('"3_valid": true', f'"3_valid": {said}')
    (folder / "params.json").write_text(text)
    take = read_take(folder)
    assert list(take.skipped) == [3]
    assert "3_valid is" in take.skipped[3]
    assert "neither true nor false" in take.skipped[3]


# --- in another unit ---


def looking_cameras(mm_a_unit: float, *, turn: bool = False) -> list[Camera]:
    R, _ = np.linalg.qr(np.random.default_rng(3).normal(size=(3, 3)))
    R = R * np.linalg.det(R)
    moved = [c.moved(R, np.array([300.0, -200, 100])) if turn else c for c in studio_rig(8, 40, 60)]
    return [Camera(c.K, c.R, c.t / mm_a_unit, c.width, c.height) for c in moved]


def take_of(folder: Path, cameras: list[Camera]) -> Path:
    folder.mkdir(parents=True)
    (folder / "params.json").write_text(json.dumps(params_from_cameras(cameras)))
    for i in range(len(cameras)):
        cv2.imwrite(str(folder / f"{i}.jpg"), np.full((60, 40, 3), i * 10, np.uint8))
    return folder


@pytest.mark.parametrize(
    ("mm_a_unit", "says"),
    [(1000, "in metres it is"), (10, "in centimetres it is"), (25.4, "in inches it is"),
     (0.001, "in micrometres it is"), (22, "free unit"), (4321, "free unit"), (1e-5, "free unit"), (1e7, "free unit")],
)  # fmt: skip
@pytest.mark.parametrize("turn", [False, True])
def test_cameras_in_another_unit_are_told_by_what_they_see(
    tmp_path: Path, mm_a_unit: float, says: str, turn: bool
) -> None:
    folder = take_of(tmp_path / "1_neutral", looking_cameras(mm_a_unit, turn=turn))
    with pytest.raises(TakeError, match="not in millimetres") as caught:
        read_take(folder)
    assert says in str(caught.value)
    assert str(folder / "params.json") in str(caught.value)
    assert "mien cameras convert" in str(caught.value)


@pytest.mark.parametrize("larger", [0.5, 1, 3])
def test_rigs_of_a_head_are_in_millimetres(tmp_path: Path, larger: float) -> None:
    assert len(read_take(take_of(tmp_path / "1_neutral", looking_cameras(1 / larger, turn=True))).views) == 8


# --- how photographs are turned ---


def with_orientation(path: Path, image: np.ndarray, orientation: int) -> None:
    exif = PIL.Image.Exif()
    exif[0x0112] = orientation
    PIL.Image.fromarray(image[..., ::-1].copy()).save(path, quality=95, exif=exif)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_turning_is_as_pillow_does_it(orientation: int) -> None:
    image = np.random.default_rng(0).integers(0, 255, (4, 6, 3), np.uint8)
    tagged = PIL.Image.fromarray(image)
    tagged.getexif()[0x0112] = orientation
    assert (turned(image, orientation) == np.asarray(PIL.ImageOps.exif_transpose(tagged))).all()


@pytest.mark.parametrize("ending", ["jpg", "png", "tif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_cameras_size_says_whether_a_photograph_is_turned(folder: Path, orientation: int, ending: str) -> None:
    """One lies on its side in the file, one stands in it; the camera's 40 x 60 px say which is to be turned."""
    seen = cv2.resize(np.random.default_rng(1).integers(0, 255, (6, 4, 3), np.uint8), (40, 60))
    lying = orientation >= 5
    stored = turned(seen, INVERSE[orientation]) if lying else seen
    for view, image in ((2, stored), (4, seen)):
        (folder / f"{view}.jpg").unlink()
        with_orientation(folder / f"{view}.{ending}", image, orientation)
    take, images = read_photos(read_take(folder))
    assert len(take.views) == VIEWS
    assert all(np.abs(images[view].astype(int) - seen).mean() < 6 for view in (2, 4))
    named = [note for note in take.notes if f"2.{ending}, 4.{ending}" in note]
    assert bool(named) == (orientation in (2, 3, 4))  # a lying one's size tells; half a turn's does not


def test_a_mark_before_the_text_is_no_part_of_it(folder: Path) -> None:
    """As Windows' editors write one."""
    text = (folder / "params.json").read_text()
    (folder / "params.json").write_text(text, encoding="utf-8-sig")
    assert len(read_take(folder).views) == VIEWS


@pytest.mark.parametrize(("number", "of_the_file"), [("EACCES", True), ("EIO", False), ("ESTALE", False)])
def test_a_disk_that_fails_is_no_photographs_fault(
    folder: Path, monkeypatch: pytest.MonkeyPatch, number: str, of_the_file: bool
) -> None:
    """A scan of fewer views because of a disk's bad hour would be another scan the next time."""
    fault = OSError(getattr(errno, number), os.strerror(getattr(errno, number)))

    def on_such_a_disk(task: str, path: Path, **options: Any) -> Any:
        if path.name == "7.jpg":
            raise fault
        return decode(task, path, **options)

    monkeypatch.setattr(take_folder, "decode", on_such_a_disk)
    if of_the_file:
        assert read_photos(read_take(folder))[0].skipped == {7: f"7.jpg cannot be read: {fault.strerror}"}
        return
    with pytest.raises(TakeError, match=rf"7\.jpg cannot be read: {fault.strerror}.*may be whole") as caught:
        read_photos(read_take(folder))
    assert machine_fault(caught.value)


def test_a_photograph_of_another_size_names_its_orientation(folder: Path) -> None:
    with_orientation(folder / "2.jpg", np.zeros((30, 50, 3), np.uint8), 6)
    take, _ = read_photos(read_take(folder))
    assert take.skipped == {2: "2.jpg is 50 x 30 px (EXIF orientation 6); params.json says 40 x 60"}


def test_a_take_is_the_same_however_its_photographs_are_named(folder: Path) -> None:
    before = take_digest(folder)
    (folder / "3.jpg").rename(folder / "3.JPG")
    (folder / "5.jpg").rename(folder / "0005.jpeg")
    assert take_digest(folder) == before
    assert list(take_files(folder))[:4] == ["params.json", "0.jpg", "1.jpg", "2.jpg"]
    cv2.imwrite(str(folder / "4.png"), cv2.imread(str(folder / "4.jpg")))
    (folder / "4.jpg").unlink()
    assert take_digest(folder) != before
