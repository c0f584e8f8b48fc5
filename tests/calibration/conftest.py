"""A small rig of known cameras, and what it sees of a board."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
from rendered_board import Pose, corners_seen, poses_about

from common.charuco.charuco_board import Board
from processing.calibration.corner_detection import Detection
from processing.calibration.rig_calibration import Calibration
from processing.geometry.cameras import Camera
from processing.geometry.procrustes import fit_motion
from processing.geometry.rotations import rotation_angle_deg
from processing.synthetic.studio_rig import studio_rig

Views = dict[tuple[int, int], Detection]
NOISE_PX = 0.03  # what the detector does on sharp photographs


@pytest.fixture(scope="session")
def board() -> Board:
    return Board()


@pytest.fixture(scope="session")
def rig() -> list[Camera]:
    return studio_rig(12)


@pytest.fixture(scope="session")
def poses(rig: list[Camera]) -> list[Pose]:
    return poses_about(40, np.random.default_rng(3), reach_mm=140, towards=[camera.centre for camera in rig])


def _seen(
    board: Board, cameras: list[Camera], poses: list[Pose], *, noise_px: float = NOISE_PX, seed: int = 1
) -> Views:
    return corners_seen(board, cameras, poses, noise_px, np.random.default_rng(seed))


@pytest.fixture(scope="session")
def seen() -> Callable[..., Views]:
    """seen(board, cameras, poses, noise_px=0.1, seed=1): (camera, pose) -> detection."""
    return _seen


@pytest.fixture
def views(board: Board, rig: list[Camera], poses: list[Pose]) -> Views:
    return _seen(board, rig, poses)


@pytest.fixture(scope="session")
def errors() -> Callable[..., dict[str, Any]]:
    """errors(found, true): centres and turns against the truth after a rigid alignment without scale."""

    def compare(found: Calibration | Mapping[int, Camera], true: list[Camera]) -> dict[str, Any]:
        cameras = found.cameras if isinstance(found, Calibration) else found
        kept = sorted(cameras)
        centres, truth = np.stack([cameras[c].centre for c in kept]), np.stack([true[c].centre for c in kept])
        motion = fit_motion(centres, truth, with_scale=False)
        moved = {c: cameras[c].moved(motion.R, motion.t) for c in kept}
        off = np.stack([moved[c].centre - true[c].centre for c in kept])
        return {
            "R": motion.R,
            "centre_mm": np.linalg.norm(off, axis=1),
            "offset_mm": off,
            "turn_deg": np.array([rotation_angle_deg(moved[c].R, true[c].R) for c in kept]),
        }

    return compare
