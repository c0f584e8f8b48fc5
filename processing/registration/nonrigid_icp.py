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
from processing.mesh_repair.fold_repair import mend
from processing.mesh_repair.mesh_defects import flipped_triangles
from processing.registration.correspondence import TargetSurface, downweight_far
from processing.registration.deformation_graph import DeformationGraph

# Vertices of less weight than this (eyes, the rim) are carried by the graph and never settle one by one.
SINGLY = 0.5
FREE = 1e-5  # what holds a vertex that nothing draws


@dataclass(frozen=True)
class IcpStep:
    """One stiffness of the graph pass, relative to a data term of one per mm^2 and vertex.

    landmarks: their weight.  max_mm, min_cosine: what a match may be off by.  every: use one vertex in so many.
    """

    stiffness: float
    landmarks: float
    max_mm: float
    min_cosine: float
    iterations: int
    every: int = 1


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
    """steps: the graph pass.  hops: edges between its nodes.  smoothness: of the vertex pass, one iteration each.

    vertex_max_mm: how far along its normal a vertex may be drawn.  floor_mm: distances that are never suspicious.
    """

    steps: tuple[IcpStep, ...] = COARSE_TO_FINE
    hops: int = 3
    smoothness: tuple[float, ...] = (5.0, 2.0, 1.0, 0.3, 0.1)
    vertex_max_mm: float = 8.0
    vertex_min_cosine: float = 0.5
    floor_mm: float = 2.0


@dataclass(frozen=True, eq=False)
class LandmarkConstraints:
    """Points on the template's surface that belong at known places.

    corners: (L, 3) vertices.  barycentric: (L, 3).  points_mm: (L, 3).  weights: (L,).
    """

    corners: Ints32
    barycentric: Floats
    points_mm: Floats
    weights: Floats

    def rows(self, vertices: int) -> sparse.csr_array:
        """(L, V): rows @ vertices = the anchored points."""
        each = np.repeat(np.arange(len(self.corners)), 3)
        data = (self.barycentric.ravel(), (each, self.corners.ravel()))
        return sparse.csr_array(data, shape=(len(self.corners), vertices))


NO_ANCHORS = LandmarkConstraints(np.zeros((0, 3), np.int32), np.zeros((0, 3)), np.zeros((0, 3)), np.zeros(0))


@dataclass(frozen=True, eq=False)
class NonRigidFit:
    """vertices_mm: (V, 3).  matched: (V,) which vertices met the scan in the last iteration.  flipped: triangles
    that turned over and were relaxed."""

    vertices_mm: Floats
    matched: Bools
    flipped: int
    history_mm: tuple[float, ...] = field(default=())


def fit_nonrigid(
    source: Mesh,
    scan: TargetSurface,
    *,
    weights: Floats | None = None,
    sheets: Bools | None = None,
    anchors: LandmarkConstraints = NO_ANCHORS,
    settings: NonRigidSettings | None = None,
    graph: DeformationGraph | None = None,
    progress: Progress = no_progress,
) -> NonRigidFit:
    """Deform `source` (one connected mesh, roughly in place) onto the scan.

    weights: (V,) in [0, 1], how much the scan may pull each vertex; 0 follows its neighbours.
    sheets: (V,) as in `mend`.
    Raises MeshError when the scan lies nowhere near the source.
    """
    settings = NonRigidSettings() if settings is None else settings
    count = len(source.vertices_mm)
    pull = np.ones(count) if weights is None else np.asarray(weights, dtype=np.float64)
    if pull.shape != (count,):
        raise ShapeError("weights", pull.shape, f"({count},)")
    if graph is None:
        graph = DeformationGraph(source, settings.hops)
    else:
        graph.rebase(source.vertices_mm)
    total = sum(step.iterations for step in settings.steps) + len(settings.smoothness)
    vertices, history = _graph_pass(source, scan, pull, anchors, settings, graph, progress, total)
    fit = _vertex_pass(source.with_vertices(vertices), scan, pull, settings, progress, total)
    vertices, mended = mend(source, fit.vertices_mm, sheets)
    return NonRigidFit(vertices, fit.matched & ~mended, fit.flipped, (*history, *fit.history_mm))


