"""One predicted face against the truth: every figure, or the reason why there is none."""

from dataclasses import dataclass

import numpy as np

from common.array_types import Floats
from processing.errors import DataError
from processing.evaluation.metrics.cylinder import Placing, cylinder_map
from processing.evaluation.metrics.cylinder_scores import CylinderMeasure, exact_measure, published_measure
from processing.evaluation.metrics.depth import both_seen, depth_map, scale_of, shift_of, sight
from processing.evaluation.metrics.head_scores import PlacedSurface, corresponding_errors, head_errors
from processing.evaluation.metrics.placing import Placed, place
from processing.evaluation.metrics.predictions import Prediction, PredictionError, TruthFace
from processing.evaluation.metrics.scores import CylinderScores, EvaluationSettings, ImageScores
from processing.evaluation.metrics.view import Orthographic, TrueCamera, View
from processing.geometry.mesh import Mesh, Surface
from processing.geometry.procrustes import Similarity

_SAME = 1e-9
_INSIDE_OUT = 0.5  # share of what the camera sees first that is turned away


class TruthError(DataError):
    """The true face of an image cannot be measured against."""


@dataclass(frozen=True, eq=False)
class DepthAlignment:
    """Where a predicted surface lies after the one shift along the depth that it is granted."""

    #: From the surface's frame, the true head's unaligned, to the cylinder's.
    placing: Placing
    #: By which its visible part was moved away from the camera.
    shift_mm: float


def evaluate_image(
    truth: TruthFace, camera: TrueCamera, prediction: Prediction, settings: EvaluationSettings | None = None
) -> ImageScores:
    """Measure one prediction. Never raises for what a method gave: an unusable one has a reason and no figures.

    Raises TruthError for a truth that the camera or the cylinder does not see: against it nothing can be measured.
    """
    settings = settings or EvaluationSettings()
    orthographic = isinstance(camera.view, Orthographic)
    true_depth, _ = depth_map(truth.surface, sight(camera), orthographic=orthographic)
    if not true_depth.any() or not truth.cylinder.known.any():
        raise TruthError("the true face is not in the picture, or not around its axis: is it the image's camera?")
    try:
        placed = place(prediction, camera, keep_size=settings.keep_size)
        return _scores(truth, camera, true_depth, placed, prediction, settings)
    except DataError as error:
        return ImageScores(str(error))


def _scores(
    truth: TruthFace,
    camera: TrueCamera,
    true_depth: Floats,
    placed: Placed,
    prediction: Prediction,
    settings: EvaluationSettings,
) -> ImageScores:
    view = camera.view
    notes = list(placed.notes)
    mesh = placed.mesh.with_vertices(to_head(view, placed.mesh.vertices_mm))
    surface, look = Surface(mesh), sight(camera)
    orthographic, wanted = isinstance(view, Orthographic), true_depth != 0
    depth, away = depth_map(surface, look, orthographic=orthographic, wanted=wanted)
    if away > _INSIDE_OUT:
        notes.append("its triangles are inside out, as those of a mirrored mesh, and were turned")
        surface = Surface(Mesh(mesh.vertices_mm, mesh.triangles[:, ::-1]))
        depth, _ = depth_map(surface, look, orthographic=orthographic, wanted=wanted)
    both = both_seen(true_depth, depth)
    if not both.any():
        raise PredictionError("the mesh does not cover the true face in the picture")
    as_published = published_alignment(view, truth, true_depth[both], depth[both], keep_size=settings.keep_size)
    as_seen = cylinder_map(surface, as_published.placing, truth.standard_cylinder.known)
    published = published_measure(truth.standard_cylinder, as_seen)
    aligned = exact_alignment(view, truth, true_depth[both], depth[both])
    if _alike(as_published.placing, aligned.placing) and truth.standard_cylinder is truth.cylinder:
        seen = as_seen
    else:
        seen = cylinder_map(surface, aligned.placing, truth.cylinder.known)
    exact = exact_measure(truth.cylinder, seen)
    if published.nan_as_published:
        notes.append("MNE of the public evaluator is NaN: normals are the same to rounding")
    armse: dict[int, float] = {}
    icp = points = points_similar = None
    motion = Similarity(aligned.placing.scale, np.eye(3), aligned.placing.shift + truth.centre)
    if settings.armse:
        armse, icp = head_errors(truth, PlacedSurface(surface, motion, seen), notes)
    if settings.correspondence:
        vertices = motion(to_head(view, placed.vertices))
        points, points_similar = corresponding_errors(truth, prediction, vertices, notes)
    return ImageScores(
        reason=None,
        published=_figures(published, as_published.shift_mm),
        exact=_figures(exact, aligned.shift_mm),
        armse_mm=armse,
        icp_mm=icp,
        corresponding_mm=points,
        corresponding_similarity_mm=points_similar,
        notes=tuple(notes),
        error_map_mm=np.pad(exact.true_to_predicted_mm, ((0, 0), (0, 1)), mode="wrap") if settings.maps else None,
    )


