"""Pinhole cameras with lens distortion, in OpenCV's convention.

x right, y down, z forward; `x_cam = R x + t` in millimetres; pixel centres at integers, so an image of width W
spans [-0.5, W - 0.5]; distortion k1 k2 p1 p2 k3 (Brown-Conrady).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import ArrayLike

from common.array_types import Floats, Image
from processing.errors import DataError, ShapeError


class CameraError(DataError):
    """A camera's numbers cannot be used."""


def _array(value: ArrayLike, shape: tuple[int, ...], what: str) -> Floats:
    array = np.array(value, dtype=np.float64)
    if array.shape != shape:
        raise ShapeError(what, array.shape, str(shape))
    if not np.isfinite(array).all():
        raise CameraError(f"{what} holds a number that is not finite")
    array.setflags(write=False)
    return array


@dataclass(frozen=True, eq=False)
class Camera:
    """One calibrated camera.

    K: (3, 3) intrinsics, px.  R: (3, 3) rotation, head frame to camera.  t: (3,) mm.  distortion: (5,).
    Raises ShapeError and CameraError for numbers that no camera has.
    """

    K: Floats
    R: Floats
    t: Floats
    width: int
    height: int
    distortion: Floats = field(default_factory=lambda: np.zeros(5))
    name: str = ""

    def __post_init__(self) -> None:
        for key, shape in (("K", (3, 3)), ("R", (3, 3)), ("t", (3,)), ("distortion", (5,))):
            object.__setattr__(self, key, _array(getattr(self, key), shape, f"camera {self.name or '?'}: {key}"))
        if self.K[0, 0] <= 0 or self.K[1, 1] <= 0:
            raise CameraError(f"camera {self.name or '?'}: the focal length in K is not positive")
        if abs(np.linalg.det(self.R) - 1) > 1e-3 or not np.allclose(self.R @ self.R.T, np.eye(3), atol=1e-3):
            raise CameraError(f"camera {self.name or '?'}: R in Rt is not a rotation")
        if self.width <= 0 or self.height <= 0:
            raise CameraError(f"camera {self.name or '?'}: image size {self.width} x {self.height}")

    @cached_property
    def centre(self) -> Floats:
        """(3,) the projection centre in the head frame, mm."""
        return np.asarray(-self.R.T @ self.t)

    @cached_property
    def viewing_direction(self) -> Floats:
        """(3,) unit vector in the head frame, out of the lens."""
        return np.asarray(self.R[2].copy())

    @cached_property
    def P(self) -> Floats:
        """(3, 4) K [R | t], without distortion."""
        return np.asarray(self.K @ np.c_[self.R, self.t])

    def to_camera(self, points_mm: Floats) -> Floats:
        """(N, 3) head frame -> (N, 3) camera frame, mm."""
        return np.asarray(points_mm @ self.R.T + self.t)

    def depth(self, points_mm: Floats) -> Floats:
        """(N,) z in the camera frame, mm; positive in front of the lens."""
        return np.asarray(points_mm @ self.R[2] + self.t[2])

    def project(self, points_mm: Floats) -> Floats:
        """(N, 3) mm -> (N, 2) px, with distortion. Points behind the lens give NaN."""
        points = np.ascontiguousarray(points_mm, dtype=np.float64)
        if points.ndim != 2 or points.shape[1] != 3:
            raise ShapeError("points_mm", points.shape, "(N, 3)")
        if len(points) == 0:
            return np.zeros((0, 2))
        x, y, z = self.to_camera(points).T
        z = np.where(z > 0, z, np.nan)
        x, y = x / z, y / z
        k1, k2, p1, p2, k3 = self.distortion
        r2 = x * x + y * y
        radial = 1 + r2 * (k1 + r2 * (k2 + r2 * k3))
        u = x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x * x)
        v = y * radial + p1 * (r2 + 2 * y * y) + 2 * p2 * x * y
        return np.stack([self.K[0, 0] * u + self.K[0, 2], self.K[1, 1] * v + self.K[1, 2]], axis=1)

    def rays(self, pixels: Floats) -> Floats:
        """(N, 2) px -> (N, 3) unit directions in the head frame, distortion undone."""
        flat = cv2.undistortPoints(np.asarray(pixels, dtype=np.float64).reshape(-1, 1, 2), self.K, self.distortion)
        in_camera = np.c_[np.asarray(flat).reshape(-1, 2), np.ones(len(pixels))]
        directions = in_camera @ self.R
        return np.asarray(directions / np.linalg.norm(directions, axis=1, keepdims=True))

    def pinhole(self) -> "Camera":
        """This camera without its distortion."""
        return replace(self, distortion=np.zeros(5))

    def scaled(self, factor: float) -> "Camera":
        """The camera of this image resized by `factor` (pixel centres at integers keep their rays)."""
        width, height = max(1, round(self.width * factor)), max(1, round(self.height * factor))
        sx, sy = width / self.width, height / self.height
        to_new = np.array([[sx, 0, (sx - 1) / 2], [0, sy, (sy - 1) / 2], [0, 0, 1.0]])
        return replace(self, K=to_new @ self.K, width=width, height=height)

    def moved(self, R: Floats, t: Floats) -> "Camera":
        """The same camera after the world moved: x_new = R x + t."""
        return replace(self, R=self.R @ R.T, t=self.t - self.R @ R.T @ t)

    def undistort(self, image: Image) -> Image:
        """The image that `pinhole()` would have taken."""
        if image.shape[:2] != (self.height, self.width):
            raise ShapeError(f"camera {self.name or '?'}: image", image.shape, f"({self.height}, {self.width}, ...)")
        if not self.distortion.any():
            return image
        return np.asarray(cv2.undistort(image, self.K, self.distortion), dtype=np.uint8)


