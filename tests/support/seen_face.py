"""A detector that sees what a model's face shows: landmarks of a known truth in place of a picture's."""

from dataclasses import dataclass, field
from types import TracebackType

import numpy as np

from common.array_types import Floats, Image
from processing.face_models.face_model import FaceModel
from processing.geometry.cameras import Camera
from processing.landmarks.mirror_478 import MIRROR_478
from processing.landmarks.multi_pie_68 import MEDIAPIPE_TO_68


def seen_landmarks(model: FaceModel, vertices_mm: Floats, camera: Camera) -> Floats:
    """(478, 2) px: Multi-PIE's 68 where the model has them, the others about them."""
    points = camera.project(model.topology.landmark_points(vertices_mm))
    # The outline is where the head's contour is, as a detector sees it.
    # The near side of a turned head is seen whole.
    towards = camera.centre - [0, 0, 60]
    left = towards[0] / np.linalg.norm(towards)
    for number, line in enumerate(model.topology.contours):
        along = camera.project(vertices_mm[line])
        if number == 8:
            points[number] = along[along[:, 1].argmax()]
        elif (left if number > 8 else -left) < 0.2:
            points[number] = along[along[:, 0].argmax() if number > 8 else along[:, 0].argmin()]
    every = np.tile(points[17:].mean(axis=0), (478, 1))
    every[MEDIAPIPE_TO_68] = points
    return np.asarray(every)


def camera_at(yaw_deg: float, *, focal_px: float = 900.0, distance_mm: float = 900.0, side: int = 400) -> Camera:
    """A camera that looks at the middle of the small model's face, turned and a little above."""
    from processing.geometry.cameras import direction_of, look_at

    target = np.array([0.0, -5.0, 60.0])
    centre = target + distance_mm * direction_of(yaw_deg, 5.0)
    R = look_at(centre, target, 0.05)
    K = np.array([[focal_px, 0, (side - 1) / 2], [0, focal_px, (side - 1) / 2], [0, 0, 1.0]])
    return Camera(K, R, -R @ centre, side, side)


@dataclass
class SeenFaces:
    """Stands in for LandmarkDetector: sees the faces of a photograph by the number in its first pixel."""

    faces: list[list[Floats]] = field(default_factory=list)

    def photograph(self, *landmarks: Floats, side: int = 400) -> Image:
        """A picture in which these faces are seen."""
        self.faces.append(list(landmarks))
        image = np.zeros((side, side, 3), np.uint8)
        image[..., 0] = len(self.faces)
        image[:, :, 1] = np.linspace(0, 255, side).astype(np.uint8)[None]
        image[:, :, 2] = np.linspace(0, 255, side).astype(np.uint8)[:, None]
        return image

    def detect_all(self, image: Image) -> list[Floats]:
        """The faces, where the picture's two ramps say that their pixels are now."""
        number = int(np.median(image[..., 0]))
        if not 0 < number <= len(self.faces):
            return []
        return [_carried(image, landmarks) for landmarks in self.faces[number - 1]]

    def close(self) -> None:
        """As the detector's."""

    def __enter__(self) -> "SeenFaces":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


def _carried(image: Image, landmarks: Floats) -> Floats:
    """Landmarks of the first picture in one that was made of it by an affine map, which its ramps tell."""
    height, width = image.shape[:2]
    y, x = np.mgrid[:height, :width]
    ramp = image[..., 1:].astype(np.float64).reshape(-1, 2)
    inside = ((ramp > 12) & (ramp < 243)).all(axis=1)
    rows = np.c_[ramp, np.ones(len(ramp))][inside]
    matrix = np.linalg.lstsq(rows, np.c_[x.ravel(), y.ravel()][inside], rcond=None)[0]
    side = 400
    moved = np.c_[landmarks * 255 / (side - 1), np.ones(len(landmarks))] @ matrix
    flipped = np.linalg.det(matrix[:2]) < 0
    return np.asarray(moved[MIRROR_478] if flipped else moved)
