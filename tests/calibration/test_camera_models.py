"""Cameras in other programs' files, and the head frame."""

import json
import struct
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from processing.calibration.calibration_report import differences
from processing.calibration.head_frame import frame_like, frame_of_pose, frame_of_rig
from processing.files.calibration_errors import CalibrationError
from processing.files.camera_models import convert_cameras, params_of, read_cameras, write_params
from processing.files.colmap import write_colmap
from processing.geometry.cameras import Camera
from processing.geometry.rotations import rotation_angle_deg
from processing.synthetic.studio_rig import studio_rig

POINTS = np.random.default_rng(0).uniform(-80, 80, (50, 3))


def same(a: Camera, b: Camera) -> bool:
    return bool(np.abs(a.project(POINTS) - b.project(POINTS)).max() < 1e-6)


@pytest.mark.parametrize("binary", [False, True])
def test_colmap_and_back(tmp_path: Path, binary: bool) -> None:
    cameras = dict(enumerate(studio_rig(8)))
    cameras[11] = Camera(K=cameras[2].K, R=cameras[2].R, t=cameras[2].t, width=800, height=1200,
                         distortion=np.array([-0.03, 0.01, 1e-4, -2e-4, 0.004]), name="k3")  # fmt: skip
    write_colmap(tmp_path / "model", cameras, binary=binary)
    assert (tmp_path / "model" / ("images.bin" if binary else "images.txt")).is_file()
    again = read_cameras(tmp_path / "model")
    assert sorted(again) == sorted(cameras)
    assert all(same(cameras[v], again[v]) for v in cameras)


def test_colmaps_own_words(tmp_path: Path) -> None:
    """From COLMAP's documentation: first pixel at (0.5, 0.5), camera from world, quaternion with w first."""
    (tmp_path / "cameras.txt").write_text("# comment\n1 SIMPLE_RADIAL 640 480 500 320 240 0.1\n")
    (tmp_path / "images.txt").write_text(
        "# comment\n1 0.7071067811865476 0 0.7071067811865476 0 1 2 3 1 left.jpg\n10 20 -1 30 40 5\n"
    )
    camera = read_cameras(tmp_path, scale=1000.0)[0]
    assert camera.name == "left"
    assert (camera.K[0, 2], camera.K[1, 2]) == (319.5, 239.5)
    assert camera.distortion.tolist() == [0.1, 0, 0, 0, 0]
    assert camera.t.tolist() == [1000, 2000, 3000]
    assert np.allclose(camera.R, [[0, 0, 1], [0, 1, 0], [-1, 0, 0]])


def test_damaged_and_unsuited_models_are_named(tmp_path: Path) -> None:
    with pytest.raises(CalibrationError, match=r"cameras\.txt is missing"):
        read_cameras(tmp_path)
    (tmp_path / "images.txt").write_text("1 1 0 0 0 0 0 0 1 a.jpg\n\n")
    for text, told in (
        ("1 THIN_PRISM_FISHEYE 640 480 1 2 3 4 5 6 7 8 9 10 11 12", "THIN_PRISM_FISHEYE is not held"),
        ("1 OPENCV 640 480 1 2", r"cameras\.txt, line 1: OPENCV with 2 parameters"),
        ("1 FULL_OPENCV 640 480 500 500 320 240 0 0 0 0 0 0.2 0 0", "k4, k5 or k6"),
        ("2 PINHOLE 640 480 500 500 320 240", "camera 1, which is not there"),
    ):
        (tmp_path / "cameras.txt").write_text(text + "\n")
        with pytest.raises(CalibrationError, match=told):
            read_cameras(tmp_path)
    (tmp_path / "cameras.txt").unlink()
    (tmp_path / "cameras.bin").write_bytes(struct.pack("<Q", 9))
    (tmp_path / "images.bin").write_bytes(struct.pack("<Q", 1) + b"\0" * 30)
    with pytest.raises(CalibrationError, match="damaged"):
        read_cameras(tmp_path)


