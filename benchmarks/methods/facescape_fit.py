"""FaceScape's own fitter (github.com/zhuhao-nju/facescape, toolkit) on an exported model, from our 68 landmarks.

python facescape_fit.py IMAGES OUT MODEL. Its code runs unchanged, from the checkout that MIEN_FACESCAPE names;
some 20 s a photograph. The landmarks are of the same detector as ours, so that it is the fits that are compared.
"""

import contextlib
import os
import sys
from pathlib import Path

import numpy as np
from method_photos import fault, listed, unavailable, with_landmarks, write_face

from processing.face_models.exports.facescape_model import write_facescape_model
from processing.face_models.model_file import read_model

toolkit = Path(os.environ.get("MIEN_FACESCAPE", "facescape")) / "toolkit"
if not (toolkit / "src/facescape_fitter.py").is_file():
    unavailable("no checkout of FaceScape: git clone https://github.com/zhuhao-nju/facescape, MIEN_FACESCAPE=<folder>")
sys.path.insert(0, str(toolkit))
try:
    from src.facescape_fitter import facescape_fitter
except ImportError as error:
    unavailable(f"FaceScape's fitter needs {error.name}: pip install scikit-learn")

images, out, model_file = Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3])
exported = out.parent / "facescape_model.npz"  # beside what is made: it is taken away with it
model = read_model(model_file)
write_facescape_model(exported, model)
with contextlib.redirect_stdout(sys.stderr):
    fitter = facescape_fitter(str(exported), kp2d_backend="none")  # of a detector there is no need
with np.load(exported) as arrays:
    order = arrays["vert_16to10_dict"]
exported.unlink()
turn = np.diag([1.0, -1.0, -1.0])
for photo, image, pixels in with_landmarks(listed(images), out):
    height = image.shape[0]
    up = np.c_[pixels[:, 0], height - 1 - pixels[:, 1]]  # as its detect_kp2d has them
    mesh, _, _ = fitter.fit_kp2d(up)
    points = np.empty_like(mesh.vertices)
    points[order] = mesh.vertices  # in the model's own order of vertices; px, y up, z towards the camera
    if not np.isfinite(points).all():
        fault(out, photo, "the fitter diverged")
        continue
    write_face(out, photo, points, model.topology.mesh.triangles, 1.0, turn, (0.0, height - 1.0))
