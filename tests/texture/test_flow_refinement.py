"""Skin that slid along a surface is followed: on a ball, geometry alone cannot know of it."""

import numpy as np
import pytest

from processing.errors import ShapeError
from processing.geometry.cameras import Camera
from processing.geometry.image_sampling import sample_image
from processing.geometry.mesh import Mesh, Surface
from processing.geometry.noise_field import NoiseField
from processing.registration.correspondence import TargetSurface
from processing.registration.register import Registration, RegistrationReport
from processing.template.template import Template, from_mesh
from processing.texture.flow_refinement import AppearanceSettings, neutral_appearance, refine_by_appearance
from processing.texture.optical_flow import appearance_flow

SETTINGS = AppearanceSettings(size_px=256)


def registered(vertices_mm: np.ndarray) -> Registration:
    """Vertices as a registration gives them, without lids."""
    return Registration(vertices_mm, np.ones(len(vertices_mm), bool), RegistrationReport(0.0, 1.0, 0, 0.0, 1.0, 0))


def texture_at(points_mm: np.ndarray) -> np.ndarray:
    """(N, 3) BGR of skin by where it was in the neutral face."""
    rough = sum(NoiseField(k)(points_mm, s) for k, s in ((1, 3.0), (2, 8.0), (3, 20.0))) / 3
    return 128 + 60 * np.stack([rough, rough, rough], axis=1)


def turned(points_mm: np.ndarray, most_deg: float) -> np.ndarray:
    """Skin sliding around the ball's axis, most where y is 0 and x is 0: up to most_deg."""
    angle = np.radians(most_deg) * np.exp(-np.square(points_mm[:, 1] / 25)) * np.exp(-np.square(points_mm[:, 0] / 60))
    c, s = np.cos(angle), np.sin(angle)
    x, y, z = points_mm.T
    return np.stack([c * x + s * z, y, c * z - s * x], axis=1)


def unturned(points_mm: np.ndarray, most_deg: float) -> np.ndarray:
    """Where the skin at these points came from, by iteration."""
    before = points_mm
    for _ in range(30):
        before = before - (turned(before, most_deg) - points_mm)
        before *= np.linalg.norm(points_mm, axis=1, keepdims=True) / np.linalg.norm(before, axis=1, keepdims=True)
    return before


def photograph(mesh: Mesh, camera: Camera, most_deg: float) -> np.ndarray:
    columns, rows = np.meshgrid(np.arange(camera.width), np.arange(camera.height))
    rays = camera.rays(np.stack([columns.ravel(), rows.ravel()], axis=1).astype(np.float64))
    origin = np.broadcast_to(camera.centre, rays.shape)
    distance, _, _ = Surface(mesh).cast(origin, rays)
    hit = np.isfinite(distance)
    image = np.zeros((len(rays), 3))
    points = origin[hit] + distance[hit, None] * rays[hit]
    image[hit] = texture_at(unturned(points, most_deg) if most_deg else points)
    return np.rint(image).clip(0, 255).astype(np.uint8).reshape(camera.height, camera.width, 3)


@pytest.fixture(scope="module")
def ball(uv_sphere) -> Mesh:
    return uv_sphere(32)


@pytest.fixture(scope="module")
def template(ball: Mesh) -> Template:
    return from_mesh("ball", ball, np.zeros(68, np.int32), np.tile([1.0, 0, 0], (68, 1)))


@pytest.fixture(scope="module")
def cameras(ring_of_cameras) -> list[Camera]:
    return [c for c in ring_of_cameras(12) if c.viewing_direction[2] < 0.3]


@pytest.fixture(scope="module")
def neutral(template: Template, cameras: list[Camera]):
    images = [photograph(template.mesh, c, 0) for c in cameras]
    return neutral_appearance(template, template.mesh.vertices_mm, images, cameras, settings=SETTINGS)


