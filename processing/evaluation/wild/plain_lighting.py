"""A photograph's light by its face alone, where nothing is known of the skin's own colours."""

import numpy as np

from common.array_types import Floats, Image
from processing.face_models.face_model import FaceModel
from processing.geometry.mesh import Mesh
from processing.single_view.appearance.lighting import Lighting, linear
from processing.single_view.appearance.spherical_harmonics import sh_basis
from processing.single_view.editing.face_view import see_face

SKIN = np.array([205.0, 160.0, 140.0])  # RGB, display: what all of the face is taken for
_RIDGE = np.array([1e-4, *[2e-3] * 3, *[1e-2] * 5])
_ROUNDS = 6


def plain_lighting(model: FaceModel, face: Mesh, K: Floats, picture: Image) -> Lighting:
    """Nine spherical harmonics by least squares over the face's skin, brows, beards and shadows given little say.

    face: the model's mesh in the camera's frame; picture: (H, W, 3) BGR.
    """
    topology = model.topology
    view = see_face(face, K, (0, 0, picture.shape[1], picture.shape[0]))
    skin = (topology.face & (topology.parts == 0))[topology.mesh.triangles].all(axis=1)
    here = view.marked(skin)
    if here.sum() < 100:
        return Lighting.ambient(1.0)
    normals = view.values(face.vertex_normals)[here]
    normals /= np.linalg.norm(normals, axis=1, keepdims=True).clip(1e-9)
    seen = linear(picture[here][:, ::-1].astype(np.float64)) / linear(SKIN)
    basis, weight = sh_basis(normals), np.ones(len(normals))
    coefficients: Floats = np.zeros((9, 3))
    for _ in range(_ROUNDS):
        rows = basis * weight[:, None]
        coefficients = np.linalg.solve(rows.T @ basis + np.diag(_RIDGE * weight.sum()), rows.T @ seen)
        off = np.abs(seen - basis @ coefficients).mean(axis=1)
        weight = 1 / (1 + np.square(off / (1.5 * np.median(off) + 1e-6))) ** 2
    return Lighting(coefficients)
