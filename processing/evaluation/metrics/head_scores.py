"""Errors of a predicted head beside those on the cylinder: ARMSE and point to surface after ICP, corresponding points.

After ICP a prediction lies where it is nearest to the truth, whatever place of a face lies there: a chin that is too
long moves the whole face up. Errors after ICP therefore rank methods wrongly (M3DFB, arXiv 2505.18025); those of
corresponding points do not, where the prediction has the truth's topology.
"""

from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from common.array_types import Bools, Floats
from processing.errors import DataError
from processing.evaluation.metrics.cylinder import CylinderMap, points_of
from processing.evaluation.metrics.predictions import Prediction, TruthFace
from processing.evaluation.metrics.scores import ARMSE_RADII_MM
from processing.geometry.mesh import Surface
from processing.geometry.procrustes import IDENTITY, Degenerate, Similarity, fit_motion

NOSE_TIP = 30
#: Of the head, from the tip of the nose: what ICP aligns and `icp_mm` measures.
FACE_MM = 95.0
_EVERY = 2  # pixel of the cylinder, both ways
_ROUNDS = 30
_STILL_MM = 5e-3  # a round that moves no point farther is the last
_LEAST_POINTS = 50
_LEAST_COSINE = 0.5  # between normals of places that may be the same
_ORDINARY_MM = 1.0  # errors below this have full say


@dataclass(frozen=True, eq=False)
class PlacedSurface:
    """A prediction after the depth alignment: its surface, where it lies, and as the cylinder's axis sees it."""

    surface: Surface
    motion: Similarity  # from the surface's frame to the true head's
    cylinder: CylinderMap


def head_errors(truth: TruthFace, found: PlacedSurface, notes: list[str]) -> tuple[dict[int, float], float | None]:
    """ARMSE by radius, mm, and the mean distance of the true face's points to the prediction, both after ICP.

    ICP starts from the depth alignment and finds a similarity. ARMSE (Lin et al., section 4.3): the mean of two root
    mean squares, of the distances from the points of each within a radius of its nose tip to the other's surface.
    Points are those of the cylinder, so that no method's dense regions count more. What cannot be measured is noted.
    """
    if truth.landmarks_mm is None:
        notes.append("no ARMSE: the truth has no landmarks")
        return {}, None
    nose = truth.landmarks_mm[NOSE_TIP]
    true, seen = _points(truth.cylinder, truth.centre), _points(found.cylinder, truth.centre)
    known = found.cylinder.known[::_EVERY, ::_EVERY][truth.cylinder.known[::_EVERY, ::_EVERY]]
    try:
        near = np.linalg.norm(seen[0] - nose, axis=1) < FACE_MM
        step = icp(seen[0][near][::2], seen[1][near][::2], truth.surface)
    except DataError as error:
        notes.append(f"no ARMSE: {error}")
        return {}, None
    moved = step(seen[0])
    to_truth = truth.surface.closest(moved).distance_mm
    # The prediction's surface stays where it was read, and the truth's points go to it.
    motion = step.after(found.motion)
    back = motion.inverse()
    to_found = found.surface.closest(back(true[0])).distance_mm * motion.scale
    tip = motion(found.surface.closest(found.motion.inverse()(nose[None])).points_mm)[0]
    from_true, from_found = np.linalg.norm(true[0] - nose, axis=1), np.linalg.norm(moved - tip, axis=1)
    armse = {}
    for radius in ARMSE_RADII_MM:
        both = to_found[from_true <= radius], to_truth[from_found <= radius]
        if all(map(len, both)):
            armse[radius] = float(np.mean([np.sqrt(np.square(part).mean()) for part in both]))
    face = (from_true <= FACE_MM) & known
    return armse, float(to_found[face].mean()) if face.any() else None


def _points(cylinder: CylinderMap, centre: Floats) -> tuple[Floats, Floats]:
    """(N, 3) points and (N, 3) normals of a part of the pixels, head's frame."""
    part = cylinder.known[::_EVERY, ::_EVERY]
    points = points_of(cylinder.radius_mm)[::_EVERY, ::_EVERY][part] + centre
    return points, cylinder.normals[::_EVERY, ::_EVERY][part]


def icp(points_mm: Floats, normals: Floats, target: Surface) -> Similarity:
    """The similarity that lays points (N, 3) with normals on a surface, from where they are.

    Point to plane (Chen and Medioni 1992), Gauss-Newton in rotation, shift and scale, outliers by Geman and McClure.
    Raises Degenerate where too few points lie near it.
    """
    motion = IDENTITY
    facing = target.mesh.triangle_normals
    for _ in range(_ROUNDS):
        moved, turned = motion(points_mm), normals @ motion.R.T
        match = target.closest(moved)
        plane = facing[match.triangle]
        near = np.einsum("nd,nd->n", turned, plane) > _LEAST_COSINE
        if near.sum() < _LEAST_POINTS:
            raise Degenerate(f"{int(near.sum())} points of the mesh lie near the true face; ICP needs {_LEAST_POINTS}")
        middle = moved[near].mean(axis=0)
        arms = moved[near] - middle
        n = plane[near]
        residual = np.einsum("nd,nd->n", n, match.points_mm[near] - moved[near])
        sigma = max(_ORDINARY_MM, 1.5 * float(np.median(match.distance_mm[near])))
        weight = 1 / (1 + np.square(match.distance_mm[near] / sigma)) ** 2
        rows = np.c_[np.cross(arms, n), n, np.einsum("nd,nd->n", n, arms)]
        normal = rows.T @ (rows * weight[:, None])
        normal[np.diag_indices(7)] *= 1 + 1e-9
        try:
            turn = np.linalg.solve(normal, rows.T @ (weight * residual))
        except np.linalg.LinAlgError:
            raise Degenerate("the mesh near the true face does not fix a motion") from None
        R, scale = Rotation.from_rotvec(turn[:3]).as_matrix(), float(np.exp(turn[6]))
        step = Similarity(scale, R, middle + turn[3:6] - scale * R @ middle)
        motion = step.after(motion)
        if np.abs(step(moved[near]) - moved[near]).max() < _STILL_MM:
            break
    return motion


def corresponding_errors(
    truth: TruthFace, prediction: Prediction, vertices_mm: Floats, notes: list[str]
) -> tuple[float | None, float | None]:
    """Mean distance of corresponding vertices of the face, depth aligned and after the best similarity; None for
    another topology. vertices_mm: (V, 3) of the prediction, aligned, true head's frame.
    """
    if truth.base_vertices_mm is None or truth.topology is None or prediction.topology != truth.topology:
        return None, None
    count = len(truth.base_vertices_mm)
    face: Bools = np.ones(count, np.bool_) if truth.face is None else truth.face
    face = face & np.isfinite(vertices_mm).all(axis=1)
    if not face.any():
        notes.append("no corresponding points: no vertex of the face is finite")
        return None, None
    true, found = truth.base_vertices_mm[face], vertices_mm[face]
    errors = float(np.linalg.norm(found - true, axis=1).mean())
    try:
        best = fit_motion(found, true)
    except Degenerate as error:
        notes.append(f"no corresponding points after a similarity: {error}")
        return errors, None
    return errors, float(np.linalg.norm(best(found) - true, axis=1).mean())
