"""A face found in a photograph, and the pictures made of a photograph to find one in."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from common.array_types import Floats, Image
from processing.landmarks.mirror_478 import MIRROR_478

SAME = 0.5  # of a face's size: two that are nearer than this are one
OUTER_EYES = (33, 263)  # the detector's points at the outer corners of the right and the left eye


@dataclass(frozen=True, eq=False)
class FoundFace:
    """A face in a photograph."""

    landmarks_px: Floats  # (478, 2) pixel centres at integers
    #: By how much detections of the same face disagree, as a share of its size; NaN where it was looked at once.
    unsteady: float = float("nan")

    @property
    def box(self) -> Floats:
        """(2, 2) lowest and highest x and y."""
        return np.stack([self.landmarks_px.min(axis=0), self.landmarks_px.max(axis=0)])

    @property
    def centre(self) -> Floats:
        """(2,) px."""
        return np.asarray(self.box.mean(axis=0))

    @property
    def size_px(self) -> float:
        """The longer side of its box."""
        return float(np.ptp(self.box, axis=0).max())


def turned(image: Image, factor: float, roll_deg: float, room: float, wider: float = 1.0) -> tuple[Floats, Image]:
    """The picture scaled and turned about its middle, in a square that is `room` times as large.

    wider: its width is stretched so much. Returns the (2, 3) matrix that brings the photograph's pixels there, and
    the picture.
    """
    height, width = image.shape[:2]
    side = int(np.ceil(max(height, width) * factor * room))
    middle = ((width - 1) / 2, (height - 1) / 2)
    matrix = cv2.getRotationMatrix2D(middle, roll_deg, factor)
    matrix[:, 2] += (side - 1) / 2 - np.array(middle)
    matrix[0] *= wider
    matrix[0, 2] += (1 - wider) * (side - 1) / 2
    how = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    picture = cv2.warpAffine(image, matrix, (side, side), flags=how, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(matrix), np.asarray(picture, dtype=np.uint8)


def carried_back(points: Floats, matrix: Floats) -> Floats:
    """Points (N, 2) of a picture in the photograph that `matrix` (2, 3) brought there."""
    return np.asarray((points - matrix[:, 2]) @ np.linalg.inv(matrix[:, :2]).T)


def seen_again(face: FoundFace, matrix: Floats, found: Sequence[Floats], mirrored: bool) -> Floats | None:
    """Of what was found in a picture that `matrix` brought the photograph to, the points (478, 2) of a face, in the
    photograph; None where it is not there.

    mirrored: the picture was, so that its points are the other side's.
    """
    seen = [carried_back(points, matrix) for points in found]
    away = [float(np.linalg.norm(FoundFace(points).centre - face.centre)) for points in seen]
    if not seen or min(away) > SAME * face.size_px:
        return None
    points = seen[int(np.argmin(away))]
    return points[MIRROR_478] if mirrored else points


def each_once(faces: Sequence[FoundFace]) -> list[FoundFace]:
    """Of those that lie upon each other, the largest."""
    kept: list[FoundFace] = []
    for face in sorted(faces, key=lambda one: -one.size_px):
        if all(np.linalg.norm(face.centre - other.centre) > SAME * other.size_px for other in kept):
            kept.append(face)
    return kept
