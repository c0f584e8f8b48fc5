"""Bundle adjustment of a rig: lenses, poses of the cameras, and poses of a board of known shape, all at once.

The corner of pose p that camera c saw lies at `project(c, R_c (R_p X + t_p) + t_c)`. Unknown are nine intrinsics and
six numbers of pose a camera, six a pose of the board; the board's shape is given and brings the scale. 68 cameras and
60 poses are 1,380 unknowns, so the normal matrix is small whatever the number of corners: it is summed view by view
from analytic Jacobians, and SciPy's nearly exact trust-region method (Conn, Gould and Toint 2000, section 7.3) solves
with it.
"""

from dataclasses import dataclass, replace

import numpy as np
from scipy.linalg import cho_factor, cho_solve
from scipy.optimize import minimize
from scipy.spatial.transform import Rotation

from common.array_types import Bools, Floats, Ints64
from processing.errors import ShapeError
from processing.geometry.lens_distortion import distort
from processing.geometry.rotations import left_jacobian, skew_matrix

INTRINSICS = ("fx", "fy", "cx", "cy", "k1", "k2", "p1", "p2", "k3")
_LENS, _CAMERA, _POSE = 9, 15, 6
_VIEW = _CAMERA + _POSE


@dataclass(frozen=True, eq=False)
class CornerObservations:
    """What was seen, one row a corner, all rows of a view (camera, pose) together."""

    #: (N,) indices of the camera,
    camera: Ints64
    #: the board's pose,
    pose: Ints64
    #: and the corner on the board.
    corner: Ints64
    #: (N, 2) px.
    pixels: Floats

    def __post_init__(self) -> None:
        n = len(self.camera)
        for name in ("pose", "corner"):
            if getattr(self, name).shape != (n,):
                raise ShapeError(f"corners: {name}", getattr(self, name).shape, f"({n},)")
        if self.pixels.shape != (n, 2):
            raise ShapeError("corners: pixels", self.pixels.shape, f"({n}, 2)")
        order = np.lexsort((self.corner, self.pose, self.camera))
        for name in ("camera", "pose", "corner", "pixels"):
            object.__setattr__(self, name, np.ascontiguousarray(getattr(self, name)[order]))

    def __len__(self) -> int:
        return len(self.camera)

    def where(self, keep: Bools) -> "CornerObservations":
        return CornerObservations(self.camera[keep], self.pose[keep], self.corner[keep], self.pixels[keep])

    def view_starts(self) -> Ints64:
        """(V,) the first row of each view."""
        if not len(self):
            return np.zeros(0, np.int64)
        new = (np.diff(self.camera) != 0) | (np.diff(self.pose) != 0)
        return np.concatenate([[0], np.flatnonzero(new) + 1]).astype(np.int64)

    def view_of(self) -> Ints64:
        """(N,) the view of each row, counted from 0."""
        marks = np.zeros(len(self), np.int64)
        marks[self.view_starts()[1:]] = 1
        return np.cumsum(marks)


@dataclass(frozen=True, eq=False)
class BundleState:
    """The unknowns of a bundle adjustment: the rig's cameras and the board's poses."""

    #: (C, 9) as INTRINSICS, px.
    lens: Floats
    #: (C, 3, 3) world to camera.
    R: Floats
    #: (C, 3) mm.
    t: Floats
    #: (P, 3, 3) board to world.
    board_R: Floats  # noqa: N815
    #: (P, 3) mm.
    board_t: Floats

    @property
    def centres(self) -> Floats:
        """(C, 3) mm."""
        return np.asarray(-np.einsum("cji,cj->ci", self.R, self.t))

    def moved(self, R: Floats, t: Floats) -> "BundleState":
        """The same after the world moved: x_new = R x + t."""
        camera_R = self.R @ R.T
        return replace(
            self, R=camera_R, t=self.t - camera_R @ t, board_R=R @ self.board_R, board_t=self.board_t @ R.T + t
        )


@dataclass(frozen=True, eq=False)
class Solution:
    """What a bundle adjustment found."""

    #: The state of least cost.
    state: BundleState
    #: (15 C, 15 C) of lens, rotation vector (radian, in the camera) and t a camera, with the rig as a whole held in
    #: place; NaN for cameras that nothing was seen of.
    covariance: Floats
    #: Standard deviation of one coordinate of a corner.
    sigma_px: float
    #: Of the solver.
    iterations: int


