"""The small model with a painted albedo, and photographs of its faces whose light, colour and shape are known."""

from dataclasses import dataclass, replace
from functools import lru_cache

import cv2
import numpy as np
from small_model import small_model

from common.array_types import Floats, Image
from processing.face_models.face_model import Albedo, FaceModel
from processing.geometry.cameras import Camera, direction_of, upright_rotation
from processing.single_view.appearance.spherical_harmonics import ambient, directional
from processing.synthetic.face_photographs import photograph_face

SIZE = 96


@lru_cache(maxsize=1)
def painted_model() -> FaceModel:
    """Colours of six components, smooth over the face, the first of them its lightness, and spots that all have."""
    rng = np.random.default_rng(4)
    fields = np.stack([cv2.GaussianBlur(rng.standard_normal((SIZE, SIZE, 3)), (0, 0), 4) for _ in range(6)])
    fields[0] = 1.0
    spots = cv2.GaussianBlur((rng.uniform(size=(SIZE, SIZE)) > 0.985).astype(np.float64), (0, 0), 1.5)
    mask = np.ones((SIZE, SIZE), dtype=np.bool_)
    flat = np.linalg.qr(fields.reshape(6, -1).T)[0].T.reshape(6, -1, 3)
    mean = np.array([190.0, 150.0, 130.0]) - 900 * spots.reshape(-1, 1) * np.array([0.5, 1.0, 1.0])
    deviations = np.array([20.0, 5, 5, 4, 4, 4]) * np.sqrt(SIZE * SIZE * 3)
    albedo = Albedo(mask, mean.clip(60, 255).astype(np.float32), flat.astype(np.float32), deviations)
    return replace(small_model(), albedo=albedo)


@dataclass(frozen=True, eq=False)
class LitFace:
    """A photograph and what it is of."""

    image: Image
    camera: Camera
    vertices_mm: Floats
    lighting: Floats  # (9, 3)
    albedo: Floats  # (6,)


def lamp_light() -> Floats:
    """(9, 3) camera axes: a warm lamp from above and the side, and light from everywhere."""
    return ambient(np.array([0.45, 0.45, 0.5])) + directional(np.array([0.5, -0.5, -0.8]), np.array([0.6, 0.55, 0.5]))


def lit_face(
    seed: int = 0, *, yaw: float = 0.0, size: int = 240, weights: Floats | None = None, background: int = 60
) -> LitFace:
    """A person of the model, drawn by the seed."""
    model, rng = painted_model(), np.random.default_rng(seed)
    identity = model.sample_identity(rng)
    vertices = model.face(identity, np.zeros(52) if weights is None else weights)
    albedo = rng.uniform(-1, 1, 6)
    R = upright_rotation(-direction_of(yaw, 0.0))
    K = np.array([[1200.0, 0, (size - 1) / 2], [0, 1200, (size - 1) / 2], [0, 0, 1.0]])
    camera = Camera(K, R, np.array([0.0, 0, 1200 * 200 / size]) - R @ [0.0, 0, 60], size, size)
    assert model.albedo is not None
    texture = model.albedo.picture(albedo)[..., ::-1].copy()
    back = np.full((size, size, 3), background, np.uint8)
    mesh = model.topology.mesh.with_vertices(vertices)
    image, _ = photograph_face(mesh, texture, camera, lighting=lamp_light(), background=back, noise=0.003, seed=seed)
    return LitFace(image, camera, vertices, lamp_light(), albedo)
