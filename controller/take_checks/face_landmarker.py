"""Face landmarks of a photograph, by mediapipe's face landmarker. Only the check processes import it."""

from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import cv2
import numpy as np
from numpy.typing import NDArray

from common.landmark_model import model_bytes
from controller.errors import ConfigurationError

MIN_CONFIDENCE = 0.3
TURNS = (None, cv2.ROTATE_90_CLOCKWISE, cv2.ROTATE_90_COUNTERCLOCKWISE)  # bodies stand on their side in most rigs

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Face:
    """A face in a photograph."""

    frontal: float  # cosine of the angle between the face and the line to the camera
    scores: dict[str, float]  # ARKit's name of an expression -> 0..1


class FaceReader:
    """The landmarker, opened once a process: some 100 ms, and 10-20 ms a photograph. A context manager."""

    def __init__(self) -> None:
        from mediapipe.tasks.python.core.base_options import BaseOptions
        from mediapipe.tasks.python.vision import FaceLandmarker, FaceLandmarkerOptions

        options = FaceLandmarkerOptions(
            base_options=BaseOptions(model_asset_buffer=model_bytes(ConfigurationError)),
            num_faces=1,
            min_face_detection_confidence=MIN_CONFIDENCE,
            min_face_presence_confidence=MIN_CONFIDENCE,
            output_face_blendshapes=True,
            output_facial_transformation_matrixes=True,
        )
        self._landmarker: Any = FaceLandmarker.create_from_options(options)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._landmarker.close()

    def read(self, rgb: Pixels) -> Face | None:
        """The face in (H, W, 3) uint8 RGB, upright or on its side; None without one."""
        for turn in TURNS:
            face = self._read(rgb if turn is None else np.asarray(cv2.rotate(rgb, turn), dtype=np.uint8))
            if face is not None:
                return face
        return None

    def _read(self, rgb: Pixels) -> Face | None:
        import mediapipe

        image = mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=np.ascontiguousarray(rgb))
        found = self._landmarker.detect(image)
        if not found.face_landmarks:
            return None
        scores = {item.category_name: float(item.score) for item in found.face_blendshapes[0]}
        scores.pop("_neutral", None)
        return Face(float(found.facial_transformation_matrixes[0][2, 2]), scores)
