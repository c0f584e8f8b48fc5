"""Where the camera of a photograph stands to the face: the unknowns of a fit, and how what is seen moves with them.

A place x of the model (mm, head frame) lies at `y = R (x - pivot) + place` in the camera's frame (OpenCV: x right, y
down, z away) and is seen at `focal y_xy / y_z + middle` px. The seven unknowns, in this order, as steps from a pose:

| column | step | effect |
|---|---|---|
| 0..2 | turn, rad, about the camera's axes x, y, z through the pivot | `R <- exp([turn]) R` |
| 3, 4 | shift, mm, along the camera's x and y | `place_xy <- place_xy + shift` |
| 5 | logarithm s of the size | `place <- exp(-s) place`: the face comes nearer and looks exp(s) times as large |
| 6 | logarithm g of the focal length | `focal <- exp(g) focal`, `place_z <- exp(g) place_z`: the face keeps its size |

So the size is one unknown, and the focal length, which a photograph hardly tells from the distance, changes the
perspective alone. All derivatives are taken at the step zero.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from common.array_types import Floats
from processing.geometry.cameras import Camera

POSE = 7
TURN, SHIFT, SIZE, FOCAL = slice(0, 3), slice(3, 5), 5, 6


@dataclass(frozen=True, eq=False)
class PhotoPose:
    """A photograph's camera as a fit moves it: square pixels, no distortion."""

    R: Floats  # (3, 3) model's frame to camera
    place_mm: Floats  # (3,) the pivot in the camera's frame
    focal_px: float
    pivot_mm: Floats  # (3,) in the model's frame
    middle_px: Floats  # (2,) where the optical axis meets the picture
    size_px: tuple[int, int]  # width, height

    @property
    def px_per_mm(self) -> float:
        """At the pivot."""
        return float(self.focal_px / self.place_mm[2])

    def to_camera(self, points_mm: Floats) -> Floats:
        """(N, 3) model's frame -> (N, 3) camera's frame, mm."""
        return np.asarray((points_mm - self.pivot_mm) @ self.R.T + self.place_mm)

    def seen(self, points_mm: Floats) -> Floats:
        """(N, 3) model's frame -> (N, 2) px."""
        return self.pixels(self.to_camera(points_mm))

    def pixels(self, places_mm: Floats) -> Floats:
        """(N, 3) camera's frame -> (N, 2) px."""
        return np.asarray(self.focal_px * places_mm[:, :2] / places_mm[:, 2:] + self.middle_px)

    def camera(self, name: str = "") -> Camera:
        """The same as a camera of the house."""
        f, (cx, cy) = self.focal_px, self.middle_px.tolist()
        K = np.array([[f, 0, cx], [0, f, cy], [0, 0, 1.0]])
        width, height = self.size_px
        return Camera(K, self.R, self.place_mm - self.R @ self.pivot_mm, width, height, name=name)

    def moved(self, step: Floats) -> "PhotoPose":
        """The pose after a step (7,)."""
        place = (self.place_mm + np.r_[step[SHIFT], 0.0]) * np.exp(-step[SIZE])
        place[2] *= np.exp(step[FOCAL])
        R = Rotation.from_rotvec(step[TURN]).as_matrix() @ self.R
        return replace(self, R=R, place_mm=place, focal_px=float(self.focal_px * np.exp(step[FOCAL])))

    @classmethod
    def of_camera(cls, camera: Camera, pivot_mm: Floats) -> "PhotoPose":
        """The pose of a camera without distortion; its two focal lengths become one."""
        K = camera.K
        return cls(
            camera.R, camera.R @ pivot_mm + camera.t, float((K[0, 0] + K[1, 1]) / 2), np.asarray(pivot_mm),
            K[:2, 2].copy(), (camera.width, camera.height),
        )  # fmt: skip


def place_rows(pose: PhotoPose, points_mm: Floats) -> Floats:
    """(N, 3, 7): how places in the camera's frame move with the pose, of points (N, 3) of the model."""
    turned = (points_mm - pose.pivot_mm) @ pose.R.T
    rows = np.zeros((len(points_mm), 3, POSE))
    rows[:, :, TURN] = _cross(-turned)  # d(w x y)/dw = -[y]x
    rows[:, [0, 1], [3, 4]] = 1.0
    rows[:, :, SIZE] = -pose.place_mm
    rows[:, 2, FOCAL] = pose.place_mm[2]
    return rows


def turn_rows(directions: Floats) -> Floats:
    """(N, 3, 7): how directions (N, 3) of the camera's frame that are fixed to the head move with the pose."""
    rows = np.zeros((len(directions), 3, POSE))
    rows[:, :, TURN] = _cross(-directions)
    return rows


def pixel_rows(pose: PhotoPose, places_mm: Floats, rows: NDArray[np.floating]) -> Floats:
    """(N, 2, M): how pixels move, of how places (N, 3) of the camera's frame do (N, 3, M).

    The last of the M unknowns is the pose's last, the focal length, which acts on the picture besides.
    """
    z = places_mm[:, 2:, None]
    flat = places_mm[:, :2, None] / z
    seen = (rows[:, :2] - flat * rows[:, 2:]) * (pose.focal_px / z)
    seen[:, :, -1] += pose.focal_px * flat[:, :, 0]
    return np.asarray(seen)


def model_rows(pose: PhotoPose, points_mm: Floats, change: NDArray[np.floating]) -> Floats:
    """(N, 3, P + 7): how places in the camera's frame move with scores and weights, and with the pose.

    change: (N, 3, P) of points (N, 3) in the model's frame, as ModelPoints.derivatives gives both.
    """
    turned = np.matmul(pose.R.astype(change.dtype), change)
    return np.concatenate([turned, place_rows(pose, points_mm).astype(change.dtype)], axis=2)


def _cross(v: Floats) -> Floats:
    """(N, 3) -> (N, 3, 3): [v]x."""
    out = np.zeros((len(v), 3, 3))
    out[:, 0, 1], out[:, 0, 2], out[:, 1, 2] = -v[:, 2], v[:, 1], -v[:, 0]
    out[:, 1, 0], out[:, 2, 0], out[:, 2, 1] = v[:, 2], -v[:, 1], v[:, 0]
    return out
