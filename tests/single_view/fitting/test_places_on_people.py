"""The measured places of the detector's points hold of people whom they were not measured on."""

import cv2
import numpy as np
import pytest

from processing.geometry.cameras import Camera, direction_of, look_at
from processing.landmarks.detector import LandmarkDetector
from processing.landmarks.face_finding import STEADY, find_faces
from processing.single_view.fitting.landmark_places import SKIN_POINTS, builtin_places, picture_axes
from processing.synthetic.subject import synthetic_subject
from processing.template.builtin_template import default_template


@pytest.mark.slow
def test_points_of_an_unseen_person_lie_where_the_file_says() -> None:
    """Seen from before, half turned and from 60 degrees, in 256 pixels."""
    head = synthetic_subject(987_654, vertices=60_000).pose("neutral")
    template, places = default_template(), builtin_places()
    corners = template.mesh.triangles[places.triangles]
    points = np.einsum("nk,nkd->nd", places.barycentric, head.tu_vertices_mm[corners])
    target, focal, side = np.array([0.0, 5.0, 60.0]), 600.0, 256
    with LandmarkDetector(faces=4) as detector:
        for yaw, within, biased in ((0.0, 2.6, 3.0), (30.0, 3.2, 4.0), (-60.0, 6.0, 8.5)):
            towards = direction_of(yaw, 0.0)
            centre = target + 720 * towards
            R = look_at(centre, target)
            K = np.array([[focal, 0, (side - 1) / 2], [0, focal, (side - 1) / 2], [0, 0, 1.0]])
            camera = Camera(K, R, -R @ centre, side, side)
            image = head.scene.photograph(camera, supersample=2)
            faces = find_faces(image, detector)
            assert len(faces) == 1, f"at {yaw}"
            assert faces[0].unsteady < STEADY
            depth = camera.depth(points)[:, None]
            off = (faces[0].landmarks_px[:SKIN_POINTS] - camera.project(points)) * depth / focal
            off = off @ picture_axes(R).T
            left = off - places.bias_mm(towards)
            assert np.linalg.norm(off, axis=1).mean() < biased, f"at {yaw}"
            assert np.linalg.norm(left, axis=1).mean() < min(within, np.linalg.norm(off, axis=1).mean() + 0.3)
            assert np.square(left / places.deviation_mm(towards)).mean() < 3, "the deviations are no boast"
            mirrored = find_faces(cv2.flip(image, 1), detector)
            apart = np.linalg.norm(mirrored[0].box[1] - mirrored[0].box[0] - np.ptp(faces[0].box, axis=0))
            assert apart < 0.03 * faces[0].size_px, "a mirrored photograph shows the same face mirrored"