def test_params_json_and_back_without_views_marked_invalid(tmp_path: Path) -> None:
    cameras = {view: camera for view, camera in enumerate(studio_rig(8)) if view != 3}
    path = tmp_path / "params.json"
    write_params(path, params_of(cameras))
    again = read_cameras(path)
    assert sorted(again) == sorted(cameras)
    assert all(same(cameras[v], again[v]) for v in cameras)
    params = json.loads(path.read_text())
    params["5_valid"] = False
    path.write_text(json.dumps(params))
    assert 5 not in read_cameras(path)
    path.write_text("{}")
    with pytest.raises(CalibrationError, match="names no view"):
        read_cameras(path)
    path.write_text("[1]")
    with pytest.raises(CalibrationError, match="holds a list"):
        read_cameras(path)


# --- COLMAP's text files as exporters and hands write them ---


def posed(number: int, name: str, *, camera: int = 1) -> str:
    a = np.radians(-55 + 10 * number)
    return f"{number + 1} {np.cos(a / 2):.9f} 0 {np.sin(a / 2):.9f} 0 0 0 1.2 {camera} {name}"


def model(
    folder: Path, lines: Sequence[str], ending: str = "\n", cameras: str = "1 PINHOLE 240 360 780 780 120 180"
) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "cameras.txt").write_bytes(cameras.encode() + b"\n")
    (folder / "images.txt").write_bytes((ending.join(lines) + ending).encode())
    return folder


_POINTS = ["", "10.5 20.5 -1", "10 20 5 30 40 -1", "0 1 0 0 1 -1 1 0 0 1 2 3", "1 0 0 0 1 0 5 5 1 1 1 7"]
_TAILS = st.lists(st.sampled_from(["", "  ", "# a comment", "\t", "  # another"]), max_size=4)


@given(
    st.lists(st.tuples(_TAILS, st.sampled_from([None, *_POINTS]), _TAILS), min_size=1, max_size=12),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.sampled_from(["{}.jpg", "{}", "dir one/{} of 12.jpg", "cam{}/IMG_0001.JPG", "{}.5 1 2.png", "ünï {}.jpg"]),
    st.booleans(),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_every_image_is_found_whatever_lies_between(
    tmp_path: Path, between: list[tuple[list[str], str | None, list[str]]], ending: str, name: str, bom: bool
) -> None:
    """Blank lines missing, doubled, comments, points there or not, line ends of any system, names with blanks."""
    lines = ["# Image list with two lines of data per image:"]
    for number, (before, points, after) in enumerate(between):
        lines += [posed(number, name.format(number)), *before, *([] if points is None else [points]), *after]
    if bom:
        lines[0] = "\ufeff" + lines[0]
    made = convert_cameras(model(tmp_path / "model", lines, ending), tmp_path / "rig.json", scale=1000)
    assert list(made.photographs.values()) == [name.format(number) for number in range(len(between))]
    written = json.loads((tmp_path / "rig.json").read_text())
    assert [written[f"{view}_ori"] for view in made.cameras] == list(made.photographs.values())
    for number, camera in enumerate(made.cameras.values()):
        a = np.radians(-55 + 10 * number)
        assert camera.R == pytest.approx(Rotation.from_rotvec([0, a, 0]).as_matrix(), abs=1e-7)


@pytest.mark.parametrize("points", ["", "10.5 20.5 -1", "10 20 5 30 40 -1"])
def test_names_of_numbers_alone_are_not_taken_for_points(tmp_path: Path, points: str) -> None:
    names = [f"{number} 1 2" for number in range(12)]
    lines = [f"{k + 1} 0.8 0.36 0.48 0 1.5 2.5 0.7 1 {name}\n{points}" for k, name in enumerate(names)]
    made = convert_cameras(model(tmp_path / "model", lines), tmp_path / "rig.json")
    assert list(made.photographs.values()) == names


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        ([posed(0, "0.jpg"), "", posed(1, "0.jpg")], r"images\.txt, lines 1 and 3 both name 0\.jpg"),
        ([posed(0, "0.jpg"), "1 2 3", "4 5 6", posed(1, "1.jpg")], r"images\.txt, line 3: neither an image"),
        ([posed(0, "0.jpg"), "1 2", posed(1, "1.jpg")], r"images\.txt, line 2: neither an image"),
        (["# two", "1 2 3", posed(1, "1.jpg")], r"images\.txt, line 2: neither an image"),
        ([posed(0, "0.jpg"), "2 0 0 0 0 1 2 3 1 b.jpg"], r"images\.txt, line 2: .*quaternion of length 0"),
        ([posed(0, "")], r"images\.txt, line 1: neither an image"),
        ([posed(0, "0.jpg", camera=4)], r"images\.txt: image 0\.jpg has camera 4, which is not there"),
        (["# nothing"], r"images\.txt names no image"),
    ],
)
def test_what_is_no_image_is_named_with_its_line(tmp_path: Path, lines: list[str], says: str) -> None:
    with pytest.raises(CalibrationError, match=says):
        read_cameras(model(tmp_path / "model", lines))


