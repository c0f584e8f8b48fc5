"""Where a face is in a photograph (YuNet), and 128 features of whose it is (SFace), run by OpenCV.

Zhong et al. 2021 (SFace, trained on faces gathered from the web); Wu et al. 2023 (YuNet).
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from common.identity_model import DETECTOR, RECOGNISER, model_bytes

DETECTED_PX = 640  # the longer side at which a face is sought
FEATURES = 128
_CONFIDENCE = 0.7
_TURNS = (None, cv2.ROTATE_90_CLOCKWISE, cv2.ROTATE_90_COUNTERCLOCKWISE)

Pixels = NDArray[np.uint8]
Features = NDArray[np.float32]
#: YuNet's row of a face, px: x, y, width, height of its box, five points (the eye and then the other, as the picture
#: shows them from its left; tip of the nose; the mouth's corners from the left), confidence.
FaceRow = NDArray[np.float32]


class FaceFeatures:
    """The two models, opened once a process: some 50 ms."""

    def __init__(self, problem: type[Exception]) -> None:
        """problem: what is raised where a model is missing or damaged."""
        nothing = np.zeros(0, np.uint8)
        detector, recogniser = (np.frombuffer(model_bytes(name, problem), np.uint8) for name in (DETECTOR, RECOGNISER))
        level = cv2.utils.logging.getLogLevel()
        # OpenCV 5 warns of a choice of processor that neither class leaves to its caller.
        cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)
        try:
            size = (DETECTED_PX, DETECTED_PX)
            self._detector = cv2.FaceDetectorYN.create("onnx", detector, nothing, size, _CONFIDENCE)
            self._recogniser = cv2.FaceRecognizerSF.create("onnx", recogniser, nothing)
        finally:
            cv2.utils.logging.setLogLevel(level)

    def find(self, bgr: Pixels) -> FaceRow | None:
        """The largest face of (H, W, 3) BGR as it lies, in its pixels; None without one. Some 30 ms at 640 px."""
        height, width = bgr.shape[:2]
        factor = min(1.0, DETECTED_PX / max(height, width))
        small = bgr if factor == 1 else cv2.resize(bgr, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
        row = self._largest(small)
        if row is not None:
            # Box and points; the last entry is the confidence.
            scale = np.array([width / small.shape[1], height / small.shape[0]], dtype=np.float32)
            row[:14] = (row[:14].reshape(7, 2) * scale).ravel()
        return row

    def features_at(self, bgr: Pixels, face: FaceRow) -> Features:
        """(128,) of length 1, of the face that `find` says, laid on SFace's 112 x 112 by its five points."""
        features = self._recogniser.feature(self._recogniser.alignCrop(bgr, face)).ravel()
        return np.asarray(features / np.linalg.norm(features), dtype=np.float32)

    def features(self, rgb: Pixels) -> Features | None:
        """(128,) of length 1, of the largest face in (H, W, 3) RGB, upright or on its side; None without one."""
        factor = DETECTED_PX / max(rgb.shape[:2])
        small = cv2.resize(rgb[:, :, ::-1], None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
        turned = [small if turn is None else cv2.rotate(small, turn) for turn in _TURNS]
        found = [(image, self._largest(image)) for image in turned]
        image, face = max(found, key=lambda one: -1.0 if one[1] is None else float(one[1][-1]))  # the surest
        return None if face is None else self.features_at(image, face)

    def _largest(self, bgr: Pixels) -> FaceRow | None:
        self._detector.setInputSize((bgr.shape[1], bgr.shape[0]))
        _, faces = self._detector.detect(bgr)
        return None if faces is None else max(faces, key=lambda face: face[2] * face[3])
