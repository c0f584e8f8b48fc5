"""Figures of regressed faces beside true ones, by how the heads are turned."""

import numpy as np
from numpy.typing import NDArray

from processing.face_models.face_model import FaceModel

_FAIL_MM = 15.0  # a photograph whose points are farther off in the mean has not been understood
#: Off the front in degrees, and raised or bowed: buckets of the figures.
_TURNS, _BOWS = ((0, 20), (20, 45), (45, 75), (75, 91)), ((0, 15), (15, 30), (30, 46))


def figures(errors: NDArray[np.floating], R: NDArray[np.floating]) -> dict[str, float]:
    """Means of errors (N,) mm by bucket; "score" is the mean of all. R: (N, 3, 3) of the head to the line of sight."""
    towards = -R[:, 2].astype(np.float64)  # the camera, from the face
    turns = np.degrees(np.abs(np.arctan2(towards[:, 0], towards[:, 2])))
    bows = np.degrees(np.abs(np.arcsin(towards[:, 1].clip(-1, 1))))
    found = {"score": float(errors.mean()), "point_mm": float(errors.mean())}
    found["success"] = float((errors < _FAIL_MM).mean())
    for name, values, buckets in (("turned", turns, _TURNS), ("bowed", bows, _BOWS)):
        for low, high in buckets:
            inside = (values >= low) & (values < high)
            if inside.any():
                found[f"point_mm_{name}_{low}_to_{high - high % 5}_deg"] = float(errors[inside].mean())
    return found


def pivot_of(model: FaceModel) -> NDArray[np.float64]:
    """(3,) mm about which faces turn: the middle of the mean face's landmarks, half way to the head's axis."""
    middle = model.topology.landmark_points(model.topology.mesh.vertices_mm)[17:].mean(axis=0)
    return np.asarray(middle * [1.0, 1.0, 0.75], np.float64)
