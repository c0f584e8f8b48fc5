"""Cameras in other programs' files, and the head frame."""

import json
import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from processing.calibration.calibration_report import differences
from processing.calibration.head_frame import frame_like, frame_of_pose, frame_of_rig
from processing.files.calibration_errors import CalibrationError
from processing.files.camera_models import read_cameras, write_cameras
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
    write_cameras(tmp_path / "model", cameras, binary=binary)
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
        ("1 OPENCV 640 480 1 2", "damaged"),
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
    write_cameras(path, cameras)
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
