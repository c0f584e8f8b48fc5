"""A face model fitted to scans of any triangulation: landmarks first, then point to plane with the prior."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from common.array_types import Bools, Floats, Ints32, Ints64
from common.progress import Progress, no_progress
from processing.errors import MeshError, NoFace
from processing.face_models.face_model import FaceModel
from processing.face_models.fitting.face_fit import FaceFit, knowledge
from processing.face_models.fitting.face_state import (
    FaceState,
    ModelPoints,
    identity_of,
    landmark_points,
    plane_rows,
    point_rows,
    vertex_points,
)
from processing.face_models.fitting.fit_figures import fit_figures
from processing.face_models.fitting.normal_equations import INDEPENDENT_MM, MEMBERS, FitPrior, NormalEquations
from processing.face_models.fitting.robust import geman_mcclure, scatter
from processing.face_models.fitting.scan_matching import match_planes
from processing.face_models.fitting.scan_placing import LANDMARK_DEVIATION_MM, PlacedScan, place_scan
from processing.face_models.fitting.vertex_sampling import spread_vertices
from processing.geometry.mesh import Mesh
from processing.geometry.procrustes import IDENTITY
from processing.geometry.vertex_rings import dilated
from processing.scan_quality.apertures import APERTURE_PAIRS
from processing.template.template import EYE, MOUTH_INTERIOR, SKIN

HEAD_SHARE = 0.2  # of the weight of skin outside the face: hair and collars lie there
APERTURE_MM = 0.7  # by which the openings of mouth and lids, as landmarks have them, are off: less than any one of them
EDGE_SHARE = (
    0.2  # of the weight of skin beside the mouth's inside and the eyes: it turns inwards, where nothing was seen
)
EDGE_RINGS = 2
BELIEVED_MM = 2.5  # so far from the scan a match counts, however well the rest lies on it
LEAST_MATCHED = 0.15  # of the face must meet the scan
FARTHEST_MM = 6.0  # from the scan half of the face may lie


@dataclass(frozen=True)
class FitPass:
    """Some iterations of matching and solving."""

    cell_mm: float  # one vertex in so much is looked at
    max_mm: float  # distance beyond which a match does not count
    min_cosine: float  # between the normals of the model and the scan
    landmarks: float  # their weight
    iterations: int


COARSE_TO_FINE = (
    FitPass(cell_mm=9.0, max_mm=25.0, min_cosine=0.3, landmarks=1.0, iterations=4),
    FitPass(cell_mm=6.0, max_mm=12.0, min_cosine=0.5, landmarks=0.6, iterations=4),
    FitPass(cell_mm=3.5, max_mm=8.0, min_cosine=0.6, landmarks=0.3, iterations=6),
)


@dataclass(frozen=True)
class SurfaceFitSettings:
    """How a scan is fitted."""

    prior: FitPrior = MEMBERS
    passes: tuple[FitPass, ...] = COARSE_TO_FINE
    landmark_iterations: int = 6
    floor_mm: float = 0.03  # the least deviation that residuals are taken to have


def fit_surface(
    model: FaceModel,
    scan: Mesh,
    landmarks_mm: Floats | None = None,
    *,
    settings: SurfaceFitSettings | None = None,
    progress: Progress = no_progress,
) -> FaceFit:
    """Identity, expression weights and pose for which the model's face lies on a scan.

    scan: mm, triangles facing outwards; a face, a whole head, with holes.  landmarks_mm: (68, 3) Multi-PIE, NaN where
    unknown; None: found on the scan, which then lies in the head frame.
    Raises MeshError and NoFace for a scan that cannot be a face, or does not belong to its landmarks, and for a fit
    that cannot be trusted.
    Maximum a posteriori by Gauss-Newton steps; point to plane after Chen and Medioni 1992.
    """
    return fit_surfaces(model, [scan], [landmarks_mm], settings=settings, progress=progress)[0]


def fit_surfaces(
    model: FaceModel,
    scans: Sequence[Mesh],
    landmarks_mm: Sequence[Floats | None],
    *,
    settings: SurfaceFitSettings | None = None,
    progress: Progress = no_progress,
) -> list[FaceFit]:
    """`fit_surface` of several scans of one person: they share the identity."""
    settings = settings or SurfaceFitSettings()
    placed = []
    for number, (scan, points) in enumerate(zip(scans, landmarks_mm, strict=True)):
        progress(0.3 * number / len(scans), "placing the scan")
        placed.append(place_scan(model, scan, points, scale=settings.prior.scale))
    fitting = _Fitting(model, placed, settings)
    progress(0.3, "by landmarks")
    state = fitting.start()
    for _ in range(settings.landmark_iterations):
        state = fitting.landmark_equations(state).step()
    total, done = sum(one.iterations for one in settings.passes), 0
    equations = fitting.landmark_equations(state)
    for one in settings.passes:
        fitting.look_at(one)
        for _ in range(one.iterations):
            progress(0.35 + 0.6 * done / total, "onto the scan")
            equations = fitting.surface_equations(state, one)
            state = equations.step()
            done += 1
    progress(0.95, "measuring")
    deviation = np.sqrt(np.diag(equations.score_covariance()).clip(0))
    return [fitting.result(state, scan, deviation) for scan in range(state.scans)]


def _open_pairs(known: Bools) -> tuple[Ints64, Ints64]:
    """Numbers, among the known landmarks, of those above and below each opening."""
    place = np.cumsum(known) - 1
    pairs = np.array([pair for pairs in APERTURE_PAIRS.values() for pair in pairs])
    pairs = pairs[known[pairs].all(axis=1)]
    return place[pairs[:, 0]], place[pairs[:, 1]]


class _Fitting:
    """One identity, its scans in the model's frame, and what of the model is looked at."""

    def __init__(self, model: FaceModel, placed: Sequence[PlacedScan], settings: SurfaceFitSettings) -> None:
        self._model, self._placed, self._settings = model, placed, settings
        self._marks = landmark_points(model)
        self._skin: Bools = (model.topology.parts == SKIN) & ~model.topology.mesh.boundary_vertices
        adjacency = model.topology.mesh.adjacency()
        edge = dilated(adjacency, np.isin(model.topology.parts, (EYE, MOUTH_INTERIOR)), EDGE_RINGS)
        self._weight = np.where(model.topology.face, 1.0, HEAD_SHARE) * np.where(edge, EDGE_SHARE, 1.0)
        self._some: Ints32 = np.zeros(0, np.int32)
        self._points: ModelPoints = self._marks
        self._face: Bools = np.zeros(0, np.bool_)
        self._share = np.zeros(0)

    def start(self) -> FaceState:
        """The members' mean, where the landmarks are."""
        nothing = np.zeros((len(self._placed), len(self._model.units)))
        return FaceState(np.zeros(self._model.identity_count), nothing, (IDENTITY,) * len(self._placed))

    def landmark_equations(self, state: FaceState, share: float = 1.0, settled: bool = False) -> NormalEquations:
        """Prior and landmarks alone. share: of the landmarks' weight.  settled: as of NormalEquations."""
        equations = NormalEquations(state, self._settings.prior, self._model.units, settled=settled)
        for scan, placed in enumerate(self._placed):
            known: Bools = np.asarray(np.isfinite(placed.landmarks_mm).all(axis=1))
            motion = state.motions[scan]
            position, change = self._marks.derivatives(self._model, state.scores, state.weights[scan])
            off = (motion.scale * position + (motion.t - placed.landmarks_mm) @ motion.R)[known]
            deviation = LANDMARK_DEVIATION_MM[known]
            weight = share / np.square(deviation) * geman_mcclure(np.linalg.norm(off, axis=1), deviation)
            rows = point_rows(position, change, motion.scale)[known]
            equations.add(scan, rows.reshape(-1, rows.shape[2]), off.ravel(), np.repeat(weight, 3))
            upper, lower = _open_pairs(known)
            rows, off = rows[upper] - rows[lower], off[upper] - off[lower]
            equations.add(scan, rows.reshape(-1, rows.shape[2]), off.ravel(), np.full(off.size, APERTURE_MM**-2))
        return equations

    def look_at(self, one: FitPass) -> None:
        """Choose the vertices of a pass."""
        topology = self._model.topology
        self._some = spread_vertices(topology.mesh.vertices_mm, self._skin, one.cell_mm)
        self._points = vertex_points(self._model, self._some)
        self._face = topology.face[self._some]
        self._share = self._weight[self._some] * min(1.0, (one.cell_mm / INDEPENDENT_MM) ** 2)

    def surface_equations(self, state: FaceState, one: FitPass) -> NormalEquations:
        """Prior, landmarks and planes of the scans. Raises MeshError where hardly anything meets the scan."""
        equations = self.landmark_equations(state, one.landmarks, one is self._settings.passes[-1])
        identity = identity_of(self._model, state.scores)
        for scan, placed in enumerate(self._placed):
            motion = state.motions[scan]
            whole = self._model.topology.mesh.with_vertices(self._model.face(identity, state.weights[scan]))
            found = match_planes(
                placed.surface,
                motion(whole.vertices_mm[self._some]),
                whole.vertex_normals[self._some] @ motion.R.T,
                max_mm=one.max_mm,
                min_cosine=one.min_cosine,
            )
            good = found.good
            if good[self._face].mean() < LEAST_MATCHED:
                raise MeshError(
                    f"{100 * good[self._face].mean():.0f} % of the face met the scan: the landmarks do not belong to "
                    "this scan, it is no face, or hardly any of it is there"
                )
            position, change = self._points.derivatives(self._model, state.scores, state.weights[scan])
            across = found.normals[good] @ motion.R  # in the model's frame
            off = motion.scale * position[good] + (motion.t - found.points_mm[good]) @ motion.R
            residual = np.einsum("nd,nd->n", across, off)
            rows = plane_rows(position[good], change[good], motion.scale, across)
            equations.add(scan, rows, residual, self._share[good] * self._certainty(residual, self._face[good]))
        return equations

    def _certainty(self, residual: Floats, face: Bools) -> Floats:
        """(N,) inverse variances of residuals (N,): of the face, and of the head around it with hair and collars."""
        weight = np.zeros(len(residual))
        for part in (face, ~face):
            deviation = scatter(residual[part], self._settings.floor_mm)
            weight[part] = geman_mcclure(np.abs(residual[part]), deviation, BELIEVED_MM) / deviation**2
        return weight

    def result(self, state: FaceState, scan: int, deviation: Floats) -> FaceFit:
        """Raises NoFace where half of the face lies nowhere near the scan."""
        placed, weights, motion = self._placed[scan], state.weights[scan], state.motions[scan]
        identity = identity_of(self._model, state.scores)
        here = motion(self._model.face(identity, weights))
        figures = fit_figures(self._model, here, placed.surface, placed.landmarks_mm)
        median = figures["face"]["median_mm"]
        if median is None or median > FARTHEST_MM:
            raise NoFace(
                "the model does not come to lie on the scan"
                + ("" if median is None else f": half of the face is over {median:.3g} mm away")
                + ". It is no face, its landmarks are another's, or the model knows nobody like this"
            )
        figures |= knowledge(state.scores, deviation)
        whole = placed.motion.after(motion)
        return FaceFit(identity, state.scores, deviation, weights, whole, placed.motion(here), figures)