def to_pixels(x: Floats, y: Floats, lens: Floats) -> tuple[Floats, Floats]:
    """Normalised image coordinates before the lens -> pixels. lens: (N, 9) or (9,), as INTRINSICS."""
    fx, fy, cx, cy = np.moveaxis(lens[..., :4], -1, 0)
    u, v = distort(x, y, lens[..., 4:])
    return fx * u + cx, fy * v + cy


def project(state: BundleState, corners: CornerObservations, board_mm: Floats) -> Floats:
    """(N, 2) where the corners should be seen, px. board_mm: (K, 3) places of the corners on the board."""
    c, p = corners.camera, corners.pose
    world = np.einsum("nij,nj->ni", state.board_R[p], board_mm[corners.corner]) + state.board_t[p]
    x, y, z = (np.einsum("nij,nj->ni", state.R[c], world) + state.t[c]).T
    z = np.where(z > 1e-3, z, np.nan)
    return np.stack(to_pixels(x / z, y / z, state.lens[c]), axis=1)


class BundleProblem:
    """Reprojection error as a function of a step away from a start, with its gradient and Gauss-Newton matrix.

    board_mm: (K, 3) corners on the board.
    prior: (mean (C, 9), sigma (C, 9)) of the intrinsics, weak: they only hold what the corners leave open.
    noise_px: the corners' standard deviation, against which the prior is weighed.
    loss_px: Cauchy's scale for the distance of a corner; None: least squares.
    """

    def __init__(
        self,
        start: BundleState,
        corners: CornerObservations,
        board_mm: Floats,
        prior: tuple[Floats, Floats],
        noise_px: float = 0.1,
        loss_px: float | None = None,
    ) -> None:
        self.start, self.corners, self.board_mm, self.loss_px = start, corners, board_mm, loss_px
        self.prior_mean, self.prior_sigma = prior[0], prior[1] / noise_px
        cameras, poses = len(start.lens), len(start.board_t)
        self.cameras, self.size = cameras, cameras * _CAMERA + poses * _POSE
        self.bounds = np.append(corners.view_starts(), len(corners))
        first = self.bounds[:-1]
        at_camera = corners.camera[first][:, None] * _CAMERA + np.arange(_CAMERA)
        at_pose = cameras * _CAMERA + corners.pose[first][:, None] * _POSE + np.arange(_POSE)
        self.at = np.concatenate([at_camera, at_pose], axis=1)

    def state(self, step: Floats) -> BundleState:
        """The start moved by a step (size,)."""
        of_camera = step[: self.cameras * _CAMERA].reshape(-1, _CAMERA)
        of_pose = step[self.cameras * _CAMERA :].reshape(-1, _POSE)
        s = self.start
        return BundleState(
            lens=s.lens + of_camera[:, :9],
            R=Rotation.from_rotvec(of_camera[:, 9:12]).as_matrix() @ s.R,
            t=s.t + of_camera[:, 12:],
            board_R=Rotation.from_rotvec(of_pose[:, :3]).as_matrix() @ s.board_R,
            board_t=s.board_t + of_pose[:, 3:],
        )

    def cost(self, step: Floats) -> float:
        """Half of the sum of squares, robustly; infinite where a corner falls behind its camera."""
        state = self.state(step)
        residual = project(state, self.corners, self.board_mm) - self.corners.pixels
        if not np.isfinite(residual).all():
            return float("inf")
        squared = (residual**2).sum(1)
        if self.loss_px is not None:
            squared = self.loss_px**2 * np.log1p(squared / self.loss_px**2)
        held = (state.lens - self.prior_mean) / self.prior_sigma
        return float(squared.sum() + (held**2).sum()) / 2

    def normal(self, step: Floats) -> tuple[Floats, Floats]:
        """Gradient (size,) and Gauss-Newton matrix (size, size)."""
        state = self.state(step)
        residual, jacobian = self._jacobian(state, step)
        if self.loss_px is not None:
            root = 1 / np.sqrt(1 + (residual**2).sum(1) / self.loss_px**2)
            residual, jacobian = residual * root[:, None], jacobian * root[:, None, None]
        rows, value = jacobian.reshape(-1, _VIEW), residual.reshape(-1)
        blocks = np.empty((len(self.at), _VIEW, _VIEW))
        slopes = np.empty((len(self.at), _VIEW))
        for v, (a, b) in enumerate(zip(self.bounds[:-1] * 2, self.bounds[1:] * 2, strict=True)):
            blocks[v] = rows[a:b].T @ rows[a:b]
            slopes[v] = rows[a:b].T @ value[a:b]
        gradient = np.zeros(self.size)
        np.add.at(gradient, self.at, slopes)
        matrix = np.zeros((self.size, self.size))
        np.add.at(matrix, (self.at[:, :, None], self.at[:, None, :]), blocks)
        lens_at = (np.arange(self.cameras)[:, None] * _CAMERA + np.arange(_LENS)).ravel()
        gradient[lens_at] += ((state.lens - self.prior_mean) / self.prior_sigma**2).ravel()
        matrix[lens_at, lens_at] += (1 / self.prior_sigma**2).ravel()
        return gradient, matrix

    def _jacobian(self, state: BundleState, step: Floats) -> tuple[Floats, Floats]:
        """Residual (N, 2) and its derivative (N, 2, 21): lens, rotation, t of the camera; rotation, t of the pose."""
        c, p = self.corners.camera, self.corners.pose
        camera_J = left_jacobian(step[: self.cameras * _CAMERA].reshape(-1, _CAMERA)[:, 9:12])
        pose_J = left_jacobian(step[self.cameras * _CAMERA :].reshape(-1, _POSE)[:, :3])
        turned = np.einsum("nij,nj->ni", state.board_R[p], self.board_mm[self.corners.corner])
        in_camera = np.einsum("nij,nj->ni", state.R[c], turned + state.board_t[p])
        X, Y, Z = (in_camera + state.t[c]).T
        x, y = X / Z, Y / Z
        lens = state.lens[c]
        fx, fy, _, _, k1, k2, p1, p2, k3 = lens.T
        r2 = x * x + y * y
        radial = 1 + r2 * (k1 + r2 * (k2 + r2 * k3))
        slope = 2 * (k1 + r2 * (2 * k2 + 3 * r2 * k3))  # d radial / d x = slope x
        u, v = distort(x, y, lens[:, 4:])
        n = len(x)
        J = np.zeros((n, 2, _VIEW))
        J[:, 0, 0], J[:, 1, 1], J[:, 0, 2], J[:, 1, 3] = u, v, 1, 1
        for column, power in ((4, r2), (5, r2**2), (8, r2**3)):
            J[:, 0, column], J[:, 1, column] = fx * x * power, fy * y * power
        J[:, 0, 6], J[:, 1, 6] = fx * 2 * x * y, fy * (r2 + 2 * y * y)
        J[:, 0, 7], J[:, 1, 7] = fx * (r2 + 2 * x * x), fy * 2 * x * y
        lens_slope = np.empty((n, 2, 2))
        lens_slope[:, 0, 0] = fx * (radial + slope * x * x + 2 * p1 * y + 6 * p2 * x)
        cross = slope * x * y + 2 * p1 * x + 2 * p2 * y
        lens_slope[:, 0, 1], lens_slope[:, 1, 0] = fx * cross, fy * cross
        lens_slope[:, 1, 1] = fy * (radial + slope * y * y + 6 * p1 * y + 2 * p2 * x)
        to_plane = np.zeros((n, 2, 3))
        to_plane[:, 0, 0] = to_plane[:, 1, 1] = 1 / Z
        to_plane[:, 0, 2], to_plane[:, 1, 2] = -x / Z, -y / Z
        by_place = lens_slope @ to_plane  # px a mm in the camera
        J[:, :, 9:12] = -by_place @ skew_matrix(in_camera) @ camera_J[c]
        J[:, :, 12:15] = by_place
        by_world = by_place @ state.R[c]
        J[:, :, 15:18] = -by_world @ skew_matrix(turned) @ pose_J[p]
        J[:, :, 18:21] = by_world
        seen = np.stack([fx * u + lens[:, 2], fy * v + lens[:, 3]], axis=1)
        return seen - self.corners.pixels, J


