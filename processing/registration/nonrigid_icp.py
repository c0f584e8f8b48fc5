"""Optimal-step non-rigid ICP of a template onto a scan (Amberg, Romdhani and Vetter 2007).

Two passes. The first carries the template over with a deformation graph, stiffness falling step by step, landmarks
fading as the surface takes over. The second moves single vertices to where their normals meet the scan, smoothly.
"""

from dataclasses import dataclass, field

import numpy as np
from scipy import sparse

from common.array_types import Bools, Floats, Ints32
from common.progress import Progress, no_progress
from processing.errors import MeshError, ShapeError
from processing.geometry.mesh import Mesh
from processing.geometry.sparse_cholesky import Factor, SmoothField, factored, graph_laplacian
from processing.geometry.vertex_rings import dilated
from processing.mesh_repair.fold_repair import repair_folds
from processing.mesh_repair.mesh_defects import flipped_triangles
from processing.registration.correspondence import TargetSurface, downweight_far
from processing.registration.deformation_graph import DeformationGraph
from processing.registration.eyeballs import settle_lids
from processing.registration.lid_margins import NO_LIDS, RIM_WEIGHT, LidFit

# Vertices of less data weight than this (eyes, the rim) are carried by the graph and never move one by one.
LEAST_DATA_WEIGHT = 0.5
DAMPING = 1e-5  # what holds a vertex without a match


@dataclass(frozen=True)
class IcpStep:
    """One step of the graph pass, from stiff to soft."""

    stiffness: float  # relative to a data term of one per mm^2 and vertex
    landmarks: float  # their weight
    max_mm: float  # distance beyond which a match does not count
    min_cosine: float  # between the normals of a vertex and its match
    iterations: int
    every: int = 1  # use one vertex in so many


COARSE_TO_FINE = (
    IcpStep(stiffness=300.0, landmarks=20.0, max_mm=40.0, min_cosine=0.3, iterations=3, every=3),
    IcpStep(stiffness=60.0, landmarks=10.0, max_mm=30.0, min_cosine=0.3, iterations=3, every=3),
    IcpStep(stiffness=15.0, landmarks=5.0, max_mm=20.0, min_cosine=0.4, iterations=3, every=2),
    IcpStep(stiffness=4.0, landmarks=1.5, max_mm=16.0, min_cosine=0.5, iterations=3),
    IcpStep(stiffness=1.2, landmarks=0.4, max_mm=12.0, min_cosine=0.5, iterations=3),
    IcpStep(stiffness=0.4, landmarks=0.1, max_mm=10.0, min_cosine=0.5, iterations=2),
)


@dataclass(frozen=True)
class NonRigidSettings:
    """Schedule of a fit: a pass of the deformation graph, then one of single vertices."""

    steps: tuple[IcpStep, ...] = COARSE_TO_FINE  # the graph pass
    hops: int = 3  # edges between the graph's nodes
    smoothness: tuple[float, ...] = (5.0, 2.0, 1.0, 0.3, 0.1, 0.05, 0.05)  # of the vertex pass, one iteration each
    vertex_max_mm: float = 8.0  # how far along its normal a vertex may move
    vertex_min_cosine: float = 0.5  # between the normals of a vertex and its match
    floor_mm: float = 4.0  # distances that keep weight: so far an ear's rim may stand from the template's


@dataclass(frozen=True, eq=False)
class LandmarkConstraints:
    """Points on the template's surface whose positions are known: a soft constraint of the fit."""

    corners: Ints32  # (L, 3) vertices of the triangle that holds each point
    barycentric: Floats  # (L, 3)
    points_mm: Floats  # (L, 3) where they belong
    weights: Floats  # (L,)
    lids: LidFit = NO_LIDS

    def rows(self, vertices: int) -> sparse.csr_array:
        """(L, V): rows @ vertices = the constrained points."""
        each = np.repeat(np.arange(len(self.corners)), 3)
        data = (self.barycentric.ravel(), (each, self.corners.ravel()))
        return sparse.csr_array(data, shape=(len(self.corners), vertices))


