"""The head frame of a rig: y up, z out of the face, millimetres, the origin where the head is.

The cameras alone know neither up nor front. What tells them: a calibration that the studio already uses (its cameras'
places), a named pose of the board (its middle, its print's up, out of its print), or the rig (`frame_of_rig`).
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from common.array_types import Floats
from processing.files.calibration_errors import CalibrationError
from processing.geometry.cameras import Camera
from processing.geometry.lines import meet_lines
from processing.geometry.procrustes import fit_motion

Motion = tuple[Floats, Floats]  # R, t of x_head = R x + t

_LIKE_MM = 5.0


def frame_of_rig(cameras: Sequence[Camera], front: Sequence[Camera] = (), ups: Sequence[Floats] = ()) -> Motion:
    """Origin: the point nearest to all cameras' axes. y: the mean of the cameras' up. z: level, towards `front`.

    front: the cameras before the face; none: the half of all whose neighbours are nearest, as studios put most there.
    ups: (3,) a camera, up in its own frame; none: against the rows of its photographs, (0, -1, 0).
    Raises CalibrationError where the cameras tell no up or no front.
    """
    centres = np.stack([c.centre for c in cameras])
    axes = np.stack([c.viewing_direction for c in cameras])
    # Parallel axes meet nowhere: then near the cameras.
    origin = meet_lines(centres, axes, ridge=1e-9 * len(cameras), toward=centres.mean(0))
    up_in_camera = list(ups) or [np.array([0.0, -1.0, 0.0])] * len(cameras)
    # A camera that looks down has its picture's up leaning forwards: only what is square to all axes counts.
    up = np.mean([c.R.T @ u for c, u in zip(cameras, up_in_camera, strict=True)], axis=0)
    if np.linalg.norm(up) < 0.5:
        raise CalibrationError(
            "The cameras do not agree on which way is up (some lie on their side?), so the head frame is not known."
            " Name a pose of the board that stands upright before the face: --frame pose:NAME"
        )
    y = up / np.linalg.norm(up)
    flat = (centres - origin) - np.outer((centres - origin) @ y, y)
    if front:
        chosen = np.array([any(c is f for f in front) for c in cameras])
    else:
        level = flat / np.linalg.norm(flat, axis=1, keepdims=True).clip(1e-9)
        near = np.sort(level @ level.T, axis=1)[:, ::-1][:, 1 : max(2, len(cameras) // 4)].mean(1)
        chosen = near >= np.median(near)
    towards = flat[chosen].sum(0)
    if np.linalg.norm(towards) < 0.1 * np.linalg.norm(flat, axis=1).max():
        raise CalibrationError(
            "The cameras stand all around and none is named as frontal, so the front is not known."
            " Give --front with the views before the face, or --frame pose:NAME"
        )
    z = towards / np.linalg.norm(towards)
    R = np.stack([np.cross(y, z), y, z])
    return R, -R @ origin


def frame_of_pose(board_R: Floats, board_t: Floats) -> Motion:
    """The board stands where the face will be, print to the front, its upper edge up: its middle is the origin."""
    turn = np.diag([1.0, -1.0, -1.0])  # the board's y runs down, its z into the print
    R = turn @ board_R.T
    return R, -R @ board_t


def frame_like(cameras: Mapping[int, Camera], known: Mapping[int, Camera]) -> tuple[Motion, dict[int, float]]:
    """The frame of an earlier calibration of the same rig, and how far each view's centre has moved since, mm.

    Cameras that moved by more than 5 mm against the others are left out of the alignment.
    Raises CalibrationError with fewer than three views in common, Degenerate where these stand on one line.
    """
    shared = sorted(set(cameras) & set(known))
    if len(shared) < 3:
        raise CalibrationError(f"the earlier calibration has {len(shared)} views in common with this one; 3 are needed")
    a = np.stack([cameras[v].centre for v in shared])
    b = np.stack([known[v].centre for v in shared])
    R, t, off = np.eye(3), np.zeros(3), np.zeros(len(shared))
    keep = _agreeing(a, b)
    for _ in range(5):
        motion = fit_motion(a[keep], b[keep], with_scale=False)
        R, t = motion.R, motion.t
        off = np.linalg.norm(a @ R.T + t - b, axis=1)
        closer = off <= max(_LIKE_MM, 3 * float(np.median(off)))
        if closer.sum() < 3 or (closer == keep).all():
            break
        keep = closer
    return (R, t), {view: float(mm) for view, mm in zip(shared, off, strict=True)}


def _agreeing(a: Floats, b: Floats) -> NDArray[np.bool_]:
    """Centres whose distances to most others stayed the same; at least three."""
    apart = np.abs(np.linalg.norm(a[:, None] - a[None], axis=2) - np.linalg.norm(b[:, None] - b[None], axis=2))
    changed = np.median(apart, axis=1)
    return np.asarray(changed <= max(_LIKE_MM, float(np.sort(changed)[max(2, len(a) // 2)])))
