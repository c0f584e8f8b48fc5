"""Pose refinement: one camera against points that others know, a robust least-squares fit of its pose alone."""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from scipy.spatial.transform import Rotation

from common.array_types import Floats
from processing.geometry.cameras import Camera
from processing.geometry.rotations import rotation_angle_deg, skew_matrix

Model = Literal["turn", "shift", "both"]

_TUKEY = 4.685
_FLOOR_PX = 0.15  # features are found no better than this
_PRIOR_TURN = np.radians(1.0)  # keeps what a turn and a shift share from growing without bound against each other
_PRIOR_MM = 10.0
_SIMPLER = 1.08  # one motion explains it when its rest is within this factor of both motions'


@dataclass(frozen=True, eq=False)
class PoseFit:
    """A camera's pose refined against known points, and how far it moved.

    A view of a compact subject shows a roll about its line of sight and a shift along it apart; a turn and a shift
    across look nearly alike.
    """

    #: With the refined pose.
    camera: Camera
    #: Which motion was fitted.
    model: Model
    #: By how much it turned.
    turn_deg: float
    #: By how much its centre moved.
    shift_mm: float
    #: The part of the turn about the line of sight, and its standard deviation.
    roll_deg: float
    roll_sd: float
    #: The part of the shift along the line of sight, and its standard deviation.
    along_mm: float
    along_sd: float
    #: Median by which its picture lies off, and the standard error of that.
    view_px: float
    view_sd: float
    #: Median residual before.
    before_px: float
    #: Robust residual after.
    rest_px: float
    #: Mean square of what remains, each cut at 1 px.
    cost_px2: float
    #: Points used.
    tracks: int


def fit_pose(camera: Camera, points_mm: Floats, observed: Floats, model: Model = "both") -> PoseFit:
    """Turn and shift a camera so that (n, 3) points, head frame, project to (n, 2) px. n is at least 4.

    camera: without distortion. Gauss-Newton with Tukey's weights; the scale is the residuals' own spread.
    """
    columns = {"turn": slice(0, 3), "shift": slice(3, 6), "both": slice(0, 6)}[model]
    prior = np.diag([1 / _PRIOR_TURN**2] * 3 + [1 / _PRIOR_MM**2] * 3)[columns, columns]
    now, total = camera, np.zeros(6)
    start = observed - camera.project(points_mm)
    covariance = np.zeros((6, 6))
    weight, scale = np.ones(len(points_mm)), 1.0
    for _ in range(25):
        residual = observed - now.project(points_mm)
        off = np.linalg.norm(residual, axis=1)
        scale = max(float(np.median(off)) / 1.1774, _FLOOR_PX)  # median of a Rayleigh's distances -> its sigma
        ratio = np.minimum(off / (_TUKEY * scale * 1.3), 1.0)
        weight = (1 - ratio**2) ** 2
        J = _jacobian(now, points_mm)[:, :, columns]
        normal = np.einsum("n,nik,nil->kl", weight, J, J) / scale**2 + prior
        right = np.einsum("n,nik,ni->k", weight, J, residual) / scale**2 - prior @ total[columns]
        step = np.zeros(6)
        step[columns] = np.linalg.solve(normal, right)
        total += step
        turn = Rotation.from_rotvec(step[:3]).as_matrix()
        now = replace(now, R=turn @ now.R, t=turn @ now.t + step[3:])
        covariance[columns, columns] = np.linalg.inv(normal)
        if np.abs(step[:3]).max() < 1e-8 and np.abs(step[3:]).max() < 1e-5:
            break
    lies_off = np.linalg.norm(now.project(points_mm) - camera.project(points_mm), axis=1)
    used = weight > 0.1
    return PoseFit(
        camera=now,
        model=model,
        turn_deg=float(rotation_angle_deg(camera.R, now.R)),
        shift_mm=float(np.linalg.norm(camera.centre - now.centre)),
        roll_deg=float(np.degrees(total[2])),
        roll_sd=float(np.degrees(np.sqrt(covariance[2, 2]))),
        along_mm=float(total[5]),
        along_sd=float(np.sqrt(covariance[5, 5])),
        view_px=float(np.median(lies_off)),
        view_sd=scale / float(np.sqrt(max(used.sum(), 1))),
        before_px=float(np.median(np.linalg.norm(start, axis=1))),
        rest_px=scale,
        cost_px2=float(np.mean(np.minimum(np.linalg.norm(observed - now.project(points_mm), axis=1), 1.0) ** 2)),
        tracks=int(used.sum()),
    )


def simplest_motion(camera: Camera, points_mm: Floats, observed: Floats) -> tuple[PoseFit, PoseFit | None]:
    """The turn alone, or the shift alone, where it explains what is seen about as well as both together do.

    Second: the other one, where it does so too: a small turn and a small shift across look alike.
    """
    both = fit_pose(camera, points_mm, observed, "both")
    turn, shift = (fit_pose(camera, points_mm, observed, m) for m in ("turn", "shift"))
    best, other = (turn, shift) if turn.cost_px2 <= shift.cost_px2 else (shift, turn)
    if best.cost_px2 > _SIMPLER * both.cost_px2:
        return both, None
    return best, other if other.cost_px2 <= _SIMPLER * best.cost_px2 else None


def _jacobian(camera: Camera, points_mm: Floats) -> Floats:
    """(n, 2, 6) px a radian of turning about the lens, and px a mm of t, both in the camera's frame."""
    q = camera.to_camera(points_mm)
    z = q[:, 2]
    J = np.zeros((len(q), 2, 3))
    J[:, 0, 0], J[:, 0, 2] = camera.K[0, 0] / z, -camera.K[0, 0] * q[:, 0] / z**2
    J[:, 1, 1], J[:, 1, 2] = camera.K[1, 1] / z, -camera.K[1, 1] * q[:, 1] / z**2
    return np.concatenate([J @ -skew_matrix(q), J], axis=2)
