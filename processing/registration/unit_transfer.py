"""Face units of any template: the built-in head is fitted to it and its units are carried over."""

import numpy as np
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from common.array_types import Bools, Floats, Ints64
from common.progress import Progress, no_progress, part
from processing.errors import DataError
from processing.geometry.deformation_transfer import DeformationTransfer
from processing.geometry.mesh import Mesh, submesh
from processing.geometry.procrustes import fit_motion
from processing.landmarks.multi_pie_68 import Landmarks3d
from processing.registration.register import register_neutral
from processing.template.builtin_template import default_template
from processing.template.face_units import (
    ARKIT_UNITS,
    FaceUnits,
    FaceUnitsError,
    builtin_units,
    is_builtin,
    topology_of,
)
from processing.template.template import EYE, SKIN, Template

_STILL_MM = 0.02
_FAR_MM = 12.0  # a place farther than this from the fitted head's does not follow it
_CANDIDATES, _NEAREST = 32, 4
_TURNED_AWAY_MM = 8.0  # a place that faces the other way (the other lip) counts as so much farther
# How far eyeballs turn, degrees about the head's x and y, of the left eye.
_GAZE_DEG = {
    "eyeLookUp": (-25.0, 0.0), "eyeLookDown": (30.0, 0.0), "eyeLookIn": (0.0, -30.0), "eyeLookOut": (0.0, 30.0),
}  # fmt: skip
_CHIN, _INNER_LIPS, _CHIN_MM = 8, (62, 66), 15.0


def units_for(template: Template, *, progress: Progress = no_progress) -> FaceUnits:
    """ARKit's 52 units in a template's topology.

    The built-in head's own where the template was made of it. Otherwise the built-in head is registered to the
    template's skin by its 68 landmarks, takes its units along by deformation gradients, and each vertex of the template
    moves as the place of the fitted head does that it lies on. Eyeballs and teeth of the template's own move rigidly.
    Raises FaceUnitsError for a template that no face can be fitted to.
    """
    if is_builtin(template):
        return builtin_units(template)
    builtin = default_template()
    landmarks = template.landmark_points(template.mesh.vertices_mm)
    skin = (template.parts == SKIN)[template.mesh.triangles].all(axis=1)
    scan, _ = submesh(Mesh(template.mesh.vertices_mm, template.mesh.triangles), skin)
    given = Landmarks3d.of_points(landmarks)
    try:
        fitted = register_neutral(builtin, scan, given, progress=part(progress, 0.0, 0.7)).vertices_mm
    except DataError as error:
        raise FaceUnitsError(f"the built-in head cannot be fitted to template {template.name}: {error}") from error
    progress(0.7, "carrying units over")
    source = builtin.mesh.vertices_mm
    offsets = builtin_units(builtin).offsets_mm.astype(np.float64)
    still = np.linalg.norm(offsets, axis=2).max(axis=0) < _STILL_MM
    to_fitted = fit_motion(source, fitted)
    transfer = DeformationTransfer(builtin.mesh.with_vertices(fitted), (still & (builtin.parts == SKIN)).astype(float))
    moved = transfer.of_units(to_fitted(source), to_fitted.scale * offsets @ to_fitted.R.T)
    progress(0.9, "onto the template")
    carried = _carried(template, builtin, fitted, moved)
    return FaceUnits(ARKIT_UNITS, carried.astype(np.float32), topology_of(template))


def _carried(template: Template, builtin: Template, fitted: Floats, moved: Floats) -> Floats:
    """(52, V, 3) the offsets `moved` (52, N, 3) of the fitted head (N, 3), at the template's vertices."""
    mesh = template.mesh
    _, piece = connected_components(mesh.adjacency(), directed=False)
    skin = template.parts == SKIN
    with_skin = np.isin(piece, np.unique(piece[skin]))
    out = np.zeros((len(moved), len(piece), 3))
    normals, fitted_normals = mesh.vertex_normals, builtin.mesh.with_vertices(fitted).vertex_normals
    for own, source in (
        (skin, builtin.parts == SKIN),
        (with_skin & ~skin, np.ones(len(fitted), np.bool_)),
    ):
        at, share = _nearest(mesh.vertices_mm[own], normals[own], fitted[source], fitted_normals[source])
        for number, unit in enumerate(moved):
            out[number, own] = np.einsum("nk,nkd->nd", share, unit[source][at])
    for one in np.unique(piece[~with_skin]):
        _move_loose(out, template, np.flatnonzero(piece == one), fitted, moved)
    return out


def _nearest(places: Floats, normals: Floats, of: Floats, of_normals: Floats) -> tuple[Ints64, Floats]:
    """The few of (N, 3) vertices nearest to each of (n, 3) places, (n, k), and their shares, which vanish far away."""
    distance, at = cKDTree(of).query(places, k=min(_CANDIDATES, len(of)))
    away = 1 - np.einsum("nd,nkd->nk", normals, of_normals[at])
    cost = np.square(distance) + _TURNED_AWAY_MM**2 * away / 2
    best = np.argsort(cost, axis=1)[:, :_NEAREST]
    at, cost, distance = (np.take_along_axis(a, best, axis=1) for a in (at, cost, distance))
    share = 1 / (cost + 0.05)
    share /= share.sum(axis=1, keepdims=True)
    near = np.clip(2 - distance[:, 0] / _FAR_MM, 0, 1)
    return np.asarray(at, dtype=np.int64), share * near[:, None]


def _move_loose(out: Floats, template: Template, piece: Ints64, fitted: Floats, moved: Floats) -> None:
    """Offsets (52, V, 3) of a loose piece: eyeballs turn with the gaze, what is below the lips goes with the jaw."""
    rest = template.mesh.vertices_mm[piece]
    centre = rest.mean(axis=0)
    landmarks = template.landmark_points(template.mesh.vertices_mm)
    if (template.parts[piece] == EYE).mean() > 0.5:
        left = centre[0] > landmarks[_CHIN, 0]
        for stem, (x, y) in _GAZE_DEG.items():
            turn = Rotation.from_euler("xy", [x, y if left else -y], degrees=True)
            number = ARKIT_UNITS.index(f"{stem}{'Left' if left else 'Right'}")
            out[number, piece] = turn.apply(rest - centre) + centre - rest
    elif centre[1] < landmarks[list(_INNER_LIPS), 1].mean():
        chin: Bools = np.linalg.norm(fitted - landmarks[_CHIN], axis=1) < _CHIN_MM
        for number, unit in enumerate(ARKIT_UNITS):
            if unit.startswith("jaw") and chin.sum() >= 3:
                motion = fit_motion(fitted[chin], fitted[chin] + moved[number, chin], with_scale=False)
                out[number, piece] = motion(rest) - rest
