"""The landmark detector: mediapipe's face landmarker (478 points, of which 68 are Multi-PIE's) on one photograph."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType, TracebackType
from typing import Any

import cv2
import numpy as np

from common.array_types import Floats, Image
from common.landmark_model import model_bytes
from processing.errors import DataError, ShapeError
from processing.landmarks.multi_pie_68 import MEDIAPIPE_TO_68

DETECTION_SIZE_PX = 1024
ROTATIONS = (None, cv2.ROTATE_90_CLOCKWISE, cv2.ROTATE_90_COUNTERCLOCKWISE, cv2.ROTATE_180)


class ModelDamaged(DataError):
    """The packaged detector model is missing or is not the one that was released."""


@contextmanager
def _quiet() -> Iterator[None]:
    """mediapipe's C++ logs to the process's standard error whatever one asks; drop that for a moment."""
    sys.stderr.flush()
    saved, sink = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(sink, 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(sink)


_DRAWING = tuple(f"mediapipe.tasks.python.vision.drawing_{name}" for name in ("styles", "utils"))
_PLOTS = ("matplotlib", "matplotlib.pyplot")
_SOUND = "sounddevice"  # which asks the system's compilers and linkers where its library is


@contextmanager
def _without_plots() -> Iterator[None]:
    """mediapipe without Matplotlib, which its drawing loads, and without recording sound: as long as all the rest."""
    if "mediapipe" in sys.modules or any(name in sys.modules for name in (*_PLOTS, _SOUND)):
        yield
        return
    sys.modules.update({name: ModuleType(name) for name in (*_PLOTS, _SOUND)})
    sys.modules[_PLOTS[0]].__dict__["pyplot"] = sys.modules[_PLOTS[1]]
    try:
        yield
    finally:
        for name in (*_PLOTS, _SOUND, *_DRAWING):  # whoever asks for them gets the real ones
            sys.modules.pop(name, None)


class LandmarkDetector:
    """mediapipe's face landmarker as a context manager; opening it takes some 50 ms, a photograph some 20 ms.

    faces: the most that are looked for in a photograph.
    """

    def __init__(self, min_confidence: float = 0.3, *, faces: int = 1) -> None:
        with _without_plots():
            from mediapipe.tasks.python.core.base_options import BaseOptions
            from mediapipe.tasks.python.vision import FaceLandmarker, FaceLandmarkerOptions

        options = FaceLandmarkerOptions(
            base_options=BaseOptions(model_asset_buffer=model_bytes(ModelDamaged)),
            num_faces=faces,
            min_face_detection_confidence=min_confidence,
            min_face_presence_confidence=min_confidence,
        )
        with _quiet():
            self._landmarker: Any = FaceLandmarker.create_from_options(options)

    def __enter__(self) -> "LandmarkDetector":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Free the model and its threads."""
        if self._landmarker is not None:
            with _quiet():
                self._landmarker.close()
            self._landmarker = None

    def detect(self, image: Image) -> Floats | None:
        """(H, W, 3) uint8 BGR -> (478, 2) px, pixel centres at integers, or None where no face is found."""
        found = self.detect_all(image)
        return found[0] if found else None

    def detect_all(self, image: Image) -> list[Floats]:
        """`detect` of each face that is found, (478, 2) px."""
        import mediapipe

        if image.ndim != 3 or image.shape[2] != 3:
            raise ShapeError("image", image.shape, "(H, W, 3)")
        height, width = image.shape[:2]
        factor = min(1.0, DETECTION_SIZE_PX / max(height, width))
        small = image if factor == 1 else cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
        rgb = np.ascontiguousarray(small[..., ::-1])
        with _quiet():
            found = self._landmarker.detect(mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=rgb))
        unit = [np.array([[p.x, p.y] for p in face]) for face in found.face_landmarks]
        return [np.asarray(one * [width, height] - 0.5) for one in unit]


def detect_photo_landmarks(image: Image, *, detector: LandmarkDetector | None = None) -> Floats | None:
    """The 68 Multi-PIE landmarks of the face in an upright photograph.

    image: (H, W, 3) uint8 BGR of any size. Returns (68, 2) px, pixel centres at integers, or None without a face.
    Pass an open detector when there are several photographs.
    """
    if detector is None:
        with LandmarkDetector() as own:
            return detect_photo_landmarks(image, detector=own)
    found = detector.detect(image)
    return None if found is None else found[MEDIAPIPE_TO_68]


def detect_rotated(image: Image, detector: LandmarkDetector, rotation: int | None) -> Floats | None:
    """`LandmarkDetector.detect` on the image turned by `rotation`, answered in the unturned image's pixels."""
    if rotation is None:
        return detector.detect(image)
    found = detector.detect(np.asarray(cv2.rotate(image, rotation), dtype=np.uint8))
    if found is None:
        return None
    height, width = image.shape[:2]
    x, y = found[:, 0], found[:, 1]
    if rotation == cv2.ROTATE_90_CLOCKWISE:
        return np.stack([y, height - 1 - x], axis=1)
    if rotation == cv2.ROTATE_90_COUNTERCLOCKWISE:
        return np.stack([width - 1 - y, x], axis=1)
    return np.stack([width - 1 - x, height - 1 - y], axis=1)
