"""Identity features of faces, by SFace. Only the check processes import it; no feature ever leaves the process.

SFace was trained on faces gathered from the web. Zhong et al. 2021 (SFace); Wu et al. 2023 (YuNet).
"""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from controller.take_checks.identity_model import DETECTOR, RECOGNISER, model_bytes

DETECTED_PX = 640  # the longer side at which a face is sought
SAME = 0.363  # cosine from which on two faces are one person's: OpenCV's own figure, on LFW
_CONFIDENCE = 0.7
_TURNS = (None, cv2.ROTATE_90_CLOCKWISE, cv2.ROTATE_90_COUNTERCLOCKWISE)

Pixels = NDArray[np.uint8]
Features = NDArray[np.float32]


class FaceIdentity:
    """The two models, opened once a process: some 50 ms, and about 100 ms a photograph."""

    def __init__(self) -> None:
        nothing = np.zeros(0, np.uint8)
        detector, recogniser = (np.frombuffer(model_bytes(name), np.uint8) for name in (DETECTOR, RECOGNISER))
        size = (DETECTED_PX, DETECTED_PX)
        self._detector = cv2.FaceDetectorYN.create("onnx", detector, nothing, size, _CONFIDENCE)
        self._recogniser = cv2.FaceRecognizerSF.create("onnx", recogniser, nothing)

    def features(self, rgb: Pixels) -> Features | None:
        """(128,) of length 1, of the largest face in (H, W, 3) RGB, upright or on its side; None without one."""
        factor = DETECTED_PX / max(rgb.shape[:2])
        small = cv2.resize(rgb[:, :, ::-1], None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
        found = [self._largest(small if turn is None else cv2.rotate(small, turn)) for turn in _TURNS]
        image, face = max(found, key=lambda one: -1.0 if one[1] is None else float(one[1][-1]))  # the surest
        if face is None:
            return None
        features = self._recogniser.feature(self._recogniser.alignCrop(image, face)).ravel()
        return np.asarray(features / np.linalg.norm(features), dtype=np.float32)

    def _largest(self, bgr: Pixels) -> tuple[Pixels, Features | None]:
        """The picture, and YuNet's row of its largest face: box, five points, confidence."""
        self._detector.setInputSize((bgr.shape[1], bgr.shape[0]))
        _, faces = self._detector.detect(bgr)
        return bgr, None if faces is None else max(faces, key=lambda face: face[2] * face[3])

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
