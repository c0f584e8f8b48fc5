"""A board before simulated cameras: every pose is rendered as each of them sees it."""

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rendered_board import Pose, ShotConditions, faces_camera, poses_about, render_board

from common.charuco.charuco_board import Board
from common.files.atomic_write import write_whole
from processing.geometry.cameras import Camera
from processing.synthetic.studio_rig import studio_rig

BOARD = Board(7, 9, 28.0, 21.0, "4X4_50")


@dataclass(frozen=True)
class BoardBefore:
    """What simulated cameras photograph: `<view>.jpg` of the pose that is held up now."""

    photos: Path
    cameras: Sequence[Camera]
    poses: Sequence[Pose]
    rng: np.random.Generator

    def shown(self, view: int) -> bytes:
        """What a camera would photograph now."""
        return (self.photos / f"{view}.jpg").read_bytes()

    def hold(self, number: int) -> list[int]:
        """Hold up a pose; the views whose camera its print faces."""
        facing = [view for view, camera in enumerate(self.cameras) if faces_camera(camera, self.poses[number])]
        for view, camera in enumerate(self.cameras):
            shot = ShotConditions(blur_px=self.rng.uniform(0.5, 1.0))
            picture = render_board(BOARD, camera, self.poses[number], shot, self.rng)
            stream = BytesIO()
            Image.fromarray(picture).save(stream, "JPEG", quality=95)
            write_whole(self.photos / f"{view}.jpg", stream.getvalue(), durable=False)
        return facing


def board_before(folder: Path, cameras: int, poses: int, seed: int = 2) -> BoardBefore:
    rig = studio_rig(18, 480, 720)[:cameras]
    rng = np.random.default_rng(seed)
    towards = [camera.centre for camera in rig]
    folder.mkdir()
    return BoardBefore(folder, rig, poses_about(poses, rng, reach_mm=70, towards=towards, tilt_deg=40), rng)


@pytest.fixture
def two_cameras(tmp_path: Path) -> BoardBefore:
    return board_before(tmp_path / "board-photos", 2, 3)


@pytest.fixture
def six_cameras(tmp_path: Path) -> BoardBefore:
    return board_before(tmp_path / "board-photos", 6, 12)
