"""How well a face model represents people whom it has never seen (FaceScape, TPAMI 2023, section 5.2 and figure 6).

A model is fitted to registered meshes of held-out people and the distances that remain are gathered into a cumulative
error curve, beside principal components of the same number of parameters, and beside other models.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.array_types import Bools, Floats, Floats32, Ints64
from common.progress import Progress, no_progress
from processing.errors import DataError
from processing.face_models.face_model import FaceModel
from processing.face_models.fitting.normal_equations import FitPrior
from processing.face_models.fitting.surface_fit import fit_surface
from processing.face_models.fitting.vertex_fit import VertexFitSettings, fit_vertices
from processing.geometry.mesh import Mesh, Surface
from processing.geometry.procrustes import fit_motion
from processing.template.template import SKIN

Vertices = NDArray[np.floating[Any]]
BIN_MM, MOST_MM = 0.01, 20.0
#: Next to nothing is believed beforehand: what is asked is how near the model can come, not who is likely.
NEAREST = VertexFitSettings(prior=FitPrior(identity=0.02, rest=0.0, spread=0.02), cell_mm=3.0, iterations=20)
_PCA_ROUNDS = 4


@dataclass(frozen=True, eq=False)
class HeldOutMesh:
    """A registered mesh of somebody who is not in the model."""

    subject: str
    label: str  # '2_smile'
    vertices_mm: Floats  # (V, 3) the model's topology, any frame


@dataclass(eq=False)
class ErrorCurve:
    """Distances of many vertices, as counts by hundredths of a millimetre."""

    name: str
    parameters: int  # numbers that describe a face, without its pose
    measure: str  # "vertex": to the same vertex; "surface": to the nearest place of the fitted surface
    counts: Ints64 = field(default_factory=lambda: np.zeros(round(MOST_MM / BIN_MM) + 1, np.int64))
    total_mm: float = 0.0
    by_label: dict[str, tuple[float, int]] = field(default_factory=dict)
    failed: int = 0  # meshes that could not be fitted

    def add(self, label: str, distances_mm: Floats) -> None:
        """Distances (N,) of one mesh."""
        place = np.minimum(distances_mm / BIN_MM, len(self.counts) - 1).astype(np.int64)
        self.counts += np.bincount(place, minlength=len(self.counts))
        self.total_mm += float(distances_mm.sum())
        total, count = self.by_label.get(label, (0.0, 0))
        self.by_label[label] = total + float(distances_mm.sum()), count + len(distances_mm)

    @property
    def mean_mm(self) -> float:
        return self.total_mm / max(int(self.counts.sum()), 1)

    def share_within(self, most_mm: float) -> float:
        """The share of vertices no farther off, 0..1."""
        return float(self.counts[: round(most_mm / BIN_MM)].sum() / max(self.counts.sum(), 1))

    def quantile_mm(self, share: float) -> float:
        """The distance below which a share of the vertices lies, to a hundredth of a millimetre."""
        running = np.cumsum(self.counts) / max(self.counts.sum(), 1)
        return float(BIN_MM * (np.searchsorted(running, share) + 1))

    def figures(self) -> dict[str, object]:
        """For JSON: mm, shares 0..1."""
        steps = [0.1 * k for k in range(1, 51)]
        return {
            "name": self.name,
            "parameters": self.parameters,
            "measure": self.measure,
            "mean_mm": round(self.mean_mm, 4),
            "median_mm": round(self.quantile_mm(0.5), 3),
            "p90_mm": round(self.quantile_mm(0.9), 3),
            "p95_mm": round(self.quantile_mm(0.95), 3),
            "within": {f"{mm:g}": round(self.share_within(mm), 4) for mm in (0.5, 1.0, 2.0, 3.0)},
            "curve": {f"{mm:.1f}": round(self.share_within(mm), 4) for mm in steps},
            "mean_mm_by_expression": {k: round(t / max(n, 1), 4) for k, (t, n) in self.by_label.items()},
            "not_fitted": self.failed,
        }


@dataclass(frozen=True, eq=False)
class FaceComponents:
    """Principal components of registered meshes: what the same number of parameters does without a model of people."""

    some: Ints64  # (M,) vertices
    mean_mm: Floats  # (M, 3)
    components: Floats32  # (K, M, 3) orthonormal

    def nearest(self, vertices_mm: Floats) -> Floats:
        """(M, 3) the nearest face of the components to a mesh (V, 3), in the mesh's frame, its pose free."""
        target = vertices_mm[self.some]
        flat = self.components.reshape(len(self.components), -1)
        face = self.mean_mm
        motion = fit_motion(face, target, with_scale=False)
        for _ in range(_PCA_ROUNDS):
            aligned = (target - motion.t) @ motion.R
            face = self.mean_mm + (flat.T @ (flat @ (aligned - self.mean_mm).ravel())).reshape(-1, 3)
            motion = fit_motion(face, target, with_scale=False)
        return motion(face)


