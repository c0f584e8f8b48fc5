"""The piece of a photograph that the network looks at: upright by five points of the face, always of one size.

A crop is a similarity from the picture's pixels to the crop's: whatever the picture's size, and wherever the face lies
in it and however it is turned there, the network sees the same.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from common.array_types import Floats, Image
from processing.errors import DataError, ShapeError

#: Where the eyes, the tip of the nose and the mouth's corners of a face seen from the front come to lie, of the crop's
#: side: YuNet's five points, x first, each side as the picture shows it. The eyes are 0.28 apart.
FIVE_POINTS = np.array([[0.36, 0.36], [0.64, 0.36], [0.50, 0.52], [0.384, 0.684], [0.616, 0.684]])
_LEAST_PX = 8.0  # of the crop in the picture: less is no face
_BOX_SHARE = 0.62  # of a crop that a detector's box of the face is wide, about
_BOX_MIDDLE = np.array([0.50, 0.52])


class CropError(DataError):
    """There is no face in a picture where one was said to be."""


@dataclass(frozen=True, eq=False)
class FaceCrop:
    """A similarity: crop = scale * turn(angle) @ picture + shift, in pixels."""

    matrix: Floats  # (2, 3)
    size_px: int

    @property
    def scale(self) -> float:
        """Pixels of the crop by a pixel of the picture."""
        return float(np.hypot(self.matrix[0, 0], self.matrix[1, 0]))

    @property
    def turn(self) -> Floats:
        """(2, 2) rotation, picture to crop."""
        return np.asarray(self.matrix[:, :2] / self.scale)

    def take(self, image: Image) -> Image:
        """(S, S, 3); grey where the picture ends. A picture much larger than the crop is averaged, not skipped over."""
        matrix, shrunk = self.matrix.copy(), image
        if (factor := self.scale) < 0.5:  # to at most twice the crop's resolution, by areas; then bilinear
            smaller = max(2 * factor, 2.0 / min(image.shape[:2]))
            shrunk = np.asarray(cv2.resize(image, None, fx=smaller, fy=smaller, interpolation=cv2.INTER_AREA), np.uint8)
            true = np.array([shrunk.shape[1] / image.shape[1], shrunk.shape[0] / image.shape[0]])
            # Pixel centres at integers: x' = (x + 0.5) f - 0.5.
            matrix[:, 2] += matrix[:, :2] @ ((0.5 / true) - 0.5)
            matrix[:, :2] = matrix[:, :2] / true
        size = (self.size_px, self.size_px)
        grey = (128.0, 128.0, 128.0)
        return np.asarray(
            cv2.warpAffine(shrunk, matrix, size, flags=cv2.INTER_LINEAR, borderValue=grey), np.uint8
        )  # fmt: skip

    def to_crop(self, pixels: Floats) -> Floats:
        """(N, 2) px of the picture -> (N, 2) px of the crop."""
        return np.asarray(pixels @ self.matrix[:, :2].T + self.matrix[:, 2])

    def to_picture(self, pixels: Floats) -> Floats:
        """(N, 2) px of the crop -> (N, 2) px of the picture."""
        return np.asarray((pixels - self.matrix[:, 2]) @ self.turn / self.scale)


def crop_of_points(points_px: Floats, size_px: int) -> FaceCrop:
    """The crop that brings five points (5, 2) of a face nearest to FIVE_POINTS (least squares, Umeyama 1991).

    Raises CropError for points that are none, or lie in one place.
    """
    points = np.asarray(points_px, np.float64)
    if points.shape != (5, 2):
        raise ShapeError("points_px", points.shape, "(5, 2)")
    if not np.isfinite(points).all():
        raise CropError("the face's five points are no numbers")
    wanted = FIVE_POINTS * size_px - 0.5
    here, there = points - points.mean(axis=0), wanted - wanted.mean(axis=0)
    spread = float(np.square(here).sum())
    if spread < 5 * (0.1 * _LEAST_PX) ** 2:
        raise CropError("the face's five points lie in one place: there is no face of a size to be looked at")
    a = float((here * there).sum()) / spread
    b = float((here[:, 0] * there[:, 1] - here[:, 1] * there[:, 0]).sum()) / spread
    if np.hypot(a, b) < 1e-9:
        raise CropError("the face's five points lie like no face's")
    return _crop(np.array([[a, -b], [b, a]]), points.mean(axis=0), wanted.mean(axis=0), size_px)


def crop_of_box(box_px: Floats, size_px: int) -> FaceCrop:
    """The upright crop of a box (4,): x, y, width, height, as detectors draw it from the brows to the chin.

    Raises CropError for a box without size.
    """
    x, y, width, height = (float(v) for v in np.asarray(box_px, np.float64).ravel())
    if not np.isfinite([x, y, width, height]).all() or min(width, height) < 0.3 * _LEAST_PX:
        raise CropError(f"a face's box of {width:.0f} x {height:.0f} px is none to be looked at")
    scale = _BOX_SHARE * size_px / np.sqrt(width * height)
    middle = np.array([x + (width - 1) / 2, y + (height - 1) / 2])
    return _crop(scale * np.eye(2), middle, _BOX_MIDDLE * size_px - 0.5, size_px)


def changed_crop(crop: FaceCrop, turn_rad: float, scale: float, shift: Floats) -> FaceCrop:
    """A crop turned and made larger about its middle, then moved by `shift` (2,) of its side."""
    middle = np.full(2, (crop.size_px - 1) / 2)
    c, s = scale * np.cos(turn_rad), scale * np.sin(turn_rad)
    more = np.array([[c, -s], [s, c]])
    matrix = more @ crop.matrix
    matrix[:, 2] += middle - more @ middle + np.asarray(shift) * crop.size_px
    return FaceCrop(matrix, crop.size_px)


def halved_crop(crop: FaceCrop) -> FaceCrop:
    """The same crop of the picture at half its size (each pixel the mean of four)."""
    linear = crop.matrix[:, :2]
    return FaceCrop(np.c_[2 * linear, crop.matrix[:, 2] + 0.5 * linear.sum(axis=1)], crop.size_px)


def five_points(landmarks: Floats) -> Floats:
    """(68, 2 or 3) Multi-PIE landmarks -> (5, ...): eyes, tip of the nose, mouth's corners, as YuNet counts them."""
    eyes = [landmarks[36:42].mean(axis=0), landmarks[42:48].mean(axis=0)]
    return np.stack([*eyes, landmarks[30], landmarks[48], landmarks[54]])


def _crop(linear: Floats, here: Floats, there: Floats, size_px: int) -> FaceCrop:
    scale = float(np.hypot(linear[0, 0], linear[1, 0]))
    if size_px / scale < _LEAST_PX:
        raise CropError(f"the face is {size_px / scale:.1f} px wide in the picture; {_LEAST_PX:.0f} are needed")
    return FaceCrop(np.c_[linear, there - linear @ here], size_px)
