"""Whether photographs show one person, by SFace. Only the check processes import it; no feature leaves them."""

from collections.abc import Sequence

import numpy as np

from common.identity_model.face_features import FaceFeatures, Features, Pixels
from controller.errors import ConfigurationError

SAME = 0.363  # cosine from which on two faces are one person's: OpenCV's own figure, on LFW


class FaceIdentity:
    """The two models, opened once a process: some 50 ms, and about 100 ms a photograph."""

    def __init__(self) -> None:
        self._faces = FaceFeatures(ConfigurationError)

    def features(self, rgb: Pixels) -> Features | None:
        """(128,) of length 1, of the largest face in (H, W, 3) RGB, upright or on its side; None without one."""
        return self._faces.features(rgb)

    def person(self, photographs: Sequence[Pixels], least: int) -> Features | None:
        """(128,) the mean over several photographs of one person; None where fewer than `least` show a face."""
        found = [one for rgb in photographs if (one := self.features(rgb)) is not None]
        if len(found) < least:
            return None
        mean = np.mean(found, axis=0)
        return np.asarray(mean / np.linalg.norm(mean), dtype=np.float32)


def same(a: Features, b: Features) -> bool:
    """Whether two people's features are one person's."""
    return bool(float(a @ b) >= SAME)