def test_vertices_follow_the_skin_and_stay_on_the_scan(template: Template, cameras: list[Camera], neutral) -> None:
    most_deg = 3.0  # 2.6 mm
    images = [photograph(template.mesh, c, most_deg) for c in cameras]
    start = template.mesh.vertices_mm
    surface = TargetSurface(template.mesh)
    found = refine_by_appearance(template, registered(start), surface, neutral, images, cameras, settings=SETTINGS)
    truth = turned(start, most_deg)
    front = (start[:, 2] > 15) & (np.abs(start[:, 1]) < 30)
    before = np.linalg.norm(start - truth, axis=1)[front]
    after = np.linalg.norm(found.vertices_mm - truth, axis=1)[front]
    assert np.median(before) > 1.2
    assert np.median(after) < 0.25
    assert np.percentile(after, 95) < 0.8
    report = found.report
    assert report.rounds >= 1
    assert report.slip_mm[-1] < report.slip_mm[0] / 4
    assert report.surface_mm[1] <= max(report.surface_mm[0], SETTINGS.floor_mm)
    assert surface.surface.closest(found.vertices_mm[front]).distance_mm.mean() < 0.05


def test_skin_that_did_not_slide_stays(template: Template, cameras: list[Camera], neutral) -> None:
    images = [photograph(template.mesh, c, 0) for c in cameras]
    start = template.mesh.vertices_mm
    found = refine_by_appearance(
        template, registered(start), TargetSurface(template.mesh), neutral, images, cameras, settings=SETTINGS
    )
    assert np.linalg.norm(found.vertices_mm - start, axis=1).max() < 0.1


def test_other_skin_moves_nothing_far(template: Template, cameras: list[Camera], neutral) -> None:
    """Photographs of another skin have no flow that returns to where it came from; nothing may be torn by it."""
    rng = np.random.default_rng(0)
    noise = [np.asarray(rng.integers(60, 200, (c.height, c.width, 3)), np.uint8) for c in cameras]
    start = template.mesh.vertices_mm
    found = refine_by_appearance(
        template, registered(start), TargetSurface(template.mesh), neutral, noise, cameras, settings=SETTINGS
    )
    assert found.report.sure < 0.5
    assert np.median(np.linalg.norm(found.vertices_mm - start, axis=1)) < 1.0
    assert found.report.surface_mm[1] <= max(found.report.surface_mm[0], SETTINGS.floor_mm)


def test_flow_is_the_shift_whatever_the_light() -> None:
    rng = np.random.default_rng(1)
    import cv2

    fine = cv2.GaussianBlur(rng.normal(size=(160, 160)).astype(np.float32), (0, 0), 1.5) * 120
    a = np.repeat((128 + fine)[..., None], 3, axis=2)
    b = np.roll(a, (2, 5), axis=(0, 1)) * np.linspace(0.7, 1.2, 160)[None, :, None]
    seen = np.ones((160, 160), bool)
    hidden = seen.copy()
    hidden[:, 100:] = False
    flow = appearance_flow(a.clip(0, 255).astype(np.uint8), b.clip(0, 255).astype(np.uint8), seen, hidden)
    inside = flow.shift_px[30:130, 30:80]
    np.testing.assert_allclose(np.median(inside, axis=(0, 1)), [5, 2], atol=0.15)
    assert (flow.error_px[:, 105:] > 100).all()
    assert np.median(flow.error_px[30:130, 30:80]) < 0.3


def test_sampling_many_points_is_bilinear() -> None:
    picture = np.add.outer(np.arange(40.0) * 3, np.arange(50.0)).astype(np.float32)
    points = np.random.default_rng(0).uniform(0, 39, (300_000, 2))
    np.testing.assert_allclose(sample_image(picture, points), points[:, 1] * 3 + points[:, 0], atol=0.15)


def test_a_neutral_of_another_size_is_refused(template: Template, neutral) -> None:
    with pytest.raises(ShapeError, match="neutral"):
        refine_by_appearance(
            template, registered(template.mesh.vertices_mm), TargetSurface(template.mesh), neutral, [], [],
            settings=AppearanceSettings(size_px=128),
        )  # fmt: skip
