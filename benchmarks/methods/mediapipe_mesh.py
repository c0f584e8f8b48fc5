"""MediaPipe's own face mesh: its 468 points with their depth. python mediapipe_mesh.py IMAGES OUT

The depth of a point is in the unit of its x, smaller towards the camera (weak perspective).
"""

import sys
from pathlib import Path

import cv2
import mediapipe
import numpy as np
from mediapipe.tasks.python.core.base_options import BaseOptions
from mediapipe.tasks.python.vision import FaceLandmarker, FaceLandmarkerOptions, FaceLandmarksConnections
from method_photos import fault, listed, write_face

from common.landmark_model import model_bytes
from processing.errors import DataError
from processing.files.image_files import read_image
from processing.landmarks.detector import LandmarkDetector
from processing.landmarks.face_finding import CLOSE_PX, MOST_FACES, find_faces
from processing.landmarks.found_face import FoundFace
from processing.landmarks.mirror_478 import MIRROR_478

POINTS = 468  # of the face; the ten of the irises lie in none of its triangles


def triangles_of() -> np.ndarray:
    """(T, 3): its tessellation is a list of edges, three a triangle."""
    edges = [(edge.start, edge.end) for edge in FaceLandmarksConnections.FACE_LANDMARKS_TESSELATION]
    triangles = []
    for k in range(0, len(edges), 3):
        corners = list(dict.fromkeys(corner for edge in edges[k : k + 3] for corner in edge))
        assert len(corners) == 3, edges[k : k + 3]
        triangles.append(corners)
    return np.array(triangles)


def closely(landmarker: FaceLandmarker, image: np.ndarray, face: FoundFace) -> np.ndarray | None:
    """(468, 3) px: the mesh as it is seen in a square about the face, or in that one's mirror image; None otherwise."""
    for sizes, mirrored in ((3.0, False), (3.0, True), (2.4, False), (2.4, True), (4.0, False), (4.0, True)):
        side = sizes * face.size_px
        corner, factor = face.centre - side / 2, CLOSE_PX / side
        matrix = np.array([[factor, 0, -factor * corner[0]], [0, factor, -factor * corner[1]]])
        square = (CLOSE_PX, CLOSE_PX)
        picture = cv2.warpAffine(image, matrix, square, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
        picture = picture[:, ::-1] if mirrored else picture
        rgb = np.ascontiguousarray(picture[..., ::-1])
        found = landmarker.detect(mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=rgb)).face_landmarks
        if not found:
            continue
        unit = np.array([[p.x, p.y, p.z] for p in found[0]]) * CLOSE_PX
        if mirrored:
            unit = unit[MIRROR_478] * [-1, 1, 1] + [CLOSE_PX, 0, 0]
        return np.c_[(unit[:, :2] - 0.5) / factor + corner, unit[:, 2] / factor][:POINTS]
    return None


def main() -> None:
    images, out = Path(sys.argv[1]), Path(sys.argv[2])
    options = FaceLandmarkerOptions(
        base_options=BaseOptions(model_asset_buffer=model_bytes(DataError)), num_faces=1,
        min_face_detection_confidence=0.3, min_face_presence_confidence=0.3,
    )  # fmt: skip
    triangles = triangles_of()
    with FaceLandmarker.create_from_options(options) as landmarker, LandmarkDetector(faces=MOST_FACES) as detector:
        for photo in listed(images):
            image = read_image(photo.path)
            faces = find_faces(image, detector)  # where the face is; its mesh is looked for there, at its best
            if not faces:
                fault(out, photo, "no face was found")
                continue
            face = max(faces, key=lambda one: one.size_px)
            points = closely(landmarker, image, face)
            if points is None:
                fault(out, photo, "no face was found when looked at closely")
                continue
            write_face(out, photo, points, triangles, 1.0, np.eye(3), (0.0, 0.0))


if __name__ == "__main__":
    main()
