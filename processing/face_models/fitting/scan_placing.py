"""A scan brought to where the model is: checked, turned by its landmarks, thinned, ready to be matched."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.array_types import Bools, Floats, Ints32, Ints64
from processing.errors import MeshError, NoFace, ShapeError
from processing.face_models.face_model import FaceModel
from processing.geometry.mesh import Mesh
from processing.geometry.procrustes import Degenerate, Similarity, fit_motion_robust
from processing.landmarks.multi_pie_68 import GROUPS, Landmarks3d
from processing.landmarks.scan_landmarks import FEW_SIDES_DEG, SMALL_PX, landmarks_of_scan
from processing.registration.correspondence import TargetSurface
from processing.registration.scan_checks import checked_scan

DENSE = 150_000  # vertices above which a scan is thinned
THINNED_MM = 1.5
# Landmarks that lie farther from the mean face's than this, half and a quarter of them, are no face's.
MAX_MEDIAN_MM, MAX_UPPER_QUARTILE_MM = 12.0, 20.0
LEAST_LANDMARKS = 20  # besides those of the jaw
LEAST_TRIANGLES = 200
FEWEST_CELLS, MOST_CELLS = 40, 1 << 19  # along a scan's longest side
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


def thinned_if_dense(mesh: Mesh, cell: float = THINNED_MM) -> Mesh:
    """A mesh of more than DENSE vertices thinned to what a fit can tell apart.  cell: in the mesh's unit.

    One that is nothing or immense by that unit, and so in another one, is left as it is.
    """
    if len(mesh.vertices_mm) <= DENSE or not len(mesh.triangles):
        return mesh
    cells = float(np.ptp(mesh.vertices_mm[mesh.triangles[:, 0]], axis=0).max()) / cell
    return thinned(mesh, cell) if FEWEST_CELLS < cells < MOST_CELLS else mesh


def thinned(mesh: Mesh, cell_mm: float) -> Mesh:
    """The mesh with the vertices in each cube of `cell_mm` made one, their mean.

    A surface that bends with radius r moves inwards by at most cell^2 / 8 r: 0.03 mm at 1.5 mm and 10 mm.
    """
    used = np.zeros(len(mesh.vertices_mm), np.bool_)
    used[mesh.triangles.ravel()] = True
    points = mesh.vertices_mm[used]
    cell = np.floor((points - points.min(axis=0)) / cell_mm).astype(np.int64)
    place = np.zeros(len(used), np.int64)
    place[used] = np.unique(cell @ np.array([1 << 40, 1 << 20, 1]), return_inverse=True)[1].reshape(-1)
    count = np.bincount(place[used])

    def means(values: NDArray[Any]) -> Floats:
        return np.stack([np.bincount(place[used], column) / count for column in values[used].T], axis=1)

    colors = None if mesh.colors is None else means(mesh.colors).round().astype(np.uint8)
    return Mesh(means(mesh.vertices_mm), _one_sheet(place[mesh.triangles]), colors=colors)


def _one_sheet(triangles: Ints64) -> Ints32:
    """(T', 3) of triangles (T, 3): without those that have lost a corner, and those of the same corners made one.

    Two that look opposite ways have been folded onto each other: nothing is left of them, and no edge comes of it.
    """
    t = triangles[(triangles != np.roll(triangles, 1, axis=1)).all(axis=1)]
    corners = np.sort(t, axis=1)
    first = (t == corners[:, :1]).argmax(axis=1)
    even = np.take_along_axis(t, (first[:, None] + 1) % 3, axis=1)[:, 0] == corners[:, 1]
    order = np.lexsort(corners.T[::-1])
    corners, sign = corners[order], np.where(even[order], 1, -1)
    start = np.flatnonzero(np.r_[True, (np.diff(corners, axis=0) != 0).any(axis=1)])
    net = np.add.reduceat(sign, start) if len(start) else sign
    kept = corners[start]
    kept = np.where((net < 0)[:, None], kept[:, [0, 2, 1]], kept)
    return np.asarray(kept[net != 0], dtype=np.int32)


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
    scan = thinned_if_dense(scan, THINNED_MM * unit)
    if landmarks_mm is None:
        landmarks_mm = landmarks_of_scan(scan, sides_deg=FEW_SIDES_DEG, height_px=SMALL_PX).points_mm
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
