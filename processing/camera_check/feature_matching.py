"""Features of photographs and their matches between views, led by the cameras' epipolar geometry."""

from dataclasses import dataclass

import cv2
import numpy as np

from common.array_types import Floats, Floats32, Image, Ints64
from processing.geometry.cameras import Camera

_CONTRAST = 0.012  # skin has little of it
_RATIO = 0.86


@dataclass(frozen=True, eq=False)
class Features:
    """Scale-invariant features of one photograph at the working size."""

    #: Of the working size, a pinhole.
    camera: Camera
    #: (N, 2) px in `camera`.
    pixels: Floats
    #: (N, 128) of unit length.
    descriptors: Floats32
    #: (N, 2) px of the photograph as taken.
    raw: Floats

    def with_camera(self, lens: Camera) -> "Features":
        """The same photograph, taken by another camera. lens: of the working size, with its distortion."""
        return Features(lens.pinhole(), lens.straightened(self.raw), self.descriptors, self.raw)


def working_camera(camera: Camera, megapixels: float) -> Camera:
    """The camera (with its distortion) of a photograph brought to at most so many megapixels."""
    factor = float(np.sqrt(megapixels * 1e6 / (camera.width * camera.height)))
    return camera.scaled(factor) if factor < 1 else camera


def find_features(image: Image, camera: Camera, megapixels: float, most: int) -> Features:
    """Scale-invariant features (Lowe 2004) with Hellinger-kernel descriptors (Arandjelovic and Zisserman 2012).

    image: (H, W, 3) BGR as taken. Contrast is evened out before, so that shaded skin has features too.
    """
    small = working_camera(camera, megapixels)
    grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
    if small is not camera:
        grey = cv2.resize(grey, (small.width, small.height), interpolation=cv2.INTER_AREA)
    even = cv2.createCLAHE(clipLimit=3.0, tileGridSize=(8, 8)).apply(grey)
    found, raw = cv2.SIFT.create(nfeatures=most, contrastThreshold=_CONTRAST).detectAndCompute(even, None)
    pinhole = small.pinhole()
    if raw is None or not len(found):
        return Features(pinhole, np.zeros((0, 2)), np.zeros((0, 128), np.float32), np.zeros((0, 2)))
    seen = np.array([k.pt for k in found], dtype=np.float64)
    descriptors = np.sqrt(raw / np.maximum(raw.sum(axis=1, keepdims=True), 1e-6)).astype(np.float32)
    return Features(pinhole, small.straightened(seen), descriptors, seen)


def match_along_lines(a: Features, b: Features, centre_mm: Floats, radius_mm: float, band_px: float) -> Ints64:
    """(M, 2) indices of features of a and b that are each other's nearest within a band about the epipolar lines.

    The band ends where the ray leaves the sphere (centre_mm (3,), radius_mm) in which the subject is.
    """
    if min(len(a.pixels), len(b.pixels)) < 2:
        return np.zeros((0, 2), np.int64)
    rays = a.camera.rays(a.pixels)
    origin = a.camera.centre
    middle = rays @ (centre_mm - origin)
    ends = []
    for reach in (-radius_mm, radius_mm):
        points = origin + rays * np.maximum(middle + reach, 0.1 * middle)[:, None]
        ends.append(b.camera.project(points))
    start, end = ends
    along = end - start
    length = np.linalg.norm(along, axis=1)
    along = along / np.maximum(length, 1e-9)[:, None]
    off = b.pixels.astype(np.float32)[None] - start.astype(np.float32)[:, None]
    d = along.astype(np.float32)
    across = off[..., 0] * d[:, None, 1] - off[..., 1] * d[:, None, 0]
    forward = off[..., 0] * d[:, None, 0] + off[..., 1] * d[:, None, 1]
    allowed = (np.abs(across) < band_px) & (forward > -band_px) & (forward < length[:, None] + band_px)
    near = np.where(allowed, a.descriptors @ b.descriptors.T, np.float32(-1))
    return _mutual(near)


def match_anywhere(a: Floats32, b: Floats32) -> Ints64:
    """(M, 2) indices of descriptors that are each other's nearest, by a clear margin."""
    if min(len(a), len(b)) < 2:
        return np.zeros((0, 2), np.int64)
    return _mutual(a @ b.T)


def _mutual(near: Floats32) -> Ints64:
    """Mutual nearest neighbours that pass Lowe's ratio test. near: (N, M) cosines, -1 where not allowed."""
    rows = np.arange(len(near))
    best = near.argmax(axis=1)
    first = near[rows, best]
    second = near.copy()
    second[rows, best] = -1
    runner_up = second.max(axis=1)
    clear = 2 - 2 * first < _RATIO**2 * (2 - 2 * runner_up)
    back = near.argmax(axis=0)[best] == rows
    good = clear & back & (first > 0.6)
    return np.stack([rows[good], best[good]], axis=1).astype(np.int64)
