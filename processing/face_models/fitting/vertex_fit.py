"""A face model fitted to a mesh of its own topology: every vertex says where it belongs."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from common.array_types import Bools, Floats
from processing.errors import MeshError, ShapeError
from processing.face_models.face_model import FaceModel
from processing.face_models.fitting.face_fit import FaceFit, knowledge
from processing.face_models.fitting.face_state import (
    FaceState,
    ModelPoints,
    identity_of,
    point_rows,
    vertex_points,
)
from processing.face_models.fitting.fit_figures import distances
from processing.face_models.fitting.normal_equations import INDEPENDENT_MM, MEMBERS, FitPrior, NormalEquations
from processing.face_models.fitting.robust import geman_mcclure, scatter
from processing.face_models.fitting.vertex_sampling import spread_vertices
from processing.geometry.procrustes import fit_motion
from processing.template.template import SKIN

_LEAST_VERTICES = 50


@dataclass(frozen=True)
class VertexFitSettings:
    """How a mesh of the model's topology is fitted."""

    prior: FitPrior = MEMBERS
    robust: bool = False  # vertices far off count little
    cell_mm: float = 3.5  # one vertex in so much is looked at
    iterations: int = 8  # at most, before it is settled which expression weights are asked for, and after
    floor_mm: float = 0.01  # the least deviation that residuals are taken to have


def fit_vertices(
    model: FaceModel,
    vertices_mm: Floats,
    *,
    mask: Bools | None = None,
    settings: VertexFitSettings | None = None,
) -> FaceFit:
    """Identity, expression weights and pose for which the model's mesh lies nearest to one of the same topology.

    vertices_mm: (V, 3), any frame.  mask: (V,) the vertices that count; without: the skin.
    Raises ShapeError, and MeshError for vertices that are not finite, or too few.
    Maximum a posteriori by Gauss-Newton steps; the paper's section 5.2 fits the same model to key points.
    """
    return fit_meshes(model, [vertices_mm], mask=mask, settings=settings)[0]


def fit_meshes(
    model: FaceModel,
    meshes_mm: Sequence[Floats],
    *,
    mask: Bools | None = None,
    settings: VertexFitSettings | None = None,
) -> list[FaceFit]:
    """`fit_vertices` of several meshes of one person: they share the identity."""
    settings = settings or VertexFitSettings()
    counted = _counted(model, meshes_mm, mask)
    mean = model.topology.mesh.vertices_mm
    some = spread_vertices(mean, counted, settings.cell_mm)
    points = vertex_points(model, some)
    targets = [np.asarray(mesh, dtype=np.float64)[some] for mesh in meshes_mm]
    motions = tuple(fit_motion(mean[some], target, with_scale=settings.prior.scale) for target in targets)
    state = FaceState(np.zeros(model.identity_count), np.zeros((len(targets), len(model.units))), motions)
    share = min(1.0, (settings.cell_mm / INDEPENDENT_MM) ** 2)
    deviation = np.inf
    equations = NormalEquations(state, settings.prior, model.units)
    for settled in (False, True):
        for _ in range(settings.iterations):
            before = state
            equations, deviation = _equations(model, points, targets, state, deviation, share, settings, settled)
            state = equations.step()
            if _at_rest(before, state):
                break
    spread = np.sqrt(np.diag(equations.score_covariance()).clip(0))
    return [_fit(model, state, scan, meshes_mm[scan], counted, spread, deviation) for scan in range(state.scans)]


def _counted(model: FaceModel, meshes_mm: Sequence[Floats], mask: Bools | None) -> Bools:
    """(V,) the vertices that count. Raises ShapeError and MeshError."""
    count = model.vertex_count
    counted: Bools = model.topology.parts == SKIN if mask is None else np.asarray(mask, dtype=np.bool_)
    if counted.shape != (count,):
        raise ShapeError("mask", counted.shape, f"({count},)")
    for mesh in meshes_mm:
        if mesh.shape != (count, 3):
            raise ShapeError("vertices_mm", mesh.shape, f"({count}, 3), the topology of model {model.name}")
        if not np.isfinite(mesh[counted]).all():
            raise MeshError("the mesh has vertices that are not finite; mask them, or repair it")
    if counted.sum() < _LEAST_VERTICES:
        raise MeshError(f"{int(counted.sum())} vertices do not say who somebody is; {_LEAST_VERTICES} are needed")
    return counted


def _equations(
    model: FaceModel,
    points: ModelPoints,
    targets: Sequence[Floats],
    state: FaceState,
    deviation: float,
    share: float,
    settings: VertexFitSettings,
    settled: bool,
) -> tuple[NormalEquations, float]:
    """The equations at a state, and the residuals' deviation there, mm a coordinate."""
    lines = []
    for scan, target in enumerate(targets):
        motion = state.motions[scan]
        position, change = points.derivatives(model, state.scores, state.weights[scan])
        off = motion.scale * position + (motion.t - target) @ motion.R  # in the model's frame, at the scan's scale
        lines.append((off, point_rows(position, change, motion.scale)))
    every = np.concatenate([off.ravel() for off, _ in lines])
    if settings.robust:
        now = scatter(every, settings.floor_mm)
    else:
        now = max(float(np.sqrt(np.square(every).mean())), settings.floor_mm)
    deviation = min(deviation, now)
    equations = NormalEquations(state, settings.prior, model.units, settled=settled)
    for scan, (off, change) in enumerate(lines):
        weight = np.full(len(off), share / deviation**2)
        if settings.robust:
            weight = weight * geman_mcclure(np.linalg.norm(off, axis=1), np.sqrt(3.0) * deviation)
        rows = change.reshape(-1, change.shape[2])
        equations.add(scan, rows, off.ravel(), np.repeat(weight, 3))
    return equations, deviation


def _at_rest(before: FaceState, after: FaceState) -> bool:
    moved = np.abs(after.scores - before.scores).max()
    return bool(moved < 1e-4 and np.abs(after.weights - before.weights).max() < 1e-5)


def _fit(
    model: FaceModel,
    state: FaceState,
    scan: int,
    mesh_mm: Floats,
    counted: Bools,
    spread: Floats,
    deviation: float,
) -> FaceFit:
    identity, weights, motion = identity_of(model, state.scores), state.weights[scan], state.motions[scan]
    vertices = motion(model.face(identity, weights))
    off = np.linalg.norm(vertices - mesh_mm, axis=1)
    there = np.isfinite(off)
    figures = {
        "face": distances(off, counted & model.topology.face, there),
        "head": distances(off, counted, there),
        "residual_mm": deviation,
        **knowledge(state.scores, spread),
    }
    return FaceFit(identity, state.scores, spread, weights, motion, vertices, figures)