def direction_of(azimuth_deg: float, elevation_deg: float) -> Floats:
    """(3,) unit vector of the head frame: azimuth from the front towards the subject's left, elevation upwards."""
    azimuth, elevation = np.radians([azimuth_deg, elevation_deg])
    return np.array([np.sin(azimuth) * np.cos(elevation), np.sin(elevation), np.cos(azimuth) * np.cos(elevation)])


def upright_rotation(forward: Floats, roll: float = 0.0) -> Floats:
    """(3, 3) rotation, head frame to camera, of a camera that looks along a unit vector with its x axis level.

    roll: radians, about the optical axis. Undefined straight up and down.
    """
    x = np.cross(forward, [0.0, 1.0, 0.0])
    x /= np.linalg.norm(x)
    y = np.cross(forward, x)
    c, s = np.cos(roll), np.sin(roll)
    return np.stack([c * x + s * y, c * y - s * x, forward])


def look_at(centre_mm: Floats, target_mm: Floats, roll: float = 0.0) -> Floats:
    """`upright_rotation` of a camera at a place (3,) that looks at a target (3,), head frame."""
    away = target_mm - centre_mm
    return upright_rotation(away / np.linalg.norm(away), roll)


def triangulate(cameras: Sequence[Camera], pixels: Floats, iterations: int = 5) -> Floats:
    """The point that projects nearest to what the cameras saw.

    pixels: (C, 2), distorted, one row a camera. Returns (3,) mm in the head frame.
    Linear start, then Gauss-Newton on the pixel error (Hartley and Zisserman 2004, section 12.2).
    Raises DataError with fewer than two cameras.
    """
    if len(cameras) < 2:
        raise DataError(f"a point cannot be triangulated from {len(cameras)} view; two are needed")
    rays = np.stack([c.rays(p[None])[0] for c, p in zip(cameras, pixels, strict=True)])
    centres = np.stack([c.centre for c in cameras])
    across = np.eye(3) - rays[:, :, None] * rays[:, None, :]
    point = np.linalg.lstsq(across.sum(0), (across @ centres[:, :, None]).sum(0)[:, 0], rcond=None)[0]
    flat = np.stack(
        [
            cv2.undistortPoints(p.reshape(1, 1, 2), c.K, c.distortion).reshape(2)
            for c, p in zip(cameras, pixels, strict=True)
        ]
    )
    focal = np.array([[c.K[0, 0], c.K[1, 1]] for c in cameras])
    R = np.stack([c.R for c in cameras])
    t = np.stack([c.t for c in cameras])
    for _ in range(iterations):
        q = R @ point + t
        residual = ((q[:, :2] / q[:, 2:] - flat) * focal).reshape(-1)
        jacobian = (R[:, :2] * q[:, 2, None, None] - q[:, :2, None] * R[:, 2:3]) / q[:, 2, None, None] ** 2
        jacobian = (jacobian * focal[:, :, None]).reshape(-1, 3)
        step = np.linalg.lstsq(jacobian, -residual, rcond=None)[0]
        point = point + step
        if np.abs(step).max() < 1e-9:
            break
    return np.asarray(point)
