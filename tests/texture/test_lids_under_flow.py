"""Lids stay at their edges while the skin around them is followed."""

import numpy as np

from processing.geometry.cameras import Camera, look_at
from processing.geometry.mesh import Mesh, Surface
from processing.geometry.noise_field import NoiseField
from processing.landmarks.lid_contours import EYE_CORNERS, LID_LANDMARKS, MARKED, SAMPLES, LidContours
from processing.landmarks.multi_pie_68 import Landmarks3d
from processing.mesh_repair.mesh_defects import find_mesh_defects
from processing.registration.correspondence import TargetSurface
from processing.registration.loose_parts import largest_part
from processing.registration.register import register_neutral
from processing.scan_quality.apertures import measure_apertures
from processing.template.builtin_template import default_template
from processing.texture.flow_refinement import AppearanceSettings, neutral_appearance, refine_by_appearance

SETTINGS = AppearanceSettings(size_px=512, rounds=2)


def edges_of(marks: np.ndarray, share: float) -> LidContours:
    """Edges of lids through some landmarks (68, 3), opened to a share of what those are."""
    points = np.zeros((2, 2, SAMPLES, 3))
    for eye, lid in np.ndindex(2, 2):
        outer, inner = marks[EYE_CORNERS[eye]]
        knots = np.stack([outer, *marks[LID_LANDMARKS[eye, lid]], inner])
        at = np.array([0, *MARKED, SAMPLES - 1])
        points[eye, lid] = np.stack([np.interp(np.arange(SAMPLES), at, knots[:, k]) for k in range(3)], axis=1)
    middle = points.mean(axis=(1, 2), keepdims=True)
    return LidContours(middle + share * (points - middle), np.full(2, 9, np.int32))


def camera_at(centre_mm: np.ndarray, target_mm: np.ndarray) -> Camera:
    R = look_at(centre_mm, target_mm)
    K = np.array([[800.0, 0, 159.5], [0, 800.0, 119.5], [0, 0, 1.0]])
    return Camera(K=K, R=R, t=-R @ centre_mm, width=320, height=240)


def photograph(mesh: Mesh, camera: Camera, slid_mm: float) -> np.ndarray:
    """Skin with a pattern that slid upwards by so much."""
    columns, rows = np.meshgrid(np.arange(camera.width), np.arange(camera.height))
    rays = camera.rays(np.stack([columns.ravel(), rows.ravel()], axis=1).astype(np.float64))
    origin = np.broadcast_to(camera.centre, rays.shape)
    distance, _, _ = Surface(mesh).cast(origin, rays)
    hit = np.isfinite(distance)
    points = origin[hit] + distance[hit, None] * rays[hit] - [0, slid_mm, 0]
    rough = sum(NoiseField(k)(points, s) for k, s in ((1, 3.0), (2, 8.0), (3, 20.0))) / 3
    image = np.zeros((len(rays), 3))
    image[hit] = (128 + 60 * rough)[:, None]
    return np.rint(image).clip(0, 255).astype(np.uint8).reshape(camera.height, camera.width, 3)


def test_lids_stay_as_far_apart_as_photographs_show_while_skin_around_them_is_followed() -> None:
    template = default_template()
    face = largest_part(template.mesh)[0]
    own = Landmarks3d.of_points(template.landmark_points(template.mesh.vertices_mm))
    landmarks = own.with_lids(edges_of(own.points_mm, 0.8))
    surface = TargetSurface(face)
    found = register_neutral(template, surface, landmarks)
    middle = own.points_mm[36:48].mean(axis=0)
    cameras = [camera_at(middle + way, middle) for way in ([-160.0, 0, 400], [160.0, 0, 400], [0, 130.0, 420])]
    drawn = [photograph(face, c, 0.0) for c in cameras]
    neutral = neutral_appearance(template, found.vertices_mm, drawn, cameras, settings=SETTINGS)
    slid = [photograph(face, c, 1.0) for c in cameras]
    refined = refine_by_appearance(template, found, surface, neutral, slid, cameras, settings=SETTINGS)
    assert refined.report.rounds >= 1
    near = np.linalg.norm(found.vertices_mm - middle, axis=1) < 60
    assert np.percentile(np.linalg.norm(refined.vertices_mm - found.vertices_mm, axis=1)[near], 75) > 0.5
    apart = measure_apertures(landmarks.points_mm, template.landmark_points(refined.vertices_mm))
    assert abs(apart["right_lids"].off_mm or 0.0) < 0.5
    assert abs(apart["left_lids"].off_mm or 0.0) < 0.5
    assert find_mesh_defects(template.mesh.with_vertices(refined.vertices_mm), template.mesh).flipped.sum() <= 2