@pytest.mark.parametrize(
    ("cameras", "says"),
    [
        (
            "1 PINHOLE 240 360 780 780 120 180\n1 PINHOLE 240 360 790 780 120 180",
            r"line 2: camera 1 stands there twice",
        ),
        ("# one\n\n1 PINHOLE 240", r"cameras\.txt, line 3: 3 words"),
        ("one PINHOLE 240 360 780 780 120 180", r"cameras\.txt, line 1: invalid literal"),
        ("1 FISHEYE 240 360 780 780 120 180", r"cameras\.txt, line 1: the lens model FISHEYE is not held"),
        ("1 PINHOLE 240 0 780 780 120 180", r"cameras\.txt, line 1: a camera of 240 x 0"),
    ],
)
def test_a_lens_that_is_none_is_named_with_its_line(tmp_path: Path, cameras: str, says: str) -> None:
    with pytest.raises(CalibrationError, match=says):
        read_cameras(model(tmp_path / "model", [posed(0, "0.jpg")], cameras=cameras))


def test_a_model_that_lies_deeper_is_named(tmp_path: Path) -> None:
    (tmp_path / "sparse").mkdir()
    model(tmp_path / "sparse" / "0", [posed(0, "0.jpg")])
    with pytest.raises(CalibrationError, match="sparse/0 is one"):
        read_cameras(tmp_path)


# --- what a conversion keeps ---


def test_photographs_are_counted_in_natural_order_and_kept_by_name(tmp_path: Path) -> None:
    names = [f"cam{k}/IMG.jpg" for k in (10, 2, 1, 33)]
    source = model(tmp_path / "model", [posed(k, name) for k, name in enumerate(names)])
    made = convert_cameras(source, tmp_path / "again", scale=1000)
    assert made.photographs == {0: "cam1/IMG.jpg", 1: "cam2/IMG.jpg", 2: "cam10/IMG.jpg", 3: "cam33/IMG.jpg"}
    again = convert_cameras(tmp_path / "again", tmp_path / "third", binary=True)
    assert again.photographs == made.photographs
    last = convert_cameras(tmp_path / "third", tmp_path / "rig.json")
    assert last.photographs == made.photographs
    assert all(same(made.cameras[view], last.cameras[view]) for view in made.cameras)


def test_names_twice_in_a_binary_model_are_refused(tmp_path: Path) -> None:
    cameras = dict(enumerate(studio_rig(6)[:3]))
    write_colmap(tmp_path / "model", cameras, names={0: "a.jpg", 1: "b.jpg", 2: "a.jpg"}, binary=True)
    with pytest.raises(CalibrationError, match=r"images\.bin names a\.jpg twice"):
        read_cameras(tmp_path / "model")


def test_a_params_json_keeps_all_but_its_unit(tmp_path: Path) -> None:
    cameras = dict(enumerate(studio_rig(6)[:4]))
    params = params_of(cameras, {0: "body-7"}) | {"2_valid": 0, "1_colour": [1, 2], "3_ori": "IMG_3.JPG", "note": "x"}
    write_params(tmp_path / "metres.json", params)
    made = convert_cameras(tmp_path / "metres.json", tmp_path / "mm.json", scale=1000)
    assert sorted(made.cameras) == [0, 1, 3]
    written = json.loads((tmp_path / "mm.json").read_text())
    assert {k: v for k, v in written.items() if not k.endswith("_Rt")} == {
        k: v for k, v in params.items() if not k.endswith("_Rt")
    }
    assert np.array(written["0_Rt"])[:, 3] == pytest.approx(cameras[0].t * 1000)