class _FreeUnknowns:
    """A problem over the unknowns that something was seen of, each scaled to unit curvature at the start.

    One camera's place is held, as the whole rig may stand anywhere. SciPy asks for gradient and matrix apart; they come
    of one pass, so the last is kept.
    """

    def __init__(self, problem: BundleProblem) -> None:
        self.problem = problem
        seen = np.zeros(problem.size, dtype=bool)
        seen[np.unique(problem.at)] = True
        held = int(problem.corners.camera[0]) * _CAMERA + 9
        seen[held : held + 6] = False
        self.free = np.flatnonzero(seen)
        self._scale = 1 / np.sqrt(np.diag(problem.normal(np.zeros(problem.size))[1])[self.free].clip(1e-12))
        self._last: tuple[bytes, Floats, Floats] | None = None

    def step(self, x: Floats) -> Floats:
        """The step of all unknowns, 0 where they are held."""
        step = np.zeros(self.problem.size)
        step[self.free] = x * self._scale
        return step

    def cost(self, x: Floats) -> float:
        return self.problem.cost(self.step(x))

    def gradient(self, x: Floats) -> Floats:
        return self._normal(x)[0]

    def matrix(self, x: Floats) -> Floats:
        return self._normal(x)[1]

    def _normal(self, x: Floats) -> tuple[Floats, Floats]:
        key = x.tobytes()
        if self._last is None or self._last[0] != key:
            gradient, matrix = self.problem.normal(self.step(x))
            small = matrix[np.ix_(self.free, self.free)]
            self._last = key, gradient[self.free] * self._scale, small * self._scale * self._scale[:, None]
        return self._last[1], self._last[2]


