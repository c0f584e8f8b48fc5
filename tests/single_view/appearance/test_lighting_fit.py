"""Light, albedo and skin of photographs whose truth is known, with what is no skin laid over them."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from lit_face import LitFace, lit_face, painted_model

from processing.errors import ShapeError
from processing.geometry.cameras import Camera
from processing.single_view.appearance.face_pixels import FacePixels
from processing.single_view.appearance.light_solution import NoLight, SampleColours, appearance_rows
from processing.single_view.appearance.lighting import Appearance, Lighting
from processing.single_view.appearance.lighting_fit import estimate_appearance
from processing.single_view.appearance.spherical_harmonics import sh_basis

PIXELS = FacePixels(painted_model())


def estimated(face: LitFace, image: np.ndarray | None = None, **more: np.ndarray) -> Appearance:
    picture = face.image if image is None else image
    rng = np.random.default_rng(0)
    return estimate_appearance(PIXELS, face.vertices_mm, face.camera, picture, rng=rng, dense=5000, **more)


def fronts(count: int = 300) -> np.ndarray:
    """(N, 3) normals that the camera sees."""
    n = np.random.default_rng(2).normal(size=(count, 3))
    n[:, 2] = -np.abs(n[:, 2]) - 0.5
    return n / np.linalg.norm(n, axis=1, keepdims=True)


@pytest.mark.parametrize("yaw", [0.0, 35.0])
def test_light_of_a_known_albedo_is_found(yaw: float) -> None:
    face = lit_face(1, yaw=yaw)
    found = estimated(face, albedo=face.albedo)
    truth = Lighting(face.lighting).shading(fronts())
    assert np.abs(found.lighting.shading(fronts()) / truth - 1).mean() < 0.03
    assert found.deviation < 6
    assert found.share > 0.95


def test_light_and_albedo_together_explain_the_picture_and_share_the_lightness_by_their_priors() -> None:
    face = lit_face(2)
    found = estimated(face)
    both = found.lighting.shading(fronts()).mean() * np.exp(0.3 * found.albedo[0])
    assert found.deviation < 6
    assert 0.3 < both < 3.0
    assert np.abs(found.albedo).max() < 3.1
    shape = found.lighting.shading(fronts())
    truth = Lighting(face.lighting).shading(fronts())
    assert np.corrcoef(shape.mean(axis=1), truth.mean(axis=1))[0, 1] > 0.98


def test_what_lies_over_a_face_is_no_skin_and_does_not_change_its_light() -> None:
    face = lit_face(3)
    image = face.image.copy()
    cv2.rectangle(image, (60, 60), (120, 110), (150, 90, 20), -1)  # something blue
    cv2.rectangle(image, (125, 130), (165, 160), (25, 25, 28), -1)  # something black
    whole, found = estimated(face), estimated(face, image)
    assert found.skin[130:150, 80:110].mean() > 0.9
    assert found.skin[65:105, 65:115].mean() < 0.05
    assert found.skin[135:155, 130:160].mean() < 0.05
    assert 0.5 < found.share < 0.95
    change = found.lighting.shading(fronts()) / whole.lighting.shading(fronts())
    assert np.abs(change - 1).mean() < 0.08


def test_a_model_without_albedo_lights_a_plain_skin() -> None:
    face = lit_face(1)
    plain = FacePixels(replace(painted_model(), albedo=None))
    rng = np.random.default_rng(0)
    found = estimate_appearance(plain, face.vertices_mm, face.camera, face.image, rng=rng, dense=4000)
    assert found.albedo.shape == (0,)
    assert found.lighting.shading(fronts()).mean() == pytest.approx(1.0, abs=0.5)
    assert found.skin.any()


def test_derivatives_by_light_and_albedo() -> None:
    rng = np.random.default_rng(0)
    samples = SampleColours(
        np.zeros((20, 3)), fronts(20), rng.uniform(80, 220, (20, 3)),
        rng.normal(size=(20, 3, 4)).astype(np.float32), np.ones(20),
    )  # fmt: skip
    light, albedo = lit_face().lighting, rng.normal(size=4)
    _, rows = appearance_rows(samples, light, albedo)
    for column in range(31):
        step = np.zeros(31)
        step[column] = 1e-5
        two = [
            appearance_rows(samples, light + s * step[:27].reshape(9, 3), albedo + s * step[27:])[0] for s in (1, -1)
        ]
        assert np.allclose(rows[:, :, column], (two[0] - two[1]) / 2e-5, rtol=1e-4, atol=1e-4)


def test_too_little_face_is_refused() -> None:
    face = lit_face()
    c = face.camera
    away = Camera(c.K, c.R, c.t + np.array([5000.0, 0, 0]), c.width, c.height)
    with pytest.raises(NoLight, match="places of its skin are seen"):
        estimate_appearance(PIXELS, face.vertices_mm, away, face.image, rng=np.random.default_rng(0))
    with pytest.raises(ShapeError, match="image"):
        estimate_appearance(PIXELS, face.vertices_mm, c, face.image[:-1], rng=np.random.default_rng(0))
    assert sh_basis(fronts(2)).shape == (2, 9)
