"""Initial estimate of a rig: each lens by itself, the board in each view, the cameras chained by what they share.

Lenses after Zhang 2000, poses after Collins and Bartoli 2014 (a small plane has two; both are kept and the rest of the
rig decides), the chain along the strongest links of the covisibility graph.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import breadth_first_order, connected_components, minimum_spanning_tree
from scipy.spatial.transform import Rotation

from common.array_types import Floats, Ints64
from common.charuco.calibration_needs import FEWEST_POSES
from processing.calibration.bundle_adjustment import BundleState, CornerObservations, to_pixels
from processing.calibration.corner_detection import Detection
from processing.geometry.rotations import rotation_angle_deg

_MOST_VIEWS = 16  # of one camera for its first lens; the adjustment uses all
_SAME_DEG, _SAME_SHARE = 3.0, 0.03  # poses agree within this angle, and this share of the distance


@dataclass(frozen=True, eq=False)
class BoardPose:
    """Where the board is before a camera: one or two answers, the better first."""

    #: (A, 3, 3) board to camera.
    R: Floats
    #: (A, 3) mm.
    t: Floats


def initial_intrinsics(
    views: Mapping[tuple[int, int], Detection], sizes: Sequence[tuple[int, int]], corners_mm: Floats
) -> Floats:
    """(C, 9) intrinsics. views: (camera, pose) -> detection.  sizes: (width, height) px of each camera.

    A camera whose views tell no focal length gets that of the others, in proportion to its photographs.
    """
    lenses = np.zeros((len(sizes), 9))
    shares = np.full(len(sizes), np.nan)
    for c, (width, height) in enumerate(sizes):
        seen = [d for (camera, _), d in sorted(views.items()) if camera == c]
        lens = _lens(seen, (width, height), corners_mm)
        if lens is not None:
            lenses[c] = lens
            shares[c] = lens[0] / max(width, height)
    usual = float(np.nanmedian(shares)) if np.isfinite(shares).any() else 1.5
    for c, (width, height) in enumerate(sizes):
        odd = not np.isfinite(shares[c]) or not 1 / 3 < shares[c] / usual < 3
        if odd:
            focal = usual * max(width, height)
            lenses[c] = [focal, focal, (width - 1) / 2, (height - 1) / 2, 0, 0, 0, 0, 0]
    return lenses


def _lens(seen: Sequence[Detection], size: tuple[int, int], corners_mm: Floats) -> Floats | None:
    seen = sorted(seen, key=lambda d: -len(d.corner))[:_MOST_VIEWS]
    for _ in range(3):
        if len(seen) < FEWEST_POSES:
            return None
        flags = cv2.CALIB_FIX_K3 | cv2.CALIB_ZERO_TANGENT_DIST | cv2.CALIB_FIX_ASPECT_RATIO
        flags |= cv2.CALIB_USE_INTRINSIC_GUESS | cv2.CALIB_FIX_PRINCIPAL_POINT
        if len(seen) < 6:
            flags |= cv2.CALIB_FIX_K2
        points = [corners_mm[d.corner].astype(np.float32) for d in seen]
        pixels = [d.pixels.astype(np.float32) for d in seen]
        try:
            K = cv2.initCameraMatrix2D(points, pixels, size, 1.0)
            if not np.isfinite(K).all() or not 0.2 < K[0, 0] / max(size) < 30:
                return None
            _, K, lens, _, _, _, _, errors = cv2.calibrateCameraExtended(
                points, pixels, size, K, np.zeros(5), flags=flags, criteria=(3, 30, 1e-7)
            )
        except cv2.error:
            return None
        errors = errors.ravel()
        good = errors <= max(1.0, 4 * float(np.median(errors)))
        if good.all():
            return np.array([K[0, 0], K[1, 1], K[0, 2], K[1, 2], *lens.ravel()[:5]])
        seen = [d for d, keep in zip(seen, good, strict=True) if keep]
    return None


def initial_board_poses(
    views: Mapping[tuple[int, int], Detection], lenses: Floats, corners_mm: Floats
) -> dict[tuple[int, int], BoardPose]:
    """The board before each camera that sees it."""
    boards = {}
    for (camera, pose), d in views.items():
        fx, fy, cx, cy, *lens = lenses[camera]
        K = np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]])
        points = np.ascontiguousarray(corners_mm[d.corner])
        try:
            _, turns, shifts, _ = cv2.solvePnPGeneric(points, d.pixels, K, np.array(lens), flags=cv2.SOLVEPNP_IPPE)
        except cv2.error:
            continue
        answers = []
        for turn, shift in zip(turns, shifts, strict=True):
            turn, shift = cv2.solvePnPRefineLM(points, d.pixels, K, np.array(lens), turn, shift)
            R, t = Rotation.from_rotvec(turn.ravel()).as_matrix(), shift.ravel()
            x, y, z = (points @ R.T + t).T
            if (z > 0).all():
                off = np.stack(to_pixels(x / z, y / z, lenses[camera]), 1) - d.pixels
                answers.append((float(np.sqrt((off**2).sum(1).mean())), R, t))
        answers.sort(key=lambda answer: answer[0])
        # A second answer that is far worse is none.
        answers = [a for a in answers if a[0] < 4 * answers[0][0] + 0.5]
        if answers:
            boards[camera, pose] = BoardPose(np.stack([a[1] for a in answers]), np.stack([a[2] for a in answers]))
    return boards


def linked_groups(views: Sequence[tuple[int, int]], cameras: int, poses: int) -> list[list[int]]:
    """Cameras that are linked through poses they share, the largest group first; those that saw nothing stand alone."""
    at = np.array(views, dtype=np.int64).reshape(-1, 2)
    links = csr_matrix((np.ones(len(at)), (at[:, 0], cameras + at[:, 1])), shape=(cameras + poses,) * 2)
    _, label = connected_components(links, directed=False)
    found: dict[int, list[int]] = {}
    for camera in range(cameras):
        found.setdefault(int(label[camera]), []).append(camera)
    return sorted(found.values(), key=lambda group: (-len(group), group))


def initial_state(
    boards: Mapping[tuple[int, int], BoardPose], lenses: Floats, group: Sequence[int], poses: int
) -> tuple[BundleState, list[int]]:
    """The cameras of a group and the poses they saw, in the frame of its best linked camera.

    Returns the state (others at the identity) and the cameras that could not be chained.
    """
    cameras = len(lenses)
    R, t = np.tile(np.eye(3), (cameras, 1, 1)), np.zeros((cameras, 3))
    weight = np.zeros((cameras, cameras))
    step: dict[tuple[int, int], tuple[Floats, Floats]] = {}
    for i, a in enumerate(group):
        for b in group[i + 1 :]:
            shared = [p for p in range(poses) if (a, p) in boards and (b, p) in boards]
            if not shared:
                continue
            R_ba, t_ba, votes = _between([boards[a, p] for p in shared], [boards[b, p] for p in shared])
            weight[a, b] = weight[b, a] = votes
            step[a, b] = R_ba, t_ba
            step[b, a] = R_ba.T, -R_ba.T @ t_ba
    root = max(group, key=lambda c: (weight[c].sum(), -c))
    tree = minimum_spanning_tree(csr_matrix(np.where(weight > 0, 1 / np.maximum(weight, 1e-9), 0)))
    order, parent = breadth_first_order(tree, root, directed=False)
    for c in order[1:]:
        R_step, t_step = step[int(parent[c]), int(c)]
        R[c], t[c] = R_step @ R[parent[c]], R_step @ t[parent[c]] + t_step
    chained = {int(c) for c in order}
    board_R, board_t = np.tile(np.eye(3), (poses, 1, 1)), np.zeros((poses, 3))
    for p in range(poses):
        seen = [c for c in group if c in chained and (c, p) in boards]
        if seen:
            board_R[p], board_t[p] = _agreed([boards[c, p] for c in seen], R[seen], t[seen])
    return BundleState(lenses, R, t, board_R, board_t), [c for c in group if c not in chained]


def _between(first: Sequence[BoardPose], second: Sequence[BoardPose]) -> tuple[Floats, Floats, float]:
    """Camera a to camera b from the poses both saw: the candidate that most poses support, and how many do."""
    R, t, pose = [], [], []
    for p, (a, b) in enumerate(zip(first, second, strict=True)):
        for i in range(len(a.R)):
            for j in range(len(b.R)):
                turn = b.R[j] @ a.R[i].T
                R.append(turn)
                t.append(b.t[j] - turn @ a.t[i])
                pose.append(p)
    distance = float(
        np.mean([np.linalg.norm(a.t[0]) + np.linalg.norm(b.t[0]) for a, b in zip(first, second, strict=True)])
    )
    return _most_supported(np.stack(R), np.stack(t), np.array(pose), distance / 2)


def _agreed(seen: Sequence[BoardPose], R: Floats, t: Floats) -> tuple[Floats, Floats]:
    """The board in the world from the cameras that saw it."""
    turns, shifts, camera = [], [], []
    for c, board in enumerate(seen):
        for turn, shift in zip(board.R, board.t, strict=True):
            turns.append(R[c].T @ turn)
            shifts.append(R[c].T @ (shift - t[c]))
            camera.append(c)
    distance = float(np.mean([np.linalg.norm(board.t[0]) for board in seen]))
    board_R, board_t, _ = _most_supported(np.stack(turns), np.stack(shifts), np.array(camera), distance)
    return board_R, board_t


def _most_supported(R: Floats, t: Floats, source: Ints64, distance_mm: float) -> tuple[Floats, Floats, float]:
    """The one of the motions that motions of most sources resemble; the closest ones break ties."""
    turn = rotation_angle_deg(R[:, None], R[None]) / _SAME_DEG
    shift = np.linalg.norm(t[:, None] - t[None], axis=2) / (_SAME_SHARE * distance_mm)
    apart = turn**2 + shift**2
    support = np.zeros((len(R), source.max() + 1))
    for s in range(support.shape[1]):
        support[:, s] = np.maximum(0, 1 - apart[:, source == s].min(1))
    votes = support.sum(1)
    best = int(votes.argmax())
    return R[best], t[best], float(votes[best])


def corners_of(views: Mapping[tuple[int, int], Detection]) -> CornerObservations:
    """All views in one table."""
    items = sorted(views.items())
    if not items:
        none = np.zeros(0, np.int64)
        return CornerObservations(none, none, none, np.zeros((0, 2)))
    return CornerObservations(
        np.concatenate([np.full(len(d.corner), camera) for (camera, _), d in items]),
        np.concatenate([np.full(len(d.corner), pose) for (_, pose), d in items]),
        np.concatenate([d.corner for _, d in items]),
        np.concatenate([d.pixels for _, d in items]),
    )
