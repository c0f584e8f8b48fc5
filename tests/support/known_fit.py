"""Fits of the small model that are right, of photographs made of them: what edits and swaps are tested on."""

from dataclasses import dataclass

import numpy as np
from lit_face import lamp_light, painted_model

from common.array_types import Bools, Floats, Image
from processing.face_models.face_model import FaceModel
from processing.geometry.cameras import Camera, direction_of, upright_rotation
from processing.landmarks.multi_pie_68 import MEDIAPIPE_TO_68
from processing.scan_quality.verdict import QualityReview
from processing.single_view.appearance.lighting import Appearance, Lighting
from processing.single_view.photo_camera import WEAK_DISTANCE_MM, PhotoCamera
from processing.single_view.photograph import PhotoFit
from processing.synthetic.face_photographs import photograph_face


@dataclass(frozen=True, eq=False)
class KnownFit:
    """A photograph and the fit that made it."""

    image: Image
    fit: PhotoFit
    model: FaceModel
    albedo: Floats

    def seen_with(self, weights: Floats) -> Image:
        """The photograph of the same person with another expression."""
        return _photographed(
            self.model, self.model.face(self.fit.identity, weights), self.fit.camera.camera, self.albedo
        )


def known_fit(
    seed: int = 0, *, yaw: float = 0.0, size: int = 320, weights: Floats | None = None, weak: bool = False
) -> KnownFit:
    model, rng = painted_model(), np.random.default_rng(seed)
    identity, albedo = model.sample_identity(rng), rng.uniform(-1, 1, 6)
    weights = np.zeros(52) if weights is None else weights
    vertices = model.face(identity, weights)
    camera = _camera(yaw, size, weak)
    image = _photographed(model, vertices, camera, albedo)
    landmarks = np.zeros((478, 2))
    landmarks[MEDIAPIPE_TO_68] = camera.project(model.topology.landmark_points(vertices))
    skin: Bools = np.ones(image.shape[:2], dtype=np.bool_)
    appearance = Appearance(Lighting(lamp_light()), albedo, skin, 3.0)
    fit = PhotoFit(
        identity, np.zeros(model.identity_count), np.ones(model.identity_count), weights,
        PhotoCamera(camera, "weak" if weak else "perspective", True), vertices, np.zeros_like(vertices), landmarks,
        appearance, {"landmark_percent": 0.0}, QualityReview("accept", (), {}),
    )  # fmt: skip
    return KnownFit(image, fit, model, albedo)


def _camera(yaw: float, size: int, weak: bool) -> Camera:
    R = upright_rotation(-direction_of(yaw, 0.0))
    distance = WEAK_DISTANCE_MM if weak else 900.0
    focal = distance * size / 300
    K = np.array([[focal, 0, (size - 1) / 2], [0, focal, (size - 1) / 2], [0, 0, 1.0]])
    return Camera(K, R, np.array([0.0, 0, distance]) - R @ [0.0, 0, 40], size, size)


def _photographed(model: FaceModel, vertices: Floats, camera: Camera, albedo: Floats) -> Image:
    assert model.albedo is not None
    texture = model.albedo.picture(albedo)[..., ::-1].copy()
    background = np.full((camera.height, camera.width, 3), (140, 110, 80), np.uint8)
    mesh = model.topology.mesh.with_vertices(vertices)
    return photograph_face(mesh, texture, camera, lighting=lamp_light(), background=background)[0]
