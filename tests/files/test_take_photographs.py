"""Photographs as cameras, people and programs name them: read, or named with what lies there and what to do."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from processing.errors import TakeError
from processing.files.camera_models import params_from_cameras
from processing.files.take_folder import read_photos, read_take
from processing.geometry.cameras import Camera

VIEWS = 8


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A take without photographs yet."""
    folder = tmp_path / "1_neutral"
    folder.mkdir()
    K = np.array([[200, 0, 20], [0, 200, 30], [0, 0, 1.0]])
    cameras = [Camera(K, np.eye(3), np.array([i, 0, 500.0]), 40, 60) for i in range(VIEWS)]
    (folder / "params.json").write_text(json.dumps(params_from_cameras(cameras)))
    return folder


def photograph(path: Path, level: int) -> None:
    """Whatever the name says; a raw file is no picture that anybody decodes."""
    path.parent.mkdir(exist_ok=True)
    kind = path.suffix.lower() if path.suffix.lower() in (".jpg", ".jpeg", ".png", ".tif", ".tiff") else ".jpg"
    path.write_bytes(cv2.imencode(kind, np.full((60, 40, 3), level, np.uint8))[1].tobytes())


@pytest.mark.parametrize(
    "name",
    ["{}.jpg", "{}.JPG", "{}.jpeg", "{}.JPEG", "{}.Jpg", "{:02d}.jpg", "{:06d}.JPG", "{}.png", "{:03d}.PNG", "{}.tif",
     "{}.TIFF", "{}.jfif", "{:02d}.JPE"],
)  # fmt: skip
def test_a_views_number_is_enough(folder: Path, name: str) -> None:
    for view in range(VIEWS):
        photograph(folder / name.format(view), 20 * view)
    take, images = read_photos(read_take(folder))
    assert not take.skipped
    assert [round(float(image.mean()) / 20) for image in images] == list(range(VIEWS))


@pytest.mark.parametrize(
    ("name", "named"),
    [("IMG_{:04d}.JPG", "IMG_0007.JPG is there: if this is view 7, name it 7.jpg"),
     ("cam-{:02d}.jpeg", "cam-07.jpeg is there: if this is view 7, name it 7.jpeg"),
     ("{}/photo.JPG", "7/photo.JPG is there: if this is view 7, name it 7.jpg"),
     ("camera{:02d}/IMG_0001.jpg", "camera07/IMG_0001.jpg is there: if this is view 7, name it 7.jpg"),
     ("{}.CR2", "7.CR2 is there: .cr2 is not read: make 7.jpg, 7.png or 7.tif of it"),
     ("{}.heic", "7.heic is there: .heic is not read"),
     ("{}.webp", "7.webp is there: .webp is not read"),
     ("{}.jpg.part", "7.jpg.part is there: .part is not read: make 7.jpg"),
     ("{}.MPO", "7.MPO is there: .mpo is not read"),
     ("{} .jpg", "7 .jpg is there: if this is view 7, name it 7.jpg"),
     ("{}.jpg.JPG", "7.jpg.JPG is there: if this is view 7, name it 7.jpg"),
     ("фото {}.jpg", "фото 7.jpg is there: if this is view 7, name it 7.jpg"),
     ("images/{}.jpg", "images/7.jpg is there: if this is view 7, name it 7.jpg"),
     ("face{}_a.png", "face7_a.png is there"),
     ("left.jpg", "1 files there look like photographs and are named by no view (left.jpg)")],
)  # fmt: skip
def test_what_lies_there_instead_is_named(folder: Path, name: str, named: str) -> None:
    for view in range(VIEWS):
        photograph(folder / name.format(view), 20 * view)
    with pytest.raises(TakeError, match="8 of 8 views fail") as caught:
        read_take(folder)
    assert named in str(caught.value)


def test_a_few_other_names_are_told_for_their_views(folder: Path) -> None:
    for view in range(VIEWS):
        photograph(folder / (f"{view}.jpg" if view != 7 else "DSC_0007.JPG"), 20 * view)
    take = read_take(folder)
    assert take.skipped == {7: "7.jpg is missing; DSC_0007.JPG is there: if this is view 7, name it 7.jpg"}


