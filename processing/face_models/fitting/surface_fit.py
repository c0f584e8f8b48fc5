"""A face model fitted to a scan of any triangulation: landmarks first, then point to plane with the prior."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from common.array_types import Bools, Floats, Ints32
from common.progress import Progress, no_progress
from processing.errors import MeshError, NoFace
from processing.face_models.face_model import FaceModel
from processing.face_models.fitting.face_fit import FaceFit
from processing.face_models.fitting.face_state import (
    FaceState,
    ModelPoints,
    identity_of,
    landmark_points,
    vertex_points,
    with_pose,
)
from processing.face_models.fitting.fit_figures import fit_figures
from processing.face_models.fitting.normal_equations import FitPrior, NormalEquations
from processing.face_models.fitting.robust import geman_mcclure, scatter
from processing.face_models.fitting.scan_matching import match_planes, prepared_scan
from processing.face_models.fitting.vertex_sampling import spread_vertices
from processing.geometry.mesh import Mesh
from processing.geometry.procrustes import Similarity, fit_motion_robust
from processing.landmarks.multi_pie_68 import GROUPS, Landmarks3d
from processing.registration.correspondence import TargetSurface
from processing.template.template import SKIN

INDEPENDENT_MM = 6.0  # residuals nearer to each other than this say the same
# Landmarks that lie farther from the mean face's than this, half and a quarter of them, are no face's.
MAX_MEDIAN_MM, MAX_UPPER_QUARTILE_MM = 12.0, 20.0
HEAD_SHARE = 0.3  # of the weight of skin outside the face: hair and collars lie there
LEAST_MATCHES = 150

_DEVIATION_MM = np.full(68, 2.0)  # by which landmarks are off
_DEVIATION_MM[list(GROUPS["jaw"])] = 10.0
_DEVIATION_MM[6:11] = 5.0
_DEVIATION_MM[[*GROUPS["right_brow"], *GROUPS["left_brow"]]] = 4.0


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

    prior: FitPrior = FitPrior()
    passes: tuple[FitPass, ...] = COARSE_TO_FINE
    landmark_iterations: int = 6
    floor_mm: float = 0.03  # the least deviation that residuals are taken to have


def fit_surface(
    model: FaceModel,
    scan: Mesh | TargetSurface,
    landmarks: Landmarks3d,
    *,
    settings: SurfaceFitSettings | None = None,
    progress: Progress = no_progress,
) -> FaceFit:
    """Identity, expression weights and pose for which the model's face lies on a scan.

    scan: mm, triangles facing outwards; whole heads, faces, with holes.  landmarks: on it, NaN where unknown.
    Raises MeshError and NoFace for a scan that cannot be a face, or does not belong to its landmarks.
    Maximum a posteriori by Gauss-Newton steps; point to plane after Chen and Medioni 1992.
    """
    return fit_surfaces(model, [scan], [landmarks], settings=settings, progress=progress)[0]


def fit_surfaces(
    model: FaceModel,
    scans: Sequence[Mesh | TargetSurface],
    landmarks: Sequence[Landmarks3d],
    *,
    settings: SurfaceFitSettings | None = None,
    progress: Progress = no_progress,
) -> list[FaceFit]:
    """`fit_surface` of several scans of one person: they share the identity."""
    settings = settings or SurfaceFitSettings()
    surfaces = [s if isinstance(s, TargetSurface) else prepared_scan(s) for s in scans]
    fitting = _Fitting(model, surfaces, [one.points_mm for one in landmarks], settings)
    progress(0.0, "by landmarks")
    state = fitting.start()
    for _ in range(settings.landmark_iterations):
        state = fitting.landmark_equations(state).step()
    total, done = sum(one.iterations for one in settings.passes), 0
    equations = fitting.landmark_equations(state)
    for one in settings.passes:
        fitting.look_at(one)
        for _ in range(one.iterations):
            progress(0.1 + 0.8 * done / total, "onto the scan")
            equations = fitting.surface_equations(state, one)
            state = equations.step()
            done += 1
    progress(0.9, "measuring")
    covariance = equations.score_covariance()
    return [fitting.result(state, scan, covariance) for scan in range(state.scans)]


class _Fitting:
    """One identity, its scans, and what of the model is looked at."""

    def __init__(
        self, model: FaceModel, surfaces: Sequence[TargetSurface], landmarks: Sequence[Floats], settings: SurfaceFitSettings
    ) -> None:
        self._model, self._surfaces, self._settings = model, surfaces, settings
        self._landmarks = landmarks
        self._marks = landmark_points(model)
        self._skin: Bools = model.topology.parts == SKIN
        self._skin &= ~model.topology.mesh.boundary_vertices
        self._some: Ints32 = np.zeros(0, np.int32)
        self._points: ModelPoints | None = None
        self._share = np.zeros(0)
        self._face: Bools = np.zeros(0, np.bool_)

    def start(self) -> FaceState:
        """The mean face where the landmarks are. Raises NoFace where they are no face's."""
        model = self._model
        own = model.topology.landmark_points(model.topology.mesh.vertices_mm)
        motions = []
        for points in self._landmarks:
            known = np.isfinite(points).all(axis=1)
            if known[17:].sum() < 20:
                raise NoFace(f"only {int(known.sum())} of 68 landmarks are known: too few to place a face")
            weight = 1 / _DEVIATION_MM[known]
            motion = fit_motion_robust(own[known], points[known], weight)
            off = np.linalg.norm(motion(own[known]) - points[known], axis=1)[np.flatnonzero(known) >= 17] / motion.scale
            if float(np.median(off)) > MAX_MEDIAN_MM or float(np.quantile(off, 0.75)) > MAX_UPPER_QUARTILE_MM:
                raise NoFace(
                    f"the landmarks are not those of a face: half of them lie over {np.median(off):.3g} mm, a quarter "
                    f"over {np.quantile(off, 0.75):.3g} mm from where the model's mean has them. Check their order "
                    "(Multi-PIE's 68)."
                )
            if not self._settings.prior.scale:
                motion = fit_motion_robust(own[known], points[known], weight, with_scale=False)
            motions.append(motion)
        nothing = np.zeros((len(motions), len(model.units)))
        return FaceState(np.zeros(model.identity_count), nothing, tuple(motions))

    def landmark_equations(self, state: FaceState, share: float = 1.0) -> NormalEquations:
        """Prior and landmarks alone."""
        equations = NormalEquations(state, self._settings.prior)
        for scan, points in enumerate(self._landmarks):
            known = np.isfinite(points).all(axis=1)
            motion = state.motions[scan]
            position, change = self._marks.derivatives(self._model, state.scores, state.weights[scan])
            off = (motion.scale * position + (motion.t - points) @ motion.R)[known]
            deviation = _DEVIATION_MM[known] * motion.scale
            weight = share / np.square(deviation) * geman_mcclure(np.linalg.norm(off, axis=1), deviation)
            rows = with_pose(position, change, motion.scale)[known]
            equations.add(scan, rows.reshape(-1, rows.shape[2]), off.ravel(), np.repeat(weight, 3))
        return equations

    def look_at(self, one: FitPass) -> None:
        """Choose the vertices of a pass."""
        topology = self._model.topology
        self._some = spread_vertices(topology.mesh.vertices_mm, self._skin, one.cell_mm)
        self._points = vertex_points(self._model, self._some)
        self._face = topology.face[self._some]
        self._share = np.where(self._face, 1.0, HEAD_SHARE) * min(1.0, (one.cell_mm / INDEPENDENT_MM) ** 2)

    def surface_equations(self, state: FaceState, one: FitPass) -> NormalEquations:
        """Prior, landmarks and planes of the scans. Raises MeshError where hardly anything meets the scan."""
        assert self._points is not None
        equations = self.landmark_equations(state, one.landmarks)
        identity = identity_of(self._model, state.scores)
        for scan, surface in enumerate(self._surfaces):
            motion = state.motions[scan]
            face = self._model.face(identity, state.weights[scan])
            normals = self._model.topology.mesh.with_vertices(face).vertex_normals[self._some] @ motion.R.T
            found = match_planes(
                surface, motion(face[self._some]), normals, max_mm=one.max_mm * motion.scale, min_cosine=one.min_cosine
            )
            good = found.good
            if good.sum() < LEAST_MATCHES / len(self._some) * min(len(self._some), 1000):
                raise MeshError(
                    f"the face met the scan at {int(good.sum())} of {len(good)} places: the landmarks do not belong to "
                    "this scan, or it is no face"
                )
            position, change = self._points.derivatives(self._model, state.scores, state.weights[scan])
            across = found.normals[good] @ motion.R  # in the model's frame
            off = motion.scale * position[good] + (motion.t - found.points_mm[good]) @ motion.R
            residual = np.einsum("nd,nd->n", across, off)
            weight = self._share[good] * self._certainty(residual, self._face[good], motion.scale)
            rows = np.einsum("nd,ndp->np", across, with_pose(position[good], change[good], motion.scale))
            equations.add(scan, rows, residual, weight)
        return equations

    def _certainty(self, residual: Floats, face: Bools, scale: float) -> Floats:
        """(N,) inverse variances of residuals (N,): of the face, and of the head around it, where hair and collars lie."""
        weight = np.zeros(len(residual))
        for part in (face, ~face):
            deviation = scatter(residual[part], self._settings.floor_mm * scale)
            weight[part] = geman_mcclure(np.abs(residual[part]), deviation) / deviation**2
        return weight

    def result(self, state: FaceState, scan: int, covariance: Floats) -> FaceFit:
        identity, weights, motion = identity_of(self._model, state.scores), state.weights[scan], state.motions[scan]
        vertices = motion(self._model.face(identity, weights))
        figures = fit_figures(self._model, vertices, self._surfaces[scan], self._landmarks[scan])
        spread = np.sqrt(np.diag(covariance).clip(0))
        return FaceFit(identity, state.scores, spread, weights, motion, vertices, figures)
