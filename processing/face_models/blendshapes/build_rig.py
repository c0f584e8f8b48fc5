"""Example-based facial rigging: a subject's registered expressions to a neutral and 52 personal blendshapes.

After Li, Weise and Pauly 2010 ("Example-based facial rigging") as FaceScape uses it (Yang et al. 2020, section 3.4):
generic units are carried to the subject by deformation gradients and made its own, weights and shapes by turns, under a
regularisation that falls from round to round. Decision 0092 says where and why this differs from the paper.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from common.array_types import Bools, Floats
from common.progress import Progress, no_progress, part
from processing.errors import ShapeError
from processing.face_models.blendshapes.deviations import SmoothDeviations, shared_out, smooth_fields
from processing.face_models.blendshapes.head_motion import motion_to, skull_weights, still_noise, still_vertices
from processing.face_models.blendshapes.neutral_check import check_neutral
from processing.face_models.blendshapes.ride_along import RideAlong
from processing.face_models.blendshapes.rig import Rig, RigError
from processing.face_models.blendshapes.rig_figures import example_figures, residuals, unit_figures
from processing.face_models.blendshapes.settings import RigSettings
from processing.face_models.blendshapes.weight_prior import WeightPrior, expression_of, weight_prior
from processing.face_models.blendshapes.weights import example_weights
from processing.geometry.deformation_transfer import DeformationTransfer
from processing.geometry.procrustes import fit_motion
from processing.template.expression_recipes import EXPRESSION_RECIPES
from processing.template.face_units import FaceUnits
from processing.template.template import SKIN, Template

NEUTRAL = "neutral"
_LEARNED = 0.2  # weight in some example from which on a unit counts as learned
_MOTION_NOISE_MM = 0.1


def build_rig(
    template: Template,
    units: FaceUnits,
    meshes: Mapping[str, Floats],
    *,
    recipes: Mapping[str, Mapping[str, float]] = EXPRESSION_RECIPES,
    settings: RigSettings | None = None,
    progress: Progress = no_progress,
) -> Rig:
    """The rig of one subject.

    units: the template's.  meshes: take label ('1_neutral', '2_smile') -> (V, 3) mm registered vertices, each in any
    head pose.  recipes: what each expression is asked for, by units; one without has weights found from nothing.
    A unit that no expression shows stays as transferred; figures["units"] says which.
    Raises RigError without a neutral, for a mesh with other vertices or with what is no number; FaceUnitsError for
    units of another topology.
    """
    settings = settings or RigSettings()
    units.require_topology(template)
    neutral_label = _checked(template, meshes)
    labels = tuple(label for label in meshes if label != neutral_label)
    progress(0.0, "head motion")
    neutral, examples = aligned(template, units, meshes, neutral_label, labels)
    progress(0.05, "transferring units")
    transferred = transfer_units(template, units, neutral)
    prior = weight_prior(labels, units.names, recipes, settings)
    noise = still_noise(template, units, examples - neutral)
    problem = Problem(template, units, transferred, examples - neutral, prior, noise)
    solved = solve(problem, settings, progress=part(progress, 0.2, 0.85))
    progress(0.85, "eyes and mouth")
    offsets = RideAlong(template.mesh.with_vertices(neutral), template.parts)(solved.smooth_mm, solved.offsets_mm)
    progress(0.95, "figures")
    rig = Rig(
        names=units.names,
        neutral_mm=neutral.astype(np.float32),
        shapes_mm=(neutral + offsets).astype(np.float32),
        topology=units.topology,
        examples=labels,
        weights=solved.weights,
    )
    figures = {
        "neutral": check_neutral(template, neutral).figures,
        "examples": example_figures(template, rig, examples),
        "units": unit_figures(rig, neutral + transferred, solved.learned),
        "noise_mm": {label: round(float(one), 4) for label, one in zip(labels, noise, strict=True)},
        "missing": sorted(set(recipes) - {expression_of(label) for label in meshes}),
    }
    return Rig(rig.names, rig.neutral_mm, rig.shapes_mm, rig.topology, labels, solved.weights, figures)


def _checked(template: Template, meshes: Mapping[str, Floats]) -> str:
    """The neutral's label."""
    neutral = [label for label in meshes if expression_of(label) == NEUTRAL]
    if len(neutral) != 1:
        have = ", ".join(meshes) or "none"
        raise RigError(f"a rig needs one neutral expression; the meshes are: {have}. Take, or accept, a neutral first")
    for label, vertices in meshes.items():
        if vertices.shape != template.mesh.vertices_mm.shape:
            raise RigError(
                f"{label} has vertices of shape {vertices.shape}; template {template.name} has "
                f"{template.mesh.vertices_mm.shape}: it was registered to another topology. Register it anew"
            )
        if not np.isfinite(vertices).all():
            bad = int((~np.isfinite(vertices)).any(axis=1).sum())
            raise RigError(f"{label} has {bad} vertices that are not finite numbers. Register it anew")
    return neutral[0]


