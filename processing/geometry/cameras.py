"""Pinhole cameras with lens distortion, in OpenCV's convention.

x right, y down, z forward; `x_cam = R x + t` in millimetres; pixel centres at integers, so an image of width W
spans [-0.5, W - 0.5]; distortion k1 k2 p1 p2 k3 (Brown-Conrady). K may have skew (K[0, 1]), which OpenCV's functions
pass over: what a lens does is asked of a Camera, never of OpenCV with its K. `pinhole()` has neither.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike

from common.array_types import Floats, Floats32, Image
from processing.errors import DataError, ShapeError
from processing.geometry.lens_distortion import distort
from processing.geometry.lines import meet_lines

_BAND_PIXELS = 4_000_000  # of a photograph that are straightened at a time: their maps take twice four bytes each


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
    """One calibrated camera. Raises ShapeError and CameraError for numbers that no camera has."""

    #: (3, 3) intrinsics, px.
    K: Floats
    #: (3, 3) rotation, head frame to camera.
    R: Floats
    #: (3,) mm.
    t: Floats
    #: Of the image, px.
    width: int
    height: int
    #: (5,) k1 k2 p1 p2 k3.
    distortion: Floats = field(default_factory=lambda: np.zeros(5))
    name: str = ""

    def __post_init__(self) -> None:
        for key, shape in (("K", (3, 3)), ("R", (3, 3)), ("t", (3,)), ("distortion", (5,))):
            object.__setattr__(self, key, _array(getattr(self, key), shape, f"camera {self.name or '?'}: {key}"))
        if self.K[0, 0] <= 0 or self.K[1, 1] <= 0:
            raise CameraError(f"camera {self.name or '?'}: the focal length in K is not positive")
        if np.abs([self.K[1, 0], self.K[2, 0], self.K[2, 1], self.K[2, 2] - 1]).max() > 1e-6:
            turned = " (it is written column by column)" if self.K[2, 0] > 1 and abs(self.K[0, 2]) < 1e-6 else ""
            raise CameraError(f"camera {self.name or '?'}: K is not fx s cx, 0 fy cy, 0 0 1, row by row{turned}")
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
        u, v = distort(x / z, y / z, self.distortion)
        return np.stack([self.K[0, 0] * u + self.K[0, 1] * v + self.K[0, 2], self.K[1, 1] * v + self.K[1, 2]], axis=1)

    def straightened(self, pixels: Floats) -> Floats:
        """(N, 2) px as taken -> (N, 2) px where `pinhole()` sees the same."""
        return self._undistorted(pixels, self.pinhole().K)

    def normalised(self, pixels: Floats) -> Floats:
        """(N, 2) px as taken -> (N, 2) x / z, y / z in the camera's frame, distortion and skew undone."""
        return self._undistorted(pixels, np.eye(3))

    def _undistorted(self, pixels: Floats, K: Floats) -> Floats:
        import cv2  # here, so that who reads cameras of a release needs NumPy alone

        upright = np.array(pixels, dtype=np.float64).reshape(-1, 2)
        if not len(upright):
            return upright
        upright[:, 0] -= self.skew * (upright[:, 1] - self.K[1, 2]) / self.K[1, 1]
        return np.asarray(cv2.undistortPoints(upright[:, None], self.K, self.distortion, P=K)).reshape(-1, 2)

    def rays(self, pixels: Floats) -> Floats:
        """(N, 2) px -> (N, 3) unit directions in the head frame, distortion undone."""
        directions = np.c_[self.normalised(pixels), np.ones(len(pixels))] @ self.R
        return np.asarray(directions / np.linalg.norm(directions, axis=1, keepdims=True))

    @property
    def skew(self) -> float:
        """px: how far a row is pushed aside, a unit of y / z; 0 where pixels are rectangles."""
        return float(self.K[0, 1])

    @property
    def is_pinhole(self) -> bool:
        """Whether it has neither distortion nor skew."""
        return not self.distortion.any() and self.skew == 0

    def pinhole(self) -> "Camera":
        """This camera without its distortion and skew."""
        K = self.K.copy()
        K[0, 1] = 0
        return replace(self, K=K, distortion=np.zeros(5))

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
        if self.is_pinhole:
            return image
        import cv2

        straight = np.empty_like(image)
        count = max(1, _BAND_PIXELS // self.width)
        for start in range(0, self.height, count):
            mx, my = self.straightening_maps(start, min(start + count, self.height))
            straight[start : start + count] = cv2.remap(image, mx, my, cv2.INTER_LINEAR)
        return straight

    def straightening_maps(self, start: int, stop: int) -> tuple[Floats32, Floats32]:
        """(stop - start, width) px, as cv2.remap takes them: where each pixel of `pinhole()`'s rows start to stop - 1
        lies in the photograph as taken.
        """
        import cv2

        K = self.pinhole().K.copy()
        K[1, 2] -= start
        mx, my = cv2.initUndistortRectifyMap(
            self.K, self.distortion, np.eye(3), K, (self.width, stop - start), cv2.CV_32FC1
        )
        if self.skew:
            mx += np.float32(self.skew / self.K[1, 1]) * (my - np.float32(self.K[1, 2]))
        return mx, my


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
    point = meet_lines(centres, rays, ridge=1e-12)
    flat = np.stack([c.normalised(p[None])[0] for c, p in zip(cameras, pixels, strict=True)])
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
