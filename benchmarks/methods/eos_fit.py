"""eos-py (github.com/patrikhuber/eos) on a model's arrays: python eos_fit.py IMAGES OUT MODEL EXPRESSIONS

EXPRESSIONS is pca (the spread of the model's expressions as eos's own expression model, with its prior) or blendshapes
(the model's 52 units). eos fits blendshapes by non-negative least squares without a prior and without a bound: made for
six of them, it gives 52, which landmarks hardly tell apart, weights of 5 to 90, and a face that is 5 to 30 mm off.
That is eos, not the arrays: with pca the same arrays give a sensible face.

eos is found in the environment, or in the folder that MIEN_EOS names (pip install --target FOLDER --no-deps eos-py).
"""

import os
import sys
import tempfile
from pathlib import Path

import numpy as np
from method_photos import fault, listed, unavailable, with_landmarks, write_face

from processing.face_models.face_model import JAW, FaceModel
from processing.face_models.model_file import read_model

sys.path += [os.environ["MIEN_EOS"]] if os.environ.get("MIEN_EOS") else []
try:
    import eos
except ImportError:
    unavailable("eos-py is not installed: pip install --target FOLDER --no-deps eos-py, and MIEN_EOS=FOLDER")


def eos_model(model: FaceModel, expressions: str) -> "eos.morphablemodel.MorphableModel":
    """Identities as principal components (eos wants them orthonormal, with variances), expressions as asked for."""
    triangles = model.topology.mesh.triangles.tolist()
    core = model.bilinear.dense()[0].reshape(3 * model.vertex_count, -1).astype(np.float64)
    mean = core @ model.identity_mean
    basis, deviation, _ = np.linalg.svd(core * model.identity_deviation, full_matrices=False)
    pca = eos.morphablemodel.PcaModel
    shape = pca(*(array.astype(np.float32) for array in (mean, basis, deviation**2)), triangles)
    shapes = model.shapes(model.identity_mean)
    offsets = (shapes[1:] - shapes[0]).reshape(len(model.units), -1)
    if expressions == "blendshapes":
        moved = [
            eos.morphablemodel.Blendshape(unit, offset.astype(np.float32))
            for unit, offset in zip(model.units, offsets, strict=True)
        ]
    else:
        mean_weights, covariance = expression_spread(model)
        root = np.linalg.cholesky(covariance + 1e-9 * np.eye(len(covariance)))
        basis, deviation, _ = np.linalg.svd(offsets.T @ root, full_matrices=False)
        arrays = (offsets.T @ mean_weights, basis, deviation**2)
        moved = pca(*(array.astype(np.float32) for array in arrays), triangles)
    return eos.morphablemodel.MorphableModel(shape, moved, pca(), vertex_definitions=None, texture_coordinates=[])


def expression_spread(model: FaceModel) -> tuple[np.ndarray, np.ndarray]:
    """Mean and covariance of the members' expression weights."""
    mixture = model.expression_mixture
    if mixture is None:
        return np.full(len(model.units), 0.08), 0.15**2 * np.eye(len(model.units))
    mean = mixture.weights @ mixture.means
    away = mixture.means - mean
    spread = np.einsum("k,kij->ij", mixture.weights, mixture.covariances)
    return mean, spread + np.einsum("k,ki,kj->ij", mixture.weights, away, away)


def main() -> None:
    images, out, model = Path(sys.argv[1]), Path(sys.argv[2]), read_model(Path(sys.argv[3]))
    morphable = eos_model(model, sys.argv[4])
    vertices, inner = model.topology.landmark_vertices, range(JAW, 68)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "landmarks.toml"
        file.write_text("[landmark_mappings]\n" + "".join(f"{k} = {vertices[k]}\n" for k in inner))
        mapper = eos.core.LandmarkMapper(str(file))
    count = len(model.units) if sys.argv[4] == "blendshapes" else 0
    for photo, image, pixels in with_landmarks(listed(images), out):
        height, width = image.shape[:2]
        # eos counts pixels from the picture's edge, so that the first pixel's centre is at 0.5.
        marks = [eos.core.Landmark(str(k), [float(pixels[k][0] + 0.5), float(pixels[k][1] + 0.5)]) for k in inner]
        mesh, pose, _, weights = eos.fitting.fit_shape_and_pose(
            morphable, marks, mapper, width, height, num_iterations=10, blendshape_coeffs=[0.0] * count
        )
        points = np.array(mesh.vertices, dtype=np.float64)[:, :3]
        view, frustum = np.array(pose.get_modelview()), np.array(pose.get_projection())
        if not (np.isfinite(points).all() and np.isfinite(view).all()):
            fault(out, photo, f"eos diverged: expression weights up to {np.abs(weights).max():.3g}")
            continue
        scale = float(frustum[0, 0] * width / 2)  # its frustum is the picture in the model's unit, y up
        turn = np.diag([1.0, -1.0, -1.0])
        shift = (scale * view[0, 3] - 0.5, height - scale * view[1, 3] - 0.5)
        write_face(out, photo, points, model.topology.mesh.triangles, scale, turn @ view[:3, :3], shift)


main()
