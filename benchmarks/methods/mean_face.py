"""The mean face of a model, placed by landmarks: what a method must beat. python mean_face.py IMAGES OUT MODEL"""

import sys
from pathlib import Path

from method_photos import listed, weak_perspective, with_landmarks, write_face

from processing.face_models.face_model import JAW
from processing.face_models.model_file import read_model

images, out, model = Path(sys.argv[1]), Path(sys.argv[2]), read_model(Path(sys.argv[3]))
face, triangles = model.topology.mesh.vertices_mm, model.topology.mesh.triangles
points = model.topology.landmark_points(face)
for photo, _, pixels in with_landmarks(listed(images), out):
    camera = weak_perspective(points[JAW:], pixels[JAW:])  # along the jaw they are where the silhouette is
    write_face(out, photo, face, triangles, *camera)
