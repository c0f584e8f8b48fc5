"""Two rows of teeth for a head that has none: strips along an arch behind the lips, the lower one on the jaw.

Measures are those of adults (widths of crowns by Wheeler's Dental Anatomy, rounded), for a mouth 50 mm wide; a
narrower mouth gets a smaller arch. They are seen only between the lips, so the arch's end and the gums are not made.
"""

from dataclasses import dataclass

import numpy as np

from common.array_types import Bools, Floats, Ints32
from processing.face_models.face_model import FaceModel
from processing.geometry.procrustes import fit_motion

MOUTH_MM = 50.0
BEHIND_MM = 6.5  # the front teeth's faces behind where the lips meet
ARCH_MM = 17.0  # radius of the arch's front: a parabola of this radius at its vertex
REACH_MM = 27.0  # along x, to each side
UPPER_EDGE_MM, UPPER_TOP_MM = -2.6, 11.0  # from where the lips meet, up
LOWER_EDGE_MM, LOWER_TOP_MM = -4.2, -13.0
LOWER_BACK_MM = 2.5  # the lower row behind the upper one
UPPER_WIDTHS = (8.5, 6.5, 7.5, 7.0, 7.0)  # mm, from the middle outwards
LOWER_WIDTHS = (5.2, 5.8, 6.8, 7.0, 7.0)
_COLUMNS = 41
_CHIN_MM = 28.0  # about the chin's landmark, what moves as the jaw does


@dataclass(frozen=True, eq=False)
class Teeth:
    """Strips of N vertices in the model's frame, mm."""

    vertices_mm: Floats  # (N, 3)
    triangles: Ints32  # (M, 3)
    along_mm: Floats  # (N,) along the arch from its middle, to the subject's left
    height_mm: Floats  # (N,) from the biting edge, towards the gums
    lower: Bools  # (N,)


def teeth_of(model: FaceModel, identity: Floats, weights: Floats) -> Teeth:
    """The teeth of a person whose face has weights (U,): the lower row has moved with the jaw."""
    neutral = model.face(identity, np.zeros_like(weights))
    landmarks = model.topology.landmark_points(neutral)
    middle = landmarks[[61, 62, 63, 65, 66, 67]].mean(axis=0)
    scale = float(np.linalg.norm(landmarks[54] - landmarks[48])) / MOUTH_MM
    upper = _strip(UPPER_EDGE_MM, UPPER_TOP_MM, 0.0)
    lower = _strip(LOWER_EDGE_MM, LOWER_TOP_MM, LOWER_BACK_MM)
    places = [middle + scale * strip[0] for strip in (upper, lower)]
    R, t = _jaw_motion(model, identity, weights, neutral, landmarks[8])
    places[1] = places[1] @ R.T + t
    count = len(upper[0])
    return Teeth(
        np.concatenate(places), np.concatenate([upper[1], lower[1] + count]).astype(np.int32),
        np.concatenate([upper[2], lower[2]]), np.concatenate([upper[3], lower[3]]),
        np.arange(2 * count) >= count,
    )  # fmt: skip


def coverage(along_mm: Floats, height_mm: Floats, lower: Bools) -> tuple[Floats, Floats]:
    """(N,) how much of a tooth is at places of the strips, 0 beyond a biting edge, and (N,) how light it is."""
    covered, light = np.zeros(len(along_mm)), np.zeros(len(along_mm))
    for row, widths in ((~lower, UPPER_WIDTHS), (lower, LOWER_WIDTHS)):
        if not row.any():
            continue
        borders = np.r_[0.0, np.cumsum(widths)]
        away = np.abs(np.abs(along_mm[row])[:, None] - borders).min(axis=1)
        number = np.searchsorted(borders[1:], np.abs(along_mm[row])).clip(0, 4)
        # Corners are rounded; the second upper tooth is shorter than its neighbours.
        edge = 0.9 * np.exp(-((away / 0.9) ** 2)) + np.where(number == 1, 0.7, 0.0) * (widths is UPPER_WIDTHS)
        covered[row] = ((height_mm[row] - edge) / 0.5 + 0.5).clip(0, 1)
        gap = 1 - 0.30 * np.exp(-((away / 0.40) ** 2))
        light[row] = gap * (0.86 + 0.14 * (1 - np.exp(-height_mm[row].clip(0) / 2.5))) * (1 - 0.06 * number)
    return covered, light


def _strip(edge_mm: float, top_mm: float, back_mm: float) -> tuple[Floats, Ints32, Floats, Floats]:
    x = np.linspace(-REACH_MM, REACH_MM, _COLUMNS)
    z = -BEHIND_MM - back_mm - x**2 / (2 * ARCH_MM)
    length = np.r_[0.0, np.cumsum(np.hypot(np.diff(x), np.diff(z)))]
    along = length - length[_COLUMNS // 2]
    rows = np.array([edge_mm, top_mm])
    vertices = np.stack([np.tile(x, 2), np.repeat(rows, _COLUMNS), np.tile(z, 2)], axis=1)
    a = np.arange(_COLUMNS - 1)
    b = a + _COLUMNS
    triangles = np.concatenate([np.c_[a, a + 1, b + 1], np.c_[a, b + 1, b]]).astype(np.int32)
    return vertices, triangles, np.tile(along, 2), np.abs(vertices[:, 1] - edge_mm)


def _jaw_motion(
    model: FaceModel, identity: Floats, weights: Floats, neutral: Floats, chin_mm: Floats
) -> tuple[Floats, Floats]:
    """R (3, 3) and t (3,) of the chin under the jaw's units alone."""
    jaw = np.array([name.startswith("jaw") for name in model.units])
    if not (weights * jaw).any():
        return np.eye(3), np.zeros(3)
    moved = model.face(identity, weights * jaw)
    near = np.linalg.norm(neutral - chin_mm, axis=1) < _CHIN_MM
    motion = fit_motion(neutral[near], moved[near], with_scale=False)
    return motion.R, motion.t
