"""The peers of the benchmarks get what Mien gets."""

import json
import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from bench_calibrate import alone, compare
from bench_mvs import find_folders, smaller_take, truth_of
from colmap_dense import write_workspace
from colmap_rig import colmap_rig
from openmvs import scene_bytes, steps, version
from rendered_board import corners_seen, poses_about

from common.charuco.charuco_board import Board
from processing.files.camera_models import params_from_cameras
from processing.files.colmap import read_colmap
from processing.files.image_files import write_image
from processing.files.take_folder import read_photos, read_take
from processing.synthetic.studio_rig import studio_rig


@pytest.fixture
def take(tmp_path: Path) -> Path:
    """Twelve photographs of noise by the studio's cameras, with a truth inside."""
    folder = tmp_path / "hard"
    folder.mkdir()
    cameras = studio_rig(12, 80, 120)
    rng = np.random.default_rng(1)
    for i, camera in enumerate(cameras):
        write_image(folder / f"{i}.jpg", rng.integers(0, 255, (camera.height, camera.width, 3), dtype=np.uint8))
    (folder / "params.json").write_text(json.dumps(params_from_cameras(cameras)))
    np.savez(folder / "truth.npz", vertices=np.zeros((3, 3)), triangles=np.array([[0, 1, 2]]))
    return folder


def test_a_smaller_take_is_of_the_same_rig(take: Path, tmp_path: Path) -> None:
    made = smaller_take(take, tmp_path / "smaller", 8, 0.5)
    small, images = read_photos(read_take(made))
    whole = {tuple(camera.centre.round(6)): camera for camera in read_take(take).cameras}
    assert [image.shape[:2] for image in images] == [(60, 40)] * 8
    point = np.array([[5.0, -10.0, 60.0]])
    for camera in small.cameras:
        seen = (camera.project(point) + 0.5) / (whole[tuple(camera.centre.round(6))].project(point) + 0.5)
        assert seen == pytest.approx(0.5, abs=1e-3)  # pixels' outer corners keep their rays
    assert truth_of(made).read_bytes() == truth_of(take).read_bytes()
    assert find_folders(take, None) == [take]


def test_openmvs_reads_the_cameras_that_were_written() -> None:
    """The bytes, read as libs/MVS/Interface.h of OpenMVS 2.3 and 2.4 reads version 1."""
    cameras = studio_rig(9, 80, 120)[:2]
    points, seen = np.array([[1.0, 2.0, 3.0]]), np.array([[True, False]])
    data = scene_bytes(cameras, ["a.png", "b.png"], points, seen)
    at = 0

    def take_off(form: str) -> tuple[float, ...]:
        nonlocal at
        values = struct.unpack_from("<" + form, data, at)
        at += struct.calcsize("<" + form)
        return values

    def text() -> bytes:
        return bytes(take_off(f"{take_off('Q')[0]}s")[0])  # type: ignore[call-overload]

    assert take_off("4sII") == (b"MVSI", 1, 0)
    assert take_off("Q") == (1,)
    assert text() == b"rig"
    assert take_off("Q") == (2,)
    for camera, name in zip(cameras, (b"a.png", b"b.png"), strict=True):
        assert text() == name
        assert take_off("II") == (80, 120)
        assert np.array_equal(np.reshape(take_off("9d"), (3, 3)), camera.K)
        assert take_off("12d") == (*np.eye(3).ravel(), 0, 0, 0)
    assert take_off("Q") == (2,)
    for camera in cameras:
        assert np.array_equal(np.reshape(take_off("9d"), (3, 3)), camera.R)
        assert np.array_equal(take_off("3d"), camera.centre)
    assert take_off("Q") == (2,)
    assert [(text(), take_off("III")) for _ in cameras] == [(b"a.png", (0, 0, 0)), (b"b.png", (0, 1, 1))]
    assert take_off("Q3fQIf") == (1, 1, 2, 3, 1, 0, 0)
    assert take_off("5Q") == (0,) * 5
    assert at == len(data)


def test_the_version_is_the_one_that_openmvs_says(tmp_path: Path) -> None:
    (tmp_path / "densify.log").write_bytes(b"\x1b[2m02:44:00 [App     ] \xffOpenMVS x64 v2.4.0\n")
    assert version(tmp_path) == "2.4.0"
    assert [name for name, _, _ in steps(Path("bin"), 0)] == ["densify", "mesh", "refine"]


def test_colmap_gets_our_cameras_for_its_stereo(take: Path, tmp_path: Path) -> None:
    read, images = read_photos(read_take(take))
    near = write_workspace(tmp_path / "workspace", images, read.cameras)
    written, _ = read_colmap(tmp_path / "workspace" / "sparse")
    for i, camera in enumerate(read.cameras):
        assert written[i].centre == pytest.approx(camera.centre)
        assert not written[i].distortion.any()
        assert i not in near[i]
        assert len(near[i]) >= 2
    told = (tmp_path / "workspace" / "stereo" / "patch-match.cfg").read_text().splitlines()
    assert told[::2] == [f"{i}.jpg" for i in range(len(read.cameras))]


def test_colmap_calibrates_from_our_corners(tmp_path: Path) -> None:
    pytest.importorskip("pycolmap")
    rng = np.random.default_rng(3)
    board = Board(square_mm=20.0, marker_mm=15.0)
    cameras = studio_rig(36)[:8]
    poses = poses_about(10, rng, reach_mm=100, towards=[c.centre for c in cameras])
    found = colmap_rig(corners_seen(board, cameras, poses, 0.02, rng), board.corners_mm, tmp_path)
    figures = compare(found.cameras, cameras)
    assert figures["cameras"] == 8
    assert figures["rays_rms_px"] < 1.5
    assert figures["centre_rms_mm"] < 5


def test_corners_on_a_line_are_kept_from_opencv() -> None:
    rng = np.random.default_rng(3)
    board = Board(square_mm=20.0, marker_mm=15.0)
    cameras = studio_rig(36)[:1]
    views = corners_seen(board, cameras, poses_about(5, rng, towards=[cameras[0].centre]), 0.1, rng)
    key, seen = next(iter(views.items()))
    row = board.corners_mm[seen.corner, 1] == board.corners_mm[seen.corner[0], 1]
    views[key] = replace(seen, corner=seen.corner[row], pixels=seen.pixels[row])
    assert alone(views, cameras, board) > 0
