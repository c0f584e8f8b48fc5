"""FaceScape's classes on a model that was exported for them: run by test_facescape_model.py, in FaceScape's toolkit.

python facescape_trial.py MODEL FACES OUT: FACES has identities (F, n) and weights (F, 51); OUT gets what they say.
"""

import sys

import numpy as np
from src.facescape_bm import facescape_bm
from src.facescape_fitter import facescape_fitter

MODEL, FACES, OUT = sys.argv[1:]


def shown_landmarks(model, projected):
    """(68, 2) as a detector sees them: along the jaw, the outermost of each contour line."""
    index = list(model.lm_list_v16)
    index = model._update_3d_lm_index(projected, index)
    return projected[index]


def main():
    plain = facescape_bm(MODEL)
    fitter = facescape_fitter(MODEL, kp2d_backend="none")  # of a detector there is no need: landmarks are given
    said = np.load(FACES)
    rng = np.random.default_rng(0)
    got = {"full": [], "face": [], "fit3d": [], "fit2d": [], "truth2d": []}
    for number, (identity, weights) in enumerate(zip(said["identities"], said["weights"], strict=True)):
        expression = np.r_[1.0, weights]
        full = plain.gen_full(identity, expression)
        face = plain.gen_face(identity, expression)
        got["full"].append(full.vertices)
        got["face"].append(face.vertices)
        mesh, _ = fitter.fit_kp3d(full.vertices[fitter.lm_list_v16] * 1.5 + 20.0)
        got["fit3d"].append((mesh.vertices - 20.0) / 1.5)
        rotation = rng.uniform(-0.15, 0.15, 3)
        moved = fitter.project(full.vertices, rotation, 2.5, np.array([300.0, 400.0]), keepz=True)
        mesh, _, _ = fitter.fit_kp2d(shown_landmarks(fitter, moved[:, :2]))
        got["fit2d"].append(mesh.vertices / 2.5)
        got["truth2d"].append(moved / 2.5)
        if number == 0:
            colour = plain.gen_face_color(identity, expression, np.zeros(plain.color_bm_core.shape[1]))
            got["colour"] = colour.vert_colors
            colour.export(OUT.rpartition("/")[0], "face", enable_vc=True)
    got["landmarks"] = fitter.lm_list_v16
    got["front"] = plain.v_indices_front
    np.savez(OUT, **{key: np.array(value) for key, value in got.items()})


main()
