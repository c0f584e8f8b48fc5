"""A scan brought to where the model is: checked, turned by its landmarks, thinned, ready to be matched."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.array_types import Bools, Floats
from processing.errors import MeshError, NoFace, ShapeError
from processing.face_models.face_model import FaceModel
from processing.geometry.mesh import Mesh
from processing.geometry.procrustes import Degenerate, Similarity, fit_motion_robust
from processing.landmarks.multi_pie_68 import GROUPS, Landmarks3d
from processing.landmarks.scan_landmarks import landmarks_of_scan
from processing.registration.correspondence import TargetSurface
from processing.registration.scan_checks import checked_scan

DENSE = 150_000  # vertices above which a scan is thinned
THINNED_MM = 1.5
# Landmarks that lie farther from the mean face's than this, half and a quarter of them, are no face's.
MAX_MEDIAN_MM, MAX_UPPER_QUARTILE_MM = 12.0, 20.0
LEAST_LANDMARKS = 20  # besides those of the jaw
LEAST_TRIANGLES = 200
_MOST_SCALE = 1e4  # of any unit that lengths are given in

#: (68,) mm by which landmarks are off.
LANDMARK_DEVIATION_MM = np.full(68, 2.0)
LANDMARK_DEVIATION_MM[list(GROUPS["jaw"])] = 10.0
LANDMARK_DEVIATION_MM[6:11] = 5.0
LANDMARK_DEVIATION_MM[[*GROUPS["right_brow"], *GROUPS["left_brow"]]] = 4.0


@dataclass(frozen=True, eq=False)
class PlacedScan:
    """A scan in the model's frame."""

    surface: TargetSurface
    landmarks_mm: Floats  # (68, 3), NaN where unknown
    motion: Similarity  # from here to where the scan was


def thinned(mesh: Mesh, cell_mm: float) -> Mesh:
    """The mesh with the vertices in each cube of `cell_mm` made one, their mean.

    A surface that bends with radius r moves inwards by at most cell^2 / 8 r: 0.03 mm at 1.5 mm and 10 mm.
    """
    cell = np.floor((mesh.vertices_mm - mesh.vertices_mm.min(axis=0)) / cell_mm).astype(np.int64)
    _, place = np.unique(cell @ np.array([1 << 40, 1 << 20, 1]), return_inverse=True)
    place = place.reshape(-1)
    count = np.bincount(place)

    def means(values: NDArray[Any]) -> Floats:
        return np.stack([np.bincount(place, values[:, axis]) / count for axis in range(3)], axis=1)

    t = place[mesh.triangles].astype(np.int32)
    kept = (t[:, 0] != t[:, 1]) & (t[:, 1] != t[:, 2]) & (t[:, 2] != t[:, 0])
    colors = None if mesh.colors is None else means(mesh.colors).round().astype(np.uint8)
    return Mesh(means(mesh.vertices_mm), t[kept], colors=colors)


def place_scan(model: FaceModel, scan: Mesh, landmarks_mm: Floats | None, *, scale: bool = False) -> PlacedScan:
    """The scan where the model's mean face is, by its landmarks.

    landmarks_mm: (68, 3) Multi-PIE, NaN where unknown; None: found on the scan, which then lies in the head frame.
    scale: the scan's unit is unknown; what comes of it is the model's millimetres.
    Raises ShapeError, MeshError (not finite, too few triangles, other units, inside out, not where its landmarks are)
    and NoFace (no landmarks, not a face's).
    """
    if not np.isfinite(scan.vertices_mm).all():
        raise MeshError("the scan has vertices that are not finite (NaN); take them out, or export it again")
    if len(scan.triangles) < LEAST_TRIANGLES:
        raise MeshError(f"the scan has {len(scan.triangles)} triangles; a face needs a surface of {LEAST_TRIANGLES}")
    if landmarks_mm is None and scale:
        raise NoFace("a scan in an unknown unit needs landmarks: they say how large it is")
    unit = 1.0 if landmarks_mm is None else _unit(model, landmarks_mm, scale)
    if len(scan.vertices_mm) > DENSE:
        scan = thinned(scan, THINNED_MM * unit)
    if landmarks_mm is None:
        landmarks_mm = landmarks_of_scan(scan).points_mm
    motion = _motion(model, landmarks_mm, scale)
    back = motion.inverse()
    here = back(landmarks_mm)
    surface = checked_scan(replace(scan, vertices_mm=back(scan.vertices_mm)), Landmarks3d.of_points(here))
    return PlacedScan(surface, here, motion)


def _unit(model: FaceModel, landmarks_mm: Floats, scale: bool) -> float:
    return _motion(model, landmarks_mm, True).scale if scale else 1.0


def _motion(model: FaceModel, landmarks_mm: Floats, scale: bool) -> Similarity:
    """From the model's frame to the scan's, by the landmarks. Raises ShapeError, NoFace."""
    if landmarks_mm.shape != (68, 3):
        raise ShapeError("landmarks_mm", landmarks_mm.shape, "(68, 3)")
    known: Bools = np.asarray(np.isfinite(landmarks_mm).all(axis=1))
    if known[17:].sum() < LEAST_LANDMARKS:
        raise NoFace(f"only {int(known.sum())} of 68 landmarks are known: too few to place a face")
    own = model.topology.landmark_points(model.topology.mesh.vertices_mm)[known]
    seen, weight = landmarks_mm[known], 1 / LANDMARK_DEVIATION_MM[known]
    try:
        motion = fit_motion_robust(own, seen, weight)
        if not 1 / _MOST_SCALE < motion.scale < _MOST_SCALE:
            raise Degenerate("hardly any extent")
        inner = np.flatnonzero(known) >= 17
        off = (np.linalg.norm(motion(own) - seen, axis=1) / motion.scale)[inner]
        if not (float(np.median(off)) <= MAX_MEDIAN_MM and float(np.quantile(off, 0.75)) <= MAX_UPPER_QUARTILE_MM):
            raise NoFace(
                f"the landmarks are not those of a face: half of them lie over {np.median(off):.3g} mm, a quarter over "
                f"{np.quantile(off, 0.75):.3g} mm from where the model's mean face has them. Check their order "
                "(Multi-PIE's 68)."
            )
        return motion if scale else fit_motion_robust(own, seen, weight, with_scale=False)
    except Degenerate:
        raise NoFace("the landmarks lie in one place or on one line: they are not those of a face") from None
