"""The places of the detector's points carried from the built-in template to a model of another."""

import numpy as np

from common.array_types import Floats
from processing.errors import DataError
from processing.face_models.face_model import FaceModel
from processing.geometry.mesh import Surface, submesh
from processing.geometry.procrustes import fit_motion
from processing.single_view.fitting.landmark_places import LandmarkPlaces
from processing.template.template import SKIN

_FAR_MM = 6.0  # from the other template's skin: carried over in vain
_MOST_FAR = 0.05  # share of the points that may be so


def places_on(model: FaceModel, places: LandmarkPlaces) -> LandmarkPlaces | None:
    """The places on a model's topology: the same on the same one, else carried over by the 68 landmarks of both.

    A thin-plate spline over the landmarks brings the built-in template's mean face to the model's; each place is the
    nearest of the model's skin. None where that fails: a template with landmarks or a skin that are not like these.
    """
    topology = model.topology
    if topology.topology == places.topology:
        return places
    try:
        own = topology.landmark_points(topology.mesh.vertices_mm)
        points = _warped(places.landmarks_mm, own, places.average_mm)
        keep = (topology.parts == SKIN)[topology.mesh.triangles].all(axis=1)
        skin, _ = submesh(topology.mesh, keep)
        found = Surface(skin).closest(points)
    except (DataError, np.linalg.LinAlgError, ValueError):
        return None
    if (found.distance_mm > _FAR_MM).mean() > _MOST_FAR:
        return None
    shares = found.barycentric.clip(0, 1)
    return LandmarkPlaces(
        topology.topology, np.flatnonzero(keep)[found.triangle].astype(np.int32),
        shares / shares.sum(axis=1, keepdims=True), found.points_mm, own, places.bias, places.deviation,
    )  # fmt: skip


def _warped(source: Floats, target: Floats, points: Floats) -> Floats:
    """Points (N, 3) moved as landmarks (68, 3) are."""
    from scipy.interpolate import RBFInterpolator  # here: models of the built-in template do without

    motion = fit_motion(source, target)
    spline = RBFInterpolator(motion(source), target - motion(source), kernel="thin_plate_spline", smoothing=1.0)
    moved = motion(points)
    return np.asarray(moved + spline(moved))
