"""Checks of a scan before and after registration: units, orientation, completeness; each refusal says what is wrong."""

import numpy as np
from scipy.spatial import cKDTree

from common.array_types import Bools, Floats
from processing.errors import MeshError, NoFace
from processing.geometry.mesh import Mesh
from processing.geometry.units import guess_unit
from processing.landmarks.multi_pie_68 import Landmarks3d
from processing.registration.correspondence import TargetSurface
from processing.template.template import SKIN, Template

EYE_CORNERS_APART_MM = (55.0, 140.0)
ON_SCAN_MM = 15.0
_USUAL_MM = 90.0
_FACE_REACH_MM = 25.0  # skin within this of a landmark (the jaw's left aside) is the face
_THERE_MM = 6.0
LEAST_SHARE = 0.55  # of each half of the face must have a scan


def checked_scan(given: Mesh | TargetSurface, landmarks: Landmarks3d) -> TargetSurface:
    """The scan made ready, or the reason why it is no face that these landmarks belong to. Raises MeshError, NoFace."""
    scan = given.mesh if isinstance(given, TargetSurface) else given
    if not np.isfinite(scan.vertices_mm).all():
        raise MeshError("the scan has vertices that are not finite")
    known = landmarks.known
    if known[17:].sum() < 20:
        raise NoFace(f"only {int(known.sum())} of 68 landmarks are known: too few to place a face")
    left, right = landmarks.points_mm[45], landmarks.points_mm[36]
    apart = float(np.linalg.norm(left - right))
    if np.isfinite(apart) and not EYE_CORNERS_APART_MM[0] <= apart <= EYE_CORNERS_APART_MM[1]:
        raise MeshError(
            f"the outer corners of the eyes lie {apart:.4g} mm apart; a face has about {_USUAL_MM:.0f}. "
            f"Give scan, landmarks and cameras in millimetres{guess_unit(apart, _USUAL_MM)}."
        )
    if not len(scan.triangles):
        raise MeshError("the scan has no triangles")
    surface = TargetSurface.of(given)
    inner = known & (np.arange(68) >= 17)
    off = surface.surface.closest(landmarks.points_mm[inner])
    # A quarter: where half of the face is missing, its landmarks have nothing to lie on.
    if float(np.quantile(off.distance_mm, 0.25)) > ON_SCAN_MM:
        size = np.ptp(scan.vertices_mm, axis=0)
        raise MeshError(
            f"the landmarks lie {np.median(off.distance_mm):.3g} mm from the scan ({size[0]:.3g} x {size[1]:.3g} x "
            f"{size[2]:.3g} mm{guess_unit(float(size.max()), 280.0)}): they do not belong together, or their units or "
            "frames differ (mm, head frame)"
        )
    out_of_face, up = _directions(landmarks)
    if up is not None and up[1] < 0:
        raise MeshError(
            "the head is upside down: its eyes lie below its mouth. Turn scan and cameras to the head frame "
            "(y up, z out of the face)."
        )
    if out_of_face is not None:
        on_scan = off.distance_mm <= ON_SCAN_MM
        facing = surface.facing(off.triangle[on_scan], np.broadcast_to(out_of_face, (int(on_scan.sum()), 3)))
        if float(np.median(facing)) < -0.2:
            raise MeshError("the scan is inside out: its triangles are clockwise seen from outside; turn them over")
    return surface


def _directions(landmarks: Landmarks3d) -> tuple[Floats | None, Floats | None]:
    """(3,) unit out of the face, and up, by eye corners and mouth corners; None where they are unknown."""
    right, left, mouth_r, mouth_l = (landmarks.points_mm[k] for k in (36, 45, 48, 54))
    across, up = left - right + mouth_l - mouth_r, right + left - mouth_r - mouth_l
    out, height = np.cross(across, up), float(np.linalg.norm(up))
    length = float(np.linalg.norm(out))
    if not np.isfinite(length) or length <= 0 or height <= 0:
        return None, None
    return np.asarray(out / length), np.asarray(up / height)


def require_complete_scan(template: Template, vertices_mm: Floats, scan: TargetSurface) -> None:
    """Raises MeshError when a half of the registered face (V, 3) lies where the scan is not."""
    rest = template.mesh.vertices_mm
    landmarks = template.landmark_points(rest)
    unit = float(np.linalg.norm(landmarks[45] - landmarks[36])) / _USUAL_MM
    near = cKDTree(landmarks[17:]).query(rest)[0] < _FACE_REACH_MM * unit
    face = np.flatnonzero((template.parts == SKIN) & (template.weights > 0.5) & near)
    if not len(face):
        return
    found = scan.surface.closest(vertices_mm[face])
    there: Bools = ~scan.at_edge[found.triangle] & (found.distance_mm < _THERE_MM)
    middle = landmarks[17:].mean(axis=0)
    x, y = rest[face, 0] - middle[0], rest[face, 1] - middle[1]
    halves = {"subject's left": x > 0, "subject's right": x < 0, "upper": y > 0, "lower": y < 0}
    share = {name: float(there[half].mean()) for name, half in halves.items() if half.any()}
    worst = min(share, key=lambda name: share[name])
    if share[worst] < LEAST_SHARE:
        raise MeshError(
            f"the {worst} half of the face is missing from the scan: {100 * share[worst]:.0f} % of it is there. "
            "Reconstruct the take again with the cameras that see it, or leave the take out."
        )
