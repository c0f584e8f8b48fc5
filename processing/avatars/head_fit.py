"""A person's head brought to a photograph: pose, focal length, 52 expression weights and a smooth correction.

Equations 1 to 4 of the avatar paper (section 3.4), in Gauss-Newton steps: landmarks, those of the jaw sliding on the
outline (equation 1); the correction's smoothness and size (2); priors of expression and focal length (3), the house's,
that are measured on photographs, in place of lambda_f and lambda_q: a pose has no prior, so that a head on its side is
as likely as an upright one.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from common.array_types import Floats, Floats32
from processing.avatars.person_head import PersonHead
from processing.avatars.smooth_corrections import CorrectionLimits, correction_modes
from processing.face_models.face_model import JAW
from processing.face_models.fitting.normal_equations import FitPrior, StepEquations
from processing.geometry.cameras import Camera
from processing.landmarks.multi_pie_68 import MEDIAPIPE_TO_68
from processing.scan_quality.verdict import QualityReview
from processing.single_view.fitting.corrected_points import field_mm
from processing.single_view.fitting.first_pose import first_pose
from processing.single_view.fitting.photo_figures import FittedPhotograph, judge_photo_fit, photo_figures
from processing.single_view.fitting.photo_landmarks import (
    DEVIATION_68_MM,
    LandmarkTable,
    LandmarkTerm,
    table_68,
    table_dense,
)
from processing.single_view.fitting.photo_state import PhotoState, mean_state
from processing.single_view.fitting.pose import POSE, PhotoPose
from processing.single_view.photograph import FocalPrior, Photograph

_LIPS = ((61, 67), (62, 66), (63, 65))  # upper and lower, inside
_LOOKED_AT = 4  # every so many-th of the detector's points says what corrections there are


@dataclass(frozen=True)
class HeadFitSettings:
    """How a head is fitted."""

    iterations: int = 5  # N of the paper
    prior: FitPrior = field(default_factory=lambda: FitPrior(identity=1.0, rest=3.0, spread=0.5, symmetry=0.5))
    focal: FocalPrior = field(default_factory=FocalPrior)
    correction: CorrectionLimits = field(default_factory=CorrectionLimits)
    outline_share: float = 0.5  # of what the jaw's landmarks weigh beside the dense ones


@dataclass(frozen=True, eq=False)
class HeadFit:
    """A head in a photograph."""

    neutral_mm: Floats  # (L, 3) with the correction
    vertices_mm: Floats  # (L, 3) as photographed
    weights: Floats  # (U,) in 0..1
    correction_mm: Floats  # (L, 3)
    camera: Camera
    figures: Mapping[str, Any]
    review: QualityReview


def fit_head(
    person: PersonHead,
    photograph: Photograph,
    landmarks_px: Floats,
    settings: HeadFitSettings | None = None,
    *,
    start: PhotoPose | None = None,
) -> HeadFit:
    """landmarks_px: (478, 2) as detected.  start: a pose to begin at, of the model's frame.

    Raises PhotoFitError where the fit cannot be trusted, Degenerate for landmarks of no face.
    """
    return _HeadFitting(person, photograph, landmarks_px, settings or HeadFitSettings()).run(start)


class _HeadFitting:
    """One head on its way to one photograph."""

    def __init__(
        self, person: PersonHead, photograph: Photograph, landmarks_px: Floats, settings: HeadFitSettings
    ) -> None:
        self._person, self._photograph = person, photograph
        self._landmarks, self._settings = landmarks_px, settings
        model = person.model
        tables = [table_68(model)]
        if person.places is not None:
            tables = [table_dense(person.places), _outline(tables[0], settings.outline_share)]
        first = tables[0]
        some = slice(None, None, _LOOKED_AT if len(first.numbers) > 2 * 68 else 1)
        # Lips that meet at rest stay together: opening is the units' work, and stays out of the neutral.
        lips = model.topology.landmark_vertices[np.array(_LIPS)]
        self._modes: Floats32 = correction_modes(
            model.topology.mesh, first.triangles[some], first.barycentric[some], settings.correction, lips
        )
        self._terms = [LandmarkTerm(model, table, self._modes) for table in tables]

    def run(self, start: PhotoPose | None) -> HeadFit:
        pose = start or self._first()
        state = mean_state(1 + 3 * self._modes.shape[1], len(self._person.units), (pose,))
        free = [self._photograph.focal_px is None]
        for number in range(self._settings.iterations):
            equations = self._equations(state, settled=2 * number >= self._settings.iterations)
            state = state.moved(equations.increments(free=free))
        spread = np.sqrt(np.diag(self._equations(state, settled=True).covariance(free)).clip(0))
        return self._result(state, float(spread[-1]))

    def _first(self) -> PhotoPose:
        topology, table = self._person.model.topology, self._terms[0].table
        corners = topology.mesh.vertices_mm[topology.mesh.triangles[table.triangles]]
        points = np.einsum("nk,nkd->nd", table.barycentric, corners)
        height, width = self._photograph.image.shape[:2]
        focal, known = self._settings.focal, self._photograph.focal_px
        weight = 1 / np.square(table.deviation_mm) * [0.1 if len(line) else 1.0 for line in table.outline]
        pose = first_pose(
            points, self._landmarks[table.numbers], weight, known or focal.sides * max(height, width), (width, height)
        )
        if known is not None:
            return pose
        # Between where it is by the picture's size, and where people stand.
        by_size, by_place = focal.sides_spread**-2, focal.distance_spread**-2
        nearer = np.log(focal.distance_mm / pose.place_mm[2]) * by_place / (by_size + by_place)
        return pose.moved(np.r_[np.zeros(POSE - 1), nearer])

    def _equations(self, state: PhotoState, *, settled: bool) -> StepEquations:
        equations = StepEquations(state, self._settings.prior, self._person.units, settled=settled)
        pose, weights = state.poses[0], state.weights[0]
        for term in self._terms:
            equations.add(0, *term.equations(pose, state.scores, weights, self._landmarks))
        if self._photograph.focal_px is None:
            focal = self._settings.focal
            rows = np.zeros((2, len(state.scores) + len(weights) + POSE))
            rows[:, -1], rows[1, -2] = 1.0, -1.0
            off = np.log([pose.focal_px / (focal.sides * max(pose.size_px)), pose.place_mm[2] / focal.distance_mm])
            equations.add(0, rows, off, np.array([focal.sides_spread, focal.distance_spread]) ** -2.0)
        return equations

    def _result(self, state: PhotoState, focal_share: float) -> HeadFit:
        pose, weights, model = state.poses[0], state.weights[0], self._person.model
        correction = field_mm(self._modes, state.scores[1:])
        vertices = model.face(np.ones(1), weights) + correction
        term = self._terms[0]
        off = term.off_px(pose, state.scores, weights, self._landmarks)
        off = off if len(off) == 68 else off[MEDIAPIPE_TO_68]
        name = self._photograph.name
        none = np.zeros(1)
        fitted = FittedPhotograph(
            name, pose, vertices, self._landmarks, off, none, none + 1.0,
            0.0 if self._photograph.focal_px else focal_share, None,
        )  # fmt: skip
        figures = photo_figures(model, fitted)
        figures["correction_mm"] = float(np.linalg.norm(correction[model.topology.face], axis=1).mean())
        return HeadFit(
            self._person.neutral_mm + correction, vertices, weights, correction, pose.camera(name), figures,
            judge_photo_fit(name, figures),
        )  # fmt: skip


def _outline(table: LandmarkTable, share: float) -> LandmarkTable:
    """The jaw's 17 of the 68, which slide."""
    return LandmarkTable(
        table.numbers[:JAW], table.triangles[:JAW], table.barycentric[:JAW], DEVIATION_68_MM[:JAW],
        table.outline[:JAW], None, share,
    )  # fmt: skip
