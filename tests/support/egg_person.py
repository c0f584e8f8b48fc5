"""The small model's mean person as a low-poly head, and photographs of it whose truth is known."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from lit_face import painted_model
from seen_face import seen_landmarks

from common.array_types import Floats, Image
from processing.avatars.person_head import PersonHead, person_head
from processing.face_models.low_poly_head import LowPolyHead
from processing.geometry.cameras import Camera, direction_of, upright_rotation
from processing.single_view.appearance.spherical_harmonics import ambient
from processing.synthetic.face_photographs import FacePhotography


@lru_cache(maxsize=1)
def egg_head() -> LowPolyHead:
    return LowPolyHead.of_model(painted_model(), 700)


@lru_cache(maxsize=1)
def egg_person() -> PersonHead:
    """Without the detector's dense points, whose places are those of a real head."""
    model, head = painted_model(), egg_head()
    person = person_head(model, head, head.take(model.topology.mesh.vertices_mm))
    return PersonHead(person.head, person.model, None)


@dataclass(frozen=True, eq=False)
class PhotographedEgg:
    """A photograph and what it is of."""

    image: Image
    camera: Camera
    landmarks_px: Floats  # (478, 2)
    vertices_mm: Floats  # (L, 3)
    weights: Floats
    texture: Image  # (S, S, 3) BGR


def egg_camera(yaw_deg: float = 0.0, *, side: int = 360, roll_deg: float = 0.0) -> Camera:
    focal, distance = 3.0 * side, 900.0
    R = upright_rotation(-direction_of(yaw_deg, 0.0), np.radians(roll_deg))
    K = np.array([[focal, 0, (side - 1) / 2], [0, focal, (side - 1) / 2], [0, 0, 1.0]])
    return Camera(K, R, np.array([0, 0, distance]) - R @ [0.0, 0, 40], side, side)


def egg_texture(size: int = 256) -> Image:
    """(S, S, 3) BGR: skin whose red and blue go across the square, so that a place is known by its colour."""
    v, u = np.mgrid[:size, :size] / size
    return np.stack([90 + 80 * v, np.full_like(u, 130), 150 + 80 * u], axis=2).astype(np.uint8)


def photographed_egg(
    yaw_deg: float = 0.0, *, side: int = 360, weights: Floats | None = None, light: Floats | None = None
) -> PhotographedEgg:
    """Lit from everywhere alike, or by `light` (9, 3) in the camera's axes."""
    person = egg_person()
    weights = np.zeros(len(person.units)) if weights is None else weights
    vertices = person.model.face(np.ones(1), weights)
    camera, texture = egg_camera(yaw_deg, side=side), egg_texture()
    face = FacePhotography(person.head.mesh(vertices), texture)
    lighting = ambient(1.0) if light is None else light
    image, _ = face.photograph(camera, lighting=lighting, supersample=1)
    return PhotographedEgg(image, camera, seen_landmarks(person.model, vertices, camera), vertices, weights, texture)