NO_LANDMARKS = LandmarkConstraints(np.zeros((0, 3), np.int32), np.zeros((0, 3)), np.zeros((0, 3)), np.zeros(0))


@dataclass(frozen=True, eq=False)
class NonRigidFit:
    """A mesh fitted to a scan."""

    vertices_mm: Floats  # (V, 3)
    matched: Bools  # (V,) which vertices met the scan in the last iteration
    flipped: int  # triangles that turned over and were relaxed
    history_mm: tuple[float, ...] = field(default=())  # median distance by iteration


def fit_nonrigid(
    source: Mesh,
    scan: TargetSurface,
    *,
    weights: Floats | None = None,
    sheets: Bools | None = None,
    landmarks: LandmarkConstraints = NO_LANDMARKS,
    settings: NonRigidSettings | None = None,
    graph: DeformationGraph | None = None,
    progress: Progress = no_progress,
) -> NonRigidFit:
    """Deform `source` (one connected mesh, roughly in place) onto the scan.

    weights: (V,) in [0, 1], the data term's weight of each vertex; 0 follows its neighbours.
    sheets: (V,) as in `repair_folds`.
    Raises MeshError when the scan lies nowhere near the source.
    """
    settings = NonRigidSettings() if settings is None else settings
    count = len(source.vertices_mm)
    data_weights = np.ones(count) if weights is None else np.asarray(weights, dtype=np.float64)
    if data_weights.shape != (count,):
        raise ShapeError("weights", data_weights.shape, f"({count},)")
    if graph is None:
        graph = DeformationGraph(source, settings.hops)
    else:
        graph.rebase(source.vertices_mm)
    total = sum(step.iterations for step in settings.steps) + len(settings.smoothness)
    vertices, history = _graph_pass(source, scan, data_weights, landmarks, settings, graph, progress, total)
    fit = _vertex_pass(source.with_vertices(vertices), scan, data_weights, landmarks, settings, progress, total)
    vertices, settled = settle_lids(fit.vertices_mm, landmarks.lids, scan.mesh)
    vertices, repaired = repair_folds(source, vertices, None if sheets is None else sheets & ~settled, settled)
    return NonRigidFit(vertices, fit.matched & ~repaired, fit.flipped, (*history, *fit.history_mm))


def _graph_pass(
    source: Mesh,
    scan: TargetSurface,
    data_weights: Floats,
    landmarks: LandmarkConstraints,
    settings: NonRigidSettings,
    graph: DeformationGraph,
    progress: Progress,
    total: int,
) -> tuple[Floats, list[float]]:
    every_active = np.flatnonzero(data_weights > 0)
    landmark_basis = sparse.csr_array(landmarks.rows(len(data_weights)) @ graph.basis)
    landmark_weights = sparse.diags_array(landmarks.weights) if len(landmarks.weights) else None
    density = len(every_active) / max(len(graph.nodes), 1)
    deformation = graph.rest
    vertices = source.vertices_mm
    history: list[float] = []
    factor: Factor | None = None
    for step in settings.steps:
        active = every_active[:: step.every]
        for _ in range(step.iterations):
            progress(len(history) / total, f"fitting, stiffness {step.stiffness:g}")
            current = source.with_vertices(vertices)
            matches = scan.nearest(
                vertices[active], current.vertex_normals[active], max_mm=step.max_mm, min_cosine=step.min_cosine
            )
            matches = landmarks.lids.sided(active, matches)
            matches = downweight_far(matches, vertices[active], max(settings.floor_mm, step.max_mm / 3))
            if not matches.weight.any() and not len(landmarks.weights):
                raise MeshError(
                    "the scan lies nowhere near the template: give landmarks, or check units (mm) and frame"
                )
            weight, goal = np.zeros(len(data_weights)), np.zeros_like(vertices)
            weight[active] = step.every * data_weights[active] * matches.weight
            goal[active] = matches.points_mm
            weight[landmarks.lids.rims], goal[landmarks.lids.rims] = RIM_WEIGHT, landmarks.lids.rims_mm
            matrix = graph.weigh(weight) + step.stiffness * graph.stiffness
            right = graph.basis.T @ (weight[:, None] * goal)
            if landmark_weights is not None:
                strength = step.landmarks * density * landmark_weights
                matrix = matrix + landmark_basis.T @ strength @ landmark_basis
                right = right + landmark_basis.T @ (strength @ landmarks.points_mm)
            hold = 1e-6 * sparse.diags_array(matrix.diagonal() + 1e-6)
            factor = factored(matrix + hold, factor)
            deformation = factor.solve(right + hold @ deformation)
            vertices = np.asarray(graph.basis @ deformation)
            history.append(_median_mm(vertices[active], matches.points_mm, matches.weight))
    return vertices, history