def face_components(meshes: Iterable[Vertices], some: Ints64, reference_mm: Floats, count: int) -> FaceComponents:
    """The first `count` components of meshes (V, 3), each moved onto a reference (V, 3) by the best rigid motion.

    Fewer where there are fewer meshes. Raises DataError for fewer than three.
    """
    reference = reference_mm[some]
    rows = []
    for mesh in meshes:
        points = np.asarray(mesh[some], dtype=np.float64)
        motion = fit_motion(points, reference, with_scale=False)
        rows.append(motion(points).astype(np.float32).ravel())
    if len(rows) < 3:
        raise DataError(f"principal components need three meshes of the model's members or more; there are {len(rows)}")
    matrix = np.stack(rows)
    mean = matrix.mean(axis=0, dtype=np.float64)
    matrix -= mean.astype(np.float32)
    values, vectors = np.linalg.eigh((matrix @ matrix.T).astype(np.float64))
    order = np.argsort(-values)[: min(count, len(rows) - 1)]
    components = (vectors[:, order].T @ matrix) / np.sqrt(values[order].clip(1e-9))[:, None]
    return FaceComponents(some, mean.reshape(-1, 3), components.astype(np.float32).reshape(len(order), -1, 3))


def evaluated_vertices(model: FaceModel) -> Bools:
    """(V,) where distances are taken: the face, without what lies behind lids and lips."""
    return np.asarray(model.topology.face & (model.topology.parts == SKIN))


def evaluate(
    model: FaceModel,
    held_out: Sequence[Callable[[], HeldOutMesh]],
    *,
    components: FaceComponents | None = None,
    beside: Sequence[FaceModel] = (),
    beside_every: int = 1,
    progress: Progress = no_progress,
) -> list[ErrorCurve]:
    """Cumulative error curves of a model on held-out meshes of its topology, read one after the other.

    components: principal components beside it.  beside: other models, of any topology, which are fitted to the meshes
    as surfaces; with them, the model's own distances to its surface are a curve too.  beside_every: the others see
    every so many meshes alone (they take longer).
    """
    some = np.flatnonzero(evaluated_vertices(model))
    parameters = model.identity_count + len(model.units)
    own = ErrorCurve(f"{model.name} v{model.version}", parameters, "vertex")
    surface = ErrorCurve(own.name, parameters, "surface")
    pca = None if components is None else ErrorCurve("principal components", len(components.components), "vertex")
    others = [ErrorCurve(f"{m.name} v{m.version}", m.identity_count + len(m.units), "surface") for m in beside]
    for number, load in enumerate(held_out):
        mesh = load()
        progress(number / len(held_out), f"mesh {number + 1} of {len(held_out)}")
        target = mesh.vertices_mm
        fit = fit_vertices(model, target, mask=evaluated_vertices(model), settings=NEAREST)
        own.add(mesh.label, np.linalg.norm(fit.vertices_mm - target, axis=1)[some])
        if pca is not None and components is not None:
            at = np.isin(components.some, some)
            off = np.linalg.norm(components.nearest(target) - target[components.some], axis=1)
            pca.add(mesh.label, off[at])
        if beside and number % beside_every == 0:
            found = Surface(model.topology.mesh.with_vertices(fit.vertices_mm)).closest(target[some])
            surface.add(mesh.label, found.distance_mm)
            for other, curve in zip(beside, others, strict=True):
                _add_surface_fit(other, model, mesh, some, curve)
    progress(1.0, f"{len(held_out)} meshes")
    return [own, *([pca] if pca else []), *([surface, *others] if beside else [])]


def _add_surface_fit(other: FaceModel, model: FaceModel, mesh: HeldOutMesh, some: Ints64, curve: ErrorCurve) -> None:
    """Distances from a mesh's vertices to another model's surface, fitted to it as to a scan."""
    scan = Mesh(mesh.vertices_mm, model.topology.mesh.triangles)
    try:
        fit = fit_surface(other, scan, model.topology.landmark_points(mesh.vertices_mm))
    except DataError:
        curve.failed += 1
        return
    surface = Surface(other.topology.mesh.with_vertices(fit.vertices_mm))
    curve.add(mesh.label, surface.closest(mesh.vertices_mm[some]).distance_mm)