def bundle_adjust(problem: BundleProblem, *, most_iterations: int = 60, with_covariance: bool = False) -> Solution:
    """The state with the least reprojection error. Cameras and poses without corners stay as they are."""
    unknowns = _FreeUnknowns(problem)
    costs = [problem.cost(np.zeros(problem.size))]

    def stop(intermediate_result: object) -> None:
        costs.append(float(getattr(intermediate_result, "fun")))  # noqa: B009  (SciPy's result is untyped)
        if len(costs) > 2 and costs[-3] - costs[-1] < 1e-7 * costs[-1]:
            raise StopIteration

    found = minimize(
        unknowns.cost,
        np.zeros(len(unknowns.free)),
        jac=unknowns.gradient,
        hess=unknowns.matrix,
        method="trust-exact",
        callback=stop,
        options={
            "initial_trust_radius": 2 * np.sqrt(2 * costs[0]) + 1,
            "max_trust_radius": 1e12,
            "gtol": 1e-6,
            "maxiter": most_iterations,
        },
    )
    step = unknowns.step(found.x)
    state = problem.state(step)
    residual = project(state, problem.corners, problem.board_mm) - problem.corners.pixels
    freedom = max(1, 2 * len(problem.corners) - len(unknowns.free))
    sigma = float(np.sqrt((residual**2).sum() / freedom))
    size = problem.cameras * _CAMERA
    covariance = np.full((size, size), np.nan)
    if with_covariance:
        covariance = _covariance(problem, step, unknowns.free, sigma)
    return Solution(state, covariance, sigma, len(costs) - 1)


def _covariance(problem: BundleProblem, step: Floats, free: Ints64, sigma_px: float) -> Floats:
    """Of the cameras, with no camera held: moved to the datum of all their centres (Baarda's S-transformation)."""
    matrix = problem.normal(step)[1][np.ix_(free, free)]
    scale = 1 / np.sqrt(np.diag(matrix))
    factor = cho_factor(matrix * scale * scale[:, None])
    inverse = cho_solve(factor, np.eye(len(free))) * scale * scale[:, None] * sigma_px**2
    size = problem.cameras * _CAMERA
    of_camera = free < size
    covariance = np.zeros((size, size))
    at = free[of_camera]
    covariance[np.ix_(at, at)] = inverse[np.ix_(of_camera, of_camera)]
    used = np.unique(problem.corners.camera)
    # What a motion of the world x -> x + d + a x x does to each camera's rotation vector and t.
    state = problem.state(step)
    motion = np.zeros((size, 6))
    centre_of = np.zeros((len(used) * 3, size))
    for row, c in enumerate(used):
        R, t = state.R[c], state.t[c]
        motion[c * 15 + 9 : c * 15 + 12, 3:] = -R
        motion[c * 15 + 12 : c * 15 + 15, :3] = -R
        motion[c * 15 + 12 : c * 15 + 15, 3:] = 0
        # centre = -R^T t; turning the camera by w: d centre = -R^T [t]x w.
        centre_of[row * 3 : row * 3 + 3, c * 15 + 9 : c * 15 + 12] = -R.T @ skew_matrix(t)
        centre_of[row * 3 : row * 3 + 3, c * 15 + 12 : c * 15 + 15] = -R.T
    moved = centre_of @ motion
    datum = np.eye(size) - motion @ np.linalg.lstsq(moved, centre_of, rcond=None)[0]
    covariance = datum @ covariance @ datum.T
    unseen = np.setdiff1d(np.arange(problem.cameras), used)
    for c in unseen:
        covariance[c * 15 : c * 15 + 15] = np.nan
        covariance[:, c * 15 : c * 15 + 15] = np.nan
    return covariance
