"""MediaPipe's own face mesh: its 468 points with their depth. python mediapipe_mesh.py IMAGES OUT

The depth of a point is in the unit of its x, smaller towards the camera (weak perspective).
"""

import sys
from pathlib import Path

import mediapipe
import numpy as np
from mediapipe.tasks.python.core.base_options import BaseOptions
from mediapipe.tasks.python.vision import FaceLandmarker, FaceLandmarkerOptions, FaceLandmarksConnections
from method_photos import fault, listed, write_face

from common.landmark_model import model_bytes
from processing.errors import DataError
from processing.files.image_files import read_image

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


def main() -> None:
    images, out = Path(sys.argv[1]), Path(sys.argv[2])
    options = FaceLandmarkerOptions(
        base_options=BaseOptions(model_asset_buffer=model_bytes(DataError)), num_faces=1,
        min_face_detection_confidence=0.3, min_face_presence_confidence=0.3,
    )  # fmt: skip
    triangles = triangles_of()
    with FaceLandmarker.create_from_options(options) as landmarker:
        for photo in listed(images):
            image = read_image(photo.path)
            rgb = np.ascontiguousarray(image[..., ::-1])
            found = landmarker.detect(mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=rgb)).face_landmarks
            if not found:
                fault(out, photo, "no face was found")
                continue
            height, width = image.shape[:2]
            points = np.array([[p.x * width - 0.5, p.y * height - 0.5, p.z * width] for p in found[0][:POINTS]])
            write_face(out, photo, points, triangles, 1.0, np.eye(3), (0.0, 0.0))


if __name__ == "__main__":
    main()
