"""Identity features of the face in a photograph, as a decoder of heads takes them (Lin et al., section 3.3).

SFace computes them, which was trained on faces gathered from the web; features of a person are biometric and belong in
no record, log or card.
"""

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from common.array_types import Floats32, Image
from common.identity_model.face_features import FEATURES, FaceFeatures
from processing.errors import DataError, NoFace, ShapeError

FACE_PX = 128.0  # of a face's height, at which it is laid on SFace's 112 px: a finer one would alias


class IdentityModelError(DataError):
    """The identity models that come with Mien cannot be used."""


@dataclass(frozen=True, eq=False)
class FoundFace:
    """A face of a photograph, and whose it is in numbers."""

    features: Floats32  # (FEATURES,) of length 1
    row: Floats32  # (15,) px of the photograph, as `FaceFeatures.find` gives it

    @property
    def box(self) -> tuple[float, float, float, float]:
        """x, y, width, height, px."""
        x, y, width, height = (float(v) for v in self.row[:4])
        return x, y, width, height

    @property
    def points_px(self) -> Floats32:
        """(5, 2) eyes, tip of the nose, corners of the mouth; from the picture's left."""
        return np.asarray(self.row[4:14].reshape(5, 2))


@lru_cache(maxsize=1)
def face_features() -> FaceFeatures:
    """The models, opened once a process. Raises IdentityModelError."""
    return FaceFeatures(IdentityModelError)


def find_face(image: Image) -> FoundFace | None:
    """The largest face of (H, W, 3) BGR, upright; None without one. Some 40 ms at 640 px."""
    if image.ndim != 3 or image.shape[2] != 3:
        raise ShapeError("photograph", image.shape, "(H, W, 3)")
    models = face_features()
    row = models.find(image)
    if row is None:
        return None
    factor = FACE_PX / float(row[3])
    if factor >= 1:
        return FoundFace(models.features_at(image, row), row)
    small = cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
    there = row.copy()
    there[:14] *= np.float32(factor)
    return FoundFace(models.features_at(small, there), row)


def identity_features(image: Image) -> Floats32:
    """(FEATURES,) of length 1, of the largest face of (H, W, 3) BGR. Raises NoFace."""
    found = find_face(image)
    if found is None:
        raise NoFace(
            "no face was found in the photograph: it must be upright, seen from about the front, and at least some 60 "
            "pixels high"
        )
    return found.features


def mean_features(several: Floats32) -> Floats32:
    """(N, FEATURES) of photographs of one person -> (FEATURES,) of length 1."""
    mean = np.asarray(several, np.float64).reshape(-1, FEATURES).mean(axis=0)
    return np.asarray(mean / max(float(np.linalg.norm(mean)), 1e-12), np.float32)