def test_photographs_counted_from_one_are_not_given_their_neighbours_cameras(folder: Path) -> None:
    for view in range(1, VIEWS + 1):
        photograph(folder / f"{view:02d}.JPG", 20 * view)
    with pytest.raises(TakeError, match=f"numbered 1 to {VIEWS}, the cameras of params.json 0 to {VIEWS - 1}"):
        read_take(folder)
    (folder / f"{VIEWS:02d}.JPG").unlink()  # now it is a take whose first photograph is missing
    assert list(read_take(folder).skipped) == [0]


def test_two_files_for_a_view_are_not_chosen_between(folder: Path) -> None:
    for view in range(VIEWS):
        photograph(folder / f"{view}.jpg", 20 * view)
    photograph(folder / "07.jpeg", 5)
    photograph(folder / "3.png", 5)  # a mask
    take, images = read_photos(read_take(folder))
    assert take.skipped == {7: "07.jpeg and 7.jpg are there: leave one of them"}
    assert round(float(images[3].mean())) == 60


def test_a_conversion_names_photographs_that_have_no_number(folder: Path) -> None:
    """`<v>_ori`, as `mien cameras convert` writes it from COLMAP's images, also one folder a camera."""
    params = json.loads((folder / "params.json").read_text())
    for view in range(VIEWS):
        name = f"cam{view}/IMG_0001.JPG" if view % 2 else f"IMG_{9 - view:04d}.JPG"
        photograph(folder / name, 20 * view)
        params[f"{view}_ori"] = name
    (folder / "params.json").write_text(json.dumps(params))
    take, images = read_photos(read_take(folder))
    assert not take.skipped
    assert [round(float(image.mean()) / 20) for image in images] == list(range(VIEWS))


@pytest.mark.parametrize("name", ["../7.jpg", "/etc/7.jpg", "deep/er/7.jpg", "6.jpg", "7.jpg\0", 7, None])
def test_no_name_leads_out_of_the_folder(folder: Path, name: object) -> None:
    params = json.loads((folder / "params.json").read_text()) | {"7_ori": name}
    (folder / "params.json").write_text(json.dumps(params))
    for view in range(VIEWS - 1):
        photograph(folder / f"{view}.jpg", 20 * view)
    photograph(folder.parent / "7.jpg", 5)
    assert list(read_take(folder).skipped) == [7]


def test_a_png_that_is_a_jpeg_is_read_by_what_it_is(folder: Path) -> None:
    for view in range(VIEWS):
        kind = ".png" if view == 3 else ".jpg"
        (folder / f"{view}{'.jpg' if view == 3 else '.png'}").write_bytes(
            cv2.imencode(kind, np.full((60, 40, 3), 20 * view, np.uint8))[1].tobytes()
        )
    take, images = read_photos(read_take(folder))
    assert not take.skipped
    assert len(images) == VIEWS


@pytest.mark.parametrize("kind", [".png", "lzw", "deflate", "raw"])
@pytest.mark.parametrize("damage", ["zeroed", "cut", "trailer"])
def test_damage_in_a_png_or_tiff_is_heard(folder: Path, kind: str, damage: str) -> None:
    """The decoder's checksums, codes and lengths; padding after the end is none."""
    picture = cv2.resize(np.random.default_rng(0).integers(0, 255, (30, 20, 3), np.uint8), (40, 60))
    options = {
        "lzw": [cv2.IMWRITE_TIFF_COMPRESSION, 5], "deflate": [cv2.IMWRITE_TIFF_COMPRESSION, 8],
        "raw": [cv2.IMWRITE_TIFF_COMPRESSION, 1], ".png": [],
    }[kind]  # fmt: skip
    ending = ".png" if kind == ".png" else ".tif"
    for view in range(VIEWS):
        photograph(folder / f"{view}.jpg", 20 * view)
    (folder / "7.jpg").unlink()
    data = cv2.imencode(ending, picture, options)[1].tobytes()
    half = len(data) // 2
    changed = {
        "zeroed": data[:half] + bytes(len(data) // 10) + data[half + len(data) // 10 :],
        "cut": data[: len(data) * 9 // 10],
        "trailer": data + bytes(5000),
    }[damage]
    (folder / f"7{ending}").write_bytes(changed)
    take, images = read_photos(read_take(folder))
    if damage == "trailer" or (damage == "zeroed" and kind == "raw"):  # raw rows of zeros are a black bar: no code
        assert len(images) == VIEWS
    else:
        assert list(take.skipped) == [7]
        assert "7" + ending in take.skipped[7]
        assert "damaged" in take.skipped[7] or "cut short" in take.skipped[7]
