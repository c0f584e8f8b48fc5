"""Corners in rendered photographs of known truth: blur, noise, shade, a hand before it, stickers beside it."""

import cv2
import numpy as np
import pytest
from rendered_board import Pose, ShotConditions, poses_about, render_board

from common.charuco.board_errors import BoardError
from common.charuco.charuco_board import Board, board_toml, read_board
from processing.calibration.corner_detection import detect
from processing.geometry.cameras import Camera
from processing.synthetic.studio_rig import studio_rig

CAMERA = studio_rig(12)[1]
POSE = poses_about(4, np.random.default_rng(5), reach_mm=30, towards=[CAMERA.centre], tilt_deg=35)[1]


def shoot(
    board: Board, shot: ShotConditions = ShotConditions(), camera: Camera = CAMERA, pose: Pose = POSE, seed: int = 0
):  # type: ignore[no-untyped-def]
    found = detect(render_board(board, camera, pose, shot, np.random.default_rng(seed)), board)
    true = camera.project(board.corners_mm[found.corner] @ pose.R.T + pose.t)
    return found, found.pixels - true


@pytest.mark.parametrize(
    ("shot", "rms_px"),
    [
        (ShotConditions(), 0.05),
        (ShotConditions(blur_px=1.6), 0.08),
        (ShotConditions(noise=0.02), 0.12),
        (ShotConditions(shade=0.8), 0.08),
        (ShotConditions(covered=0.4), 0.06),
        (ShotConditions(clutter=5), 0.08),
        (ShotConditions(exposure=0.25), 0.1),
    ],
)
def test_corners_lie_where_they_are(shot: ShotConditions, rms_px: float) -> None:
    board = Board()
    found, off = shoot(board, shot)
    assert not found.reason
    assert len(found.corner) >= (40 if shot.covered or shot.clutter else 70)
    assert np.sqrt((off**2).mean()) < rms_px
    assert np.abs(off).max() < 8 * rms_px


@pytest.mark.parametrize("name", ["4X4_50", "6X6_250", "APRILTAG_36h11"])
def test_other_boards(name: str) -> None:
    board = Board(7, 9, 25.0, 18.0, name)
    found, off = shoot(board)
    assert len(found.corner) == 48
    assert np.sqrt((off**2).mean()) < 0.08


def test_what_shows_no_board_says_so() -> None:
    board = Board()
    assert detect(np.full((300, 200), 90, np.uint8), board).reason == "no board found"
    noise = np.random.default_rng(0).integers(0, 255, (400, 300, 3)).astype(np.uint8)
    assert detect(noise, board).reason
    away = Pose(POSE.R @ np.diag([-1.0, 1.0, -1.0]), POSE.t)  # its back
    assert detect(render_board(board, CAMERA, away), board).reason == "no board found"


def test_a_board_of_another_dictionary_is_not_taken_for_ours() -> None:
    picture = render_board(Board(dictionary="6X6_100"), CAMERA, POSE)
    assert detect(picture, Board()).reason


def test_the_print_is_what_the_detector_looks_for() -> None:
    """At true size: a corner lies where its millimetres say, to half a dot."""
    board = Board(5, 7, 30.0, 22.0, "4X4_50")
    picture = board.picture(4.0, margin_mm=10.0)
    assert picture.shape == ((7 * 30 + 20) * 4, (5 * 30 + 20) * 4)
    found = detect(cv2.GaussianBlur(picture, (0, 0), 1.0), board)
    assert len(found.corner) == 24
    place = (board.corners_mm[found.corner, :2] + np.array(board.size_mm) / 2 + 10.0) * 4.0 - 0.5
    assert np.abs(found.pixels - place).max() < 0.1


def test_a_board_file_reads_back_and_mistakes_are_named(tmp_path) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "board.toml"
    board = Board(7, 9, 25.4, 18.0, "6X6_250")
    path.write_text(board_toml(board))
    assert read_board(path) == board
    for text, told in (
        ("squares = 9", "no 'squares'; did you mean squares_"),
        ("square_mm = '20'", "square_mm = '20' is not a number"),
        ("square_mm = 10.0", "a marker is smaller than its square"),
        ("dictionary = '5X5_10'", "did you mean 5X5_1"),
        ("squares_x = 20\nsquares_y = 30", "needs 300 markers; 5X5_100 has 100"),
        ("squares_x = 2", "too small"),
        ("=", "not valid TOML"),
    ):
        path.write_text(text)
        with pytest.raises(BoardError, match=told):
            read_board(path)