def test_skew_is_kept_or_refused(tmp_path: Path) -> None:
    plain = studio_rig(6)[1]
    camera = replace(plain, K=plain.K + np.array([[0, 12.0, 0], [0, 0, 0], [0, 0, 0]]))
    write_params(tmp_path / "rig.json", params_of({4: camera}))
    assert same(read_cameras(tmp_path / "rig.json")[4], camera)
    with pytest.raises(CalibrationError, match="K has skew, which COLMAP's models lack"):
        convert_cameras(tmp_path / "rig.json", tmp_path / "model")


# --- the head frame ---


def somewhere(cameras: Sequence[Camera]) -> tuple[list[Camera], np.ndarray, np.ndarray]:
    R, t = Rotation.from_rotvec(np.array([0.4, -1.1, 0.7])).as_matrix(), np.array([200.0, -90.0, 410.0])
    return [camera.moved(R, t) for camera in cameras], R, t


def test_the_rig_tells_the_head_frame() -> None:
    rig = studio_rig(68)
    moved, R, t = somewhere(rig)
    for front in ((), moved[:30]):
        R_back, t_back = frame_of_rig(moved, front)
        assert rotation_angle_deg(R_back @ R, np.eye(3)) < 6.0
        assert np.linalg.norm(R_back @ t + t_back) < 20.0


def test_cameras_on_their_side_tell_up_by_their_exif() -> None:
    rig = studio_rig(20)
    roll = Rotation.from_rotvec(np.array([0.0, 0.0, np.pi / 2])).as_matrix()
    side = [Camera(K=c.K, R=roll @ c.R, t=roll @ c.t, width=c.width, height=c.height) for c in rig]
    ups = [roll @ np.array([0.0, -1.0, 0.0])] * len(side)
    R_back, _ = frame_of_rig(side, side[:8], ups)
    upright, _ = frame_of_rig(rig, rig[:8])
    assert rotation_angle_deg(R_back, upright) < 1e-6


def test_a_rig_that_tells_no_up_or_no_front_says_what_to_give() -> None:
    rig = studio_rig(8)
    half = [Rotation.from_rotvec(np.array([0.0, 0.0, turn])).as_matrix() for turn in (0.0, np.pi)]
    mixed = [Camera(K=c.K, R=half[i % 2] @ c.R, t=half[i % 2] @ c.t, width=800, height=1200) for i, c in enumerate(rig)]
    with pytest.raises(CalibrationError, match="which way is up"):
        frame_of_rig(mixed)
    turns = Rotation.from_rotvec([[0.0, a, 0.0] for a in np.arange(8) * np.pi / 4]).as_matrix()
    ring = [studio_rig(8)[0].moved(turn, np.zeros(3)) for turn in turns]
    with pytest.raises(CalibrationError, match="--front"):
        frame_of_rig(ring, ring)


def test_a_standing_board_is_the_frame() -> None:
    R, t = frame_of_pose(np.diag([1.0, -1.0, -1.0]), np.array([5.0, 6.0, 7.0]))
    assert np.allclose(R, np.eye(3))
    assert np.allclose(t, [-5, -6, -7])


def test_the_frame_of_an_earlier_calibration_and_what_moved_since() -> None:
    rig = dict(enumerate(studio_rig(16)))
    moved, _, _ = somewhere(list(rig.values()))
    pushed = moved[4]
    moved[4] = Camera(K=pushed.K, R=pushed.R, t=pushed.t + np.array([8.0, 0, 0]), width=800, height=1200)
    (R, t), off = frame_like(dict(enumerate(moved)), rig)
    assert np.allclose(moved[0].moved(R, t).centre, rig[0].centre, atol=1e-6)
    assert off[4] == pytest.approx(8.0, abs=1e-6)
    assert max(mm for view, mm in off.items() if view != 4) < 1e-6
    told = {int(d["view"]): d for d in differences(rig, dict(enumerate(moved)))}
    assert told[4]["centre_mm"] == pytest.approx(8.0, abs=1e-6)
    assert told[7]["turn_deg"] < 1e-6
    with pytest.raises(CalibrationError, match="2 views in common"):
        frame_like({0: rig[0], 1: rig[1]}, rig)