def _alike(a: Placing, b: Placing) -> bool:
    """Whether a head lies in the same place by both, but for rounding."""
    return abs(a.scale - b.scale) < _SAME and float(np.abs(a.shift - b.shift).max()) < _SAME


def to_head(view: View, points: Floats) -> Floats:
    """(N, 3) true camera's frame -> (N, 3) true head's frame, mm."""
    return np.asarray((points if isinstance(view, Orthographic) else points - view.t) @ view.R)


def published_alignment(
    view: View, truth: TruthFace, true_mm: Floats, predicted_mm: Floats, *, keep_size: bool = False
) -> DepthAlignment:
    """The public evaluator's: the shift of least absolute differences; with perspective, turned into a scale about the
    camera by the true face's mean depth. That is the best only for a mesh that has the right size before (a head with
    its neck, scaled by its height as the public loaders do, is a millimetre off), which it is given here.

    true_mm, predicted_mm: (N,) depths of the same pixels. Heads are scaled to the size of published figures.
    """
    standard = truth.standard_scale
    if isinstance(view, Orthographic):
        shift = shift_of(true_mm, predicted_mm)
        return DepthAlignment(Placing(standard, standard * (shift * view.R[2] - truth.centre)), standard * shift)
    size = 1.0 if keep_size else standard * scale_of(true_mm, predicted_mm)
    shift = shift_of(standard * true_mm, size * predicted_mm)
    middle = standard * float(true_mm.mean())
    if not middle - shift > 0:
        raise PredictionError("the mesh cannot be brought to the true face's depth")
    scale = size * middle / (middle - shift) / standard
    return DepthAlignment(_scaled(view.R.T @ view.t, truth, scale, standard), shift)


def exact_alignment(view: View, truth: TruthFace, true_mm: Floats, predicted_mm: Floats) -> DepthAlignment:
    """The best: with perspective the scale about the camera of least absolute differences, whatever size it had."""
    if isinstance(view, Orthographic):
        shift = shift_of(true_mm, predicted_mm)
        return DepthAlignment(Placing(1.0, shift * view.R[2] - truth.centre), shift)
    scale = scale_of(true_mm, predicted_mm)
    return DepthAlignment(_scaled(view.R.T @ view.t, truth, scale, 1.0), (scale - 1) * float(predicted_mm.mean()))


def _scaled(to_camera: Floats, truth: TruthFace, scale: float, standard: float) -> Placing:
    """Scaled about the camera, then the head to its standard size. to_camera: (3,) minus the camera's place."""
    return Placing(scale * standard, standard * ((scale - 1) * to_camera - truth.centre))


def _figures(measure: CylinderMeasure, shift_mm: float) -> CylinderScores:
    return CylinderScores(measure.cd_mm, measure.cd_sum_mm, measure.mne_rad, measure.completeness, shift_mm)