def _median_mm(points: Floats, goals: Floats, weight: Floats) -> float:
    used = weight > 0
    return float(np.median(np.linalg.norm(points[used] - goals[used], axis=1))) if used.any() else float("nan")


def _vertex_pass(
    start: Mesh,
    scan: TargetSurface,
    data_weights: Floats,
    landmarks: LandmarkConstraints,
    settings: NonRigidSettings,
    progress: Progress,
    total: int,
) -> NonRigidFit:
    """Minimise sum w |x - goal|^2 + smoothness sum over edges |d_i - d_j|^2 for displacements d = x - start."""
    count = len(data_weights)
    active = np.flatnonzero(data_weights >= LEAST_DATA_WEIGHT)
    rims = landmarks.lids.rims
    field = SmoothField(graph_laplacian(start.edges, count))
    vertices = start.vertices_mm
    matched = np.zeros(count, dtype=np.bool_)
    history: list[float] = []
    flipped = 0
    data_weights = data_weights.copy()
    for number, smoothness in enumerate(settings.smoothness):
        progress((total - len(settings.smoothness) + number) / total, "settling on the surface")
        normals = start.with_vertices(vertices).vertex_normals
        matches = scan.along_normals(
            vertices[active], normals[active], max_mm=settings.vertex_max_mm, min_cosine=settings.vertex_min_cosine
        )
        matches = downweight_far(landmarks.lids.sided(active, matches), vertices[active], settings.floor_mm)
        weight, goal = np.zeros(count), np.zeros_like(vertices)
        weight[active] = data_weights[active] * matches.weight
        goal[active] = matches.points_mm - start.vertices_mm[active]
        weight[rims], goal[rims] = RIM_WEIGHT, landmarks.lids.rims_mm - start.vertices_mm[rims]
        vertices = start.vertices_mm + field(weight, goal, smoothness=smoothness, hold=DAMPING)
        over = flipped_triangles(start, vertices)
        if over.any():
            flipped = int(over.sum())
            vertices, weight = _relax(start, field, smoothness, weight, goal, over)
            data_weights[weight == 0] *= 0.1
        matched = weight > 0
        history.append(_median_mm(vertices[active], matches.points_mm, matches.weight))
    progress(1.0, "fitted")
    return NonRigidFit(vertices, matched, flipped, tuple(history))


def _relax(
    start: Mesh, field: SmoothField, smoothness: float, weight: Floats, goal: Floats, over: Bools
) -> tuple[Floats, Floats]:
    """Take the data term off turned-over triangles, ring by ring, until none is left."""
    adjacency = start.adjacency()
    free: Bools = np.zeros(len(weight), dtype=np.bool_)
    vertices = start.vertices_mm
    for _ in range(4):
        free[start.triangles[over].ravel()] = True
        free = dilated(adjacency, free, 1)
        weight = np.where(free, 0.0, weight)
        vertices = start.vertices_mm + field(weight, goal, smoothness=smoothness, hold=DAMPING)
        over = flipped_triangles(start, vertices)
        if not over.any():
            break
    return vertices, weight