def _graph_pass(
    source: Mesh,
    scan: TargetSurface,
    pull: Floats,
    anchors: LandmarkConstraints,
    settings: NonRigidSettings,
    graph: DeformationGraph,
    progress: Progress,
    total: int,
) -> tuple[Floats, list[float]]:
    every_active = np.flatnonzero(pull > 0)
    anchor_basis = sparse.csr_array(anchors.rows(len(pull)) @ graph.basis)
    anchor_weights = sparse.diags_array(anchors.weights) if len(anchors.weights) else None
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
            matches = downweight_far(matches, vertices[active], max(settings.floor_mm, step.max_mm / 3))
            if not matches.weight.any() and not len(anchors.weights):
                raise MeshError(
                    "the scan lies nowhere near the template: give landmarks, or check units (mm) and frame"
                )
            weight, goal = np.zeros(len(pull)), np.zeros_like(vertices)
            weight[active] = step.every * pull[active] * matches.weight
            goal[active] = matches.points_mm
            matrix = graph.weigh(weight) + step.stiffness * graph.stiffness
            right = graph.basis.T @ (weight[:, None] * goal)
            if anchor_weights is not None:
                strength = step.landmarks * density * anchor_weights
                matrix = matrix + anchor_basis.T @ strength @ anchor_basis
                right = right + anchor_basis.T @ (strength @ anchors.points_mm)
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
    start: Mesh, scan: TargetSurface, pull: Floats, settings: NonRigidSettings, progress: Progress, total: int
) -> NonRigidFit:
    """Minimise sum w |x - goal|^2 + smoothness sum over edges |d_i - d_j|^2 for displacements d = x - start."""
    count = len(pull)
    active = np.flatnonzero(pull >= SINGLY)
    field = SmoothField(graph_laplacian(start.edges, count))
    vertices = start.vertices_mm
    matched = np.zeros(count, dtype=np.bool_)
    history: list[float] = []
    flipped = 0
    pull = pull.copy()
    for number, smoothness in enumerate(settings.smoothness):
        progress((total - len(settings.smoothness) + number) / total, "settling on the surface")
        normals = start.with_vertices(vertices).vertex_normals
        matches = scan.along_normals(
            vertices[active], normals[active], max_mm=settings.vertex_max_mm, min_cosine=settings.vertex_min_cosine
        )
        matches = downweight_far(matches, vertices[active], settings.floor_mm)
        weight, goal = np.zeros(count), np.zeros_like(vertices)
        weight[active] = pull[active] * matches.weight
        goal[active] = matches.points_mm - start.vertices_mm[active]
        vertices = start.vertices_mm + field(weight, goal, smoothness=smoothness, hold=FREE)
        over = flipped_triangles(start, vertices)
        if over.any():
            flipped = int(over.sum())
            vertices, weight = _relax(start, field, smoothness, weight, goal, over)
            pull[weight == 0] *= 0.1
        matched = weight > 0
        history.append(_median_mm(vertices[active], matches.points_mm, matches.weight))
    progress(1.0, "fitted")
    return NonRigidFit(vertices, matched, flipped, tuple(history))


def _relax(
    start: Mesh, field: SmoothField, smoothness: float, weight: Floats, goal: Floats, over: Bools
) -> tuple[Floats, Floats]:
    """Let go of the vertices of turned-over triangles, ring by ring, until none is left."""
    adjacency = start.adjacency()
    free = np.zeros(len(weight), dtype=np.bool_)
    vertices = start.vertices_mm
    for _ in range(4):
        free[start.triangles[over].ravel()] = True
        free |= adjacency @ free.astype(np.float64) > 0
        weight = np.where(free, 0.0, weight)
        vertices = start.vertices_mm + field(weight, goal, smoothness=smoothness, hold=FREE)
        over = flipped_triangles(start, vertices)
        if not over.any():
            break
    return vertices, weight