def aligned(
    template: Template, units: FaceUnits, meshes: Mapping[str, Floats], neutral_label: str, labels: tuple[str, ...]
) -> tuple[Floats, Floats]:
    """The neutral (V, 3) in the template's frame, and the others (E, V, 3) in the neutral's: head motion removed."""
    skull = skull_weights(template, units)
    raw = np.asarray(meshes[neutral_label], dtype=np.float64)
    neutral = motion_to(template.mesh.vertices_mm, raw, skull, noise_mm=5.0)(raw)
    others = [np.asarray(meshes[label], dtype=np.float64) for label in labels]
    moved = [motion_to(neutral, other, skull, _MOTION_NOISE_MM)(other) for other in others]
    return neutral, np.array(moved).reshape(len(labels), *neutral.shape)


def example_residuals(template: Template, units: FaceUnits, meshes: Mapping[str, Floats], rig: Rig) -> Floats:
    """(E, V) mm: how far each of the meshes that a rig was made from is from the rig at its weights."""
    neutral_label = _checked(template, meshes)
    return residuals(rig, aligned(template, units, meshes, neutral_label, rig.examples)[1])


def transfer_units(template: Template, units: FaceUnits, neutral_mm: Floats) -> Floats:
    """(U, V, 3) mm: the template's units on a neutral (V, 3) of its topology, by deformation gradients.

    Raises ShapeError for a neutral of another topology.
    """
    if neutral_mm.shape != template.mesh.vertices_mm.shape:
        raise ShapeError("neutral_mm", neutral_mm.shape, str(template.mesh.vertices_mm.shape))
    still = np.where(template.parts == SKIN, still_vertices(units), 0.0)
    transfer = DeformationTransfer(template.mesh.with_vertices(neutral_mm), still)
    to_subject = fit_motion(template.mesh.vertices_mm, neutral_mm)
    turned = to_subject.scale * units.offsets_mm.astype(np.float64) @ to_subject.R.T
    return transfer.of_units(to_subject(template.mesh.vertices_mm), turned)


@dataclass(frozen=True, eq=False)
class Problem:
    """What a rig is found from."""

    template: Template
    units: FaceUnits
    transferred_mm: Floats  # (U, V, 3) offsets, the prior of the shapes
    examples_mm: Floats  # (E, V, 3) offsets from the neutral, head motion removed
    prior: WeightPrior  # of the weights
    noise_mm: Floats  # (E,) of each example's mesh


@dataclass(frozen=True, eq=False)
class Solution:
    """Weights and shapes."""

    weights: Floats  # (E, U)
    smooth_mm: Floats  # (U, V, 3) offsets but for details
    offsets_mm: Floats  # (U, V, 3) right on the skin
    learned: Bools  # (U,) the others are as transferred


def solve(problem: Problem, settings: RigSettings, *, progress: Progress = no_progress) -> Solution:
    """Weights and smooth deviations by turns, then what is left of the examples place by place."""
    transferred, examples, prior = problem.transferred_mm, problem.examples_mm, problem.prior
    template = problem.template
    weights = prior.mean.clip(0, 1)
    if not len(examples):
        return Solution(weights, transferred, transferred, np.zeros(len(transferred), np.bool_))
    skin = template.parts == SKIN
    areas = np.where(skin & (template.weights > 0.5), template.mesh.vertex_areas, 0.0)
    fields = smooth_fields(template, problem.units.offsets_mm.astype(np.float64))
    deviations = SmoothDeviations(transferred, fields, areas, prior.shown, settings)
    sampled = deviations.sampled(examples)
    coefficients = np.zeros(deviations.count)
    first, last = settings.shape_residual_mm
    for number in range(settings.rounds):
        progress(0.9 * number / settings.rounds, f"weights and shapes, round {number + 1} of {settings.rounds}")
        regular = first * (last / first) ** (number / max(settings.rounds - 1, 1))
        residual = np.hypot(regular, settings.noise_reach * problem.noise_mm)
        weights = example_weights(deviations, sampled, weights, residual, prior, settings)
        coefficients = deviations.solved(*deviations.system(sampled, weights, residual))
    learned = prior.shown & (weights.max(axis=0) >= _LEARNED)
    progress(0.9, "details")
    smooth = np.where(learned[:, None, None], deviations.units(coefficients), transferred)
    rest = examples - np.tensordot(weights, smooth, axes=1)
    motion = np.where(learned[:, None] & skin, np.linalg.norm(transferred, axis=2), 0.0)
    details = shared_out(rest, weights, motion, problem.noise_mm, settings)
    return Solution(weights, smooth, smooth + details, learned)
