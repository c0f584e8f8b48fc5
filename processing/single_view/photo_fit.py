"""A face model fitted to photographs of a person: faces found, poses, Gauss-Newton steps, figures."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from common.array_types import Floats
from common.progress import Progress, no_progress
from processing.errors import DataError
from processing.face_models.face_model import JAW, FaceModel
from processing.face_models.fitting.face_state import ModelPoints, identity_of
from processing.face_models.fitting.normal_equations import StepEquations
from processing.landmarks.detector import LandmarkDetector
from processing.landmarks.face_finding import MOST_FACES
from processing.landmarks.multi_pie_68 import MEDIAPIPE_TO_68
from processing.single_view.appearance.corrective_field import CorrectiveField, corrective_field
from processing.single_view.appearance.face_pixels import FacePixels
from processing.single_view.appearance.light_solution import NoLight
from processing.single_view.appearance.lighting import Appearance
from processing.single_view.appearance.lighting_fit import estimate_appearance
from processing.single_view.appearance.pixel_term import PixelLook, PixelTerm
from processing.single_view.fitting.carried_places import places_on
from processing.single_view.fitting.choosing import chosen_face
from processing.single_view.fitting.corrected_points import CorrectedPoints
from processing.single_view.fitting.first_pose import first_pose
from processing.single_view.fitting.landmark_places import builtin_places
from processing.single_view.fitting.photo_figures import FittedPhotograph, judge_photo_fit, photo_figures
from processing.single_view.fitting.photo_landmarks import (
    LandmarkTable,
    LandmarkTerm,
    table_68,
    table_dense,
)
from processing.single_view.fitting.photo_start import PhotoStart, start_rows, started_state
from processing.single_view.fitting.photo_state import PhotoState, mean_state
from processing.single_view.fitting.pose import POSE, PhotoPose, model_rows
from processing.single_view.photo_camera import WEAK_DISTANCE_MM, PhotoCamera
from processing.single_view.photograph import PhotoFit, PhotoFitError, PhotoFitSettings, Photograph

__all__ = ["PhotoFit", "PhotoFitError", "PhotoFitSettings", "Photograph", "fit_photographs"]

_PRESSED = 4.0
_DENSE = 5000  # places of the skin by which light and mask are told


def fit_photographs(
    model: FaceModel,
    photographs: Sequence[Photograph],
    *,
    settings: PhotoFitSettings | None = None,
    detector: LandmarkDetector | None = None,
    landmarks: Callable[[], Sequence[Floats]] | None = None,
    starts: Sequence[PhotoStart] | None = None,
    progress: Progress = no_progress,
) -> list[PhotoFit]:
    """One face in one or several photographs of one person, who share the identity.

    detector: an open one, for many calls; it should look for several faces.
    landmarks: waits for what was detected beside, (478, 2) px of each photograph's chosen face; nothing is detected.
    starts: of each photograph, from where the fit goes on; None: from the mean face.
    Raises DataError (NoFace, PhotoFitError) naming the photograph, what is wrong with it and what to do.
    """
    return _PhotoFitting(model, photographs, settings or PhotoFitSettings(), detector, starts).run(progress, landmarks)


@dataclass(frozen=True, eq=False)
class _Prepared:
    """What of a model every fit needs."""

    landmarks: LandmarkTerm
    pixels: FacePixels | None
    field: CorrectiveField | None


@lru_cache(maxsize=2)
def _prepared(model: FaceModel, landmarks: str, pixels: bool, corrective: bool) -> _Prepared:
    field = corrective_field(model) if corrective else None
    term = LandmarkTerm(model, landmark_table(model, landmarks), None if field is None else field.modes_mm)
    return _Prepared(term, FacePixels(model) if pixels else None, field)


class _PhotoFitting:
    """Photographs of one person and a model on its way to them."""

    def __init__(
        self,
        model: FaceModel,
        photographs: Sequence[Photograph],
        settings: PhotoFitSettings,
        detector: LandmarkDetector | None,
        starts: Sequence[PhotoStart] | None = None,
    ) -> None:
        if not photographs:
            raise DataError("no photograph was given; a fit needs one")
        self._model, self._photographs, self._settings = model, photographs, settings
        self._detector, self._starts = detector, starts
        # Colours of a model without albedo are its light alone: it says little of shape, and costs as much.
        ready = _prepared(model, settings.landmarks, settings.pixels and model.albedo is not None, settings.corrective)
        self._term, self._pixels, self._field = ready.landmarks, ready.pixels, ready.field
        if self._pixels is not None:
            modes = None if self._field is None else self._field.modes_mm[self._pixels.vertices]
            self._pixel_points = CorrectedPoints(ModelPoints(self._pixels.shapes), modes)
        self._landmarks: list[Floats] = []
        self._pressing = np.ones(len(photographs))  # what landmarks of each photograph weigh, times their share
        self._rng = np.random.default_rng(0)

    def run(self, progress: Progress, landmarks: Callable[[], Sequence[Floats]] | None = None) -> list[PhotoFit]:
        """Raises DataError, NoFace, PhotoFitError."""
        progress(0.0, "faces")
        self._landmarks = self._found() if landmarks is None else list(landmarks())
        progress(0.2, "landmarks")
        state, count = self._start(), self._settings.iterations
        for number in range(count):
            equations = self._equations(state, settled=number >= count // 2)
            state = state.moved(equations.increments(free=self._free))
        looks: list[PixelLook | None] = [None] * state.scans
        appearances: list[Appearance | None] = [None] * state.scans
        if self._pixels is not None:
            progress(0.4, "colours")
            terms = []
            for number, photograph in enumerate(self._photographs):
                first = self._appearance(state, number)
                skin = None if first is None else first.skin
                terms.append(PixelTerm(self._pixels, photograph.image, count=self._settings.samples, skin=skin))
            for number, blur_mm in enumerate(self._settings.blurs_mm):
                if number == len(self._settings.blurs_mm) - 1:
                    self._press(state)
                progress(0.5 + 0.4 * number / len(self._settings.blurs_mm), "colours")
                looks = [self._look(term, state, k, blur_mm) for k, term in enumerate(terms)]
                for _ in range(self._settings.pixel_iterations):
                    equations = self._equations(state, settled=True, looks=looks)
                    state = state.moved(equations.increments(free=self._free))
            appearances = [self._appearance(state, number) for number in range(state.scans)]
        elif self._press(state):
            for _ in range(self._settings.pixel_iterations):
                state = state.moved(self._equations(state, settled=True).increments(free=self._free))
        equations = self._equations(state, settled=True, looks=looks)
        progress(0.9, "measuring")
        return self._results(state, equations, appearances)

    def _press(self, state: PhotoState) -> bool:
        """Landmarks that are farther off than a detector errs weigh more from now on; whether any photograph's are.

        The model's priors then cost more than they know: the person is unlike its members, or their expression is.
        """
        for number, (pose, landmarks) in enumerate(zip(state.poses, self._landmarks, strict=True)):
            off = self._term.off_px(pose, state.scores, state.weights[number], landmarks)
            inner = _of_68(off)[JAW:]
            own = self._model.topology.landmark_points(self._vertices(state, number))
            eyes_px = float(np.linalg.norm(own[36] - own[45]) * pose.px_per_mm)
            if 100 * np.linalg.norm(inner, axis=1).mean() > self._settings.landmark_percent * eyes_px:
                self._pressing[number] = _PRESSED
        return bool((self._pressing > 1).any())

    def _appearance(self, state: PhotoState, number: int) -> Appearance | None:
        """None where too little of the face is seen."""
        assert self._pixels is not None
        camera, photograph = state.poses[number].camera(), self._photographs[number]
        try:
            return estimate_appearance(
                self._pixels, self._vertices(state, number), camera, photograph.image, rng=self._rng, dense=_DENSE
            )
        except NoLight:
            return None

    def _look(self, term: PixelTerm, state: PhotoState, number: int, blur_mm: float) -> PixelLook | None:
        try:
            return term.look(self._vertices(state, number), state.poses[number].camera(), blur_mm, rng=self._rng)
        except NoLight:
            return None

    def _vertices(self, state: PhotoState, number: int) -> Floats:
        own = state.scores[: self._model.identity_count]
        face = self._model.face(identity_of(self._model, own), state.weights[number])
        return face + self._correction(state)

    def _correction(self, state: PhotoState) -> Floats:
        """(V, 3) mm by which the face has left the model."""
        if self._field is None:
            return np.zeros((self._model.vertex_count, 3))
        return self._field.offsets(state.scores[self._model.identity_count :])

    @property
    def _free(self) -> list[bool]:
        """Whether each photograph's focal length is fitted."""
        weak = self._settings.projection == "weak"
        return [not weak and photograph.focal_px is None for photograph in self._photographs]

    def _found(self) -> list[Floats]:
        if self._detector is not None:
            return [chosen_face(photograph, self._detector).landmarks_px for photograph in self._photographs]
        with LandmarkDetector(faces=MOST_FACES) as detector:
            return [chosen_face(photograph, detector).landmarks_px for photograph in self._photographs]

    def _start(self) -> PhotoState:
        if self._starts is not None:
            return started_state(self._starts, 0 if self._field is None else self._field.count)
        poses = tuple(self._first(*both) for both in zip(self._photographs, self._landmarks, strict=True))
        model = self._model
        corrections = 0 if self._field is None else self._field.count
        return mean_state(model.identity_count + corrections, len(model.units), poses)

    def _first(self, photograph: Photograph, landmarks: Floats) -> PhotoPose:
        topology, table = self._model.topology, self._term.table
        corners = topology.mesh.vertices_mm[topology.mesh.triangles[table.triangles]]
        points = np.einsum("nk,nkd->nd", table.barycentric, corners)
        height, width = photograph.image.shape[:2]
        sides = self._settings.focal.sides * max(height, width)
        weight = 1 / np.square(table.deviation_mm) * [0.1 if len(line) else 1.0 for line in table.outline]
        pose = first_pose(points, landmarks[table.numbers], weight, photograph.focal_px or sides, (width, height))
        if self._settings.projection == "weak":
            return _at(pose, WEAK_DISTANCE_MM)
        if photograph.focal_px is None:  # between where it is by the picture's size, and where people stand
            focal = self._settings.focal
            first, second = focal.sides_spread**-2, focal.distance_spread**-2
            own = np.log(pose.place_mm[2])
            return _at(pose, float(np.exp((first * own + second * np.log(focal.distance_mm)) / (first + second))))
        return pose

    def _equations(self, state: PhotoState, *, settled: bool, looks: Sequence[PixelLook | None] = ()) -> StepEquations:
        settings = self._settings
        equations = StepEquations(state, settings.prior, self._model.units, settled=settled)
        for number, (pose, landmarks) in enumerate(zip(state.poses, self._landmarks, strict=True)):
            rows, off, weight = self._term.equations(pose, state.scores, state.weights[number], landmarks)
            equations.add(number, rows, off, self._pressing[number] * weight)
            if self._starts is not None:
                equations.add(number, *start_rows(self._starts[number], state, number))
            if self._free[number]:
                equations.add(number, *self._focal_rows(pose, len(state.scores) + state.weights.shape[1]))
        for number, look in enumerate(looks):
            if look is not None and self._pixels is not None:
                pose, points = state.poses[number], self._pixel_points
                places, change = points.derivatives(self._model, state.scores, state.weights[number])
                moved = model_rows(pose, places, change)
                found = look.rows(pose.to_camera(places), moved, pose.focal_px, pose.middle_px)
                equations.add(number, found.rows, found.residual, found.weight)
        return equations

    def _focal_rows(self, pose: PhotoPose, before: int) -> tuple[Floats, Floats, Floats]:
        """Prior of focal length and distance."""
        focal = self._settings.focal
        rows = np.zeros((2, before + POSE))
        rows[:, -1] = 1.0
        rows[1, -2] = -1.0
        off = np.log([
            pose.focal_px / (focal.sides * max(pose.size_px)),
            pose.place_mm[2] / focal.distance_mm,
        ])  # fmt: skip
        return rows, off, np.array([focal.sides_spread, focal.distance_spread]) ** -2.0

    def _results(
        self, state: PhotoState, equations: StepEquations, appearances: Sequence[Appearance | None]
    ) -> list[PhotoFit]:
        spread = np.sqrt(np.diag(equations.covariance(self._free)).clip(0))
        count, own = len(state.scores), self._model.identity_count
        deviation, focal = spread[:own], spread[count:].reshape(state.scans, -1)[:, -1]
        scores = state.scores[:own]
        identity = identity_of(self._model, scores)
        made = []
        weak = self._settings.projection == "weak"
        for number, (pose, photograph) in enumerate(zip(state.poses, self._photographs, strict=True)):
            pose = _at(pose, WEAK_DISTANCE_MM) if weak else pose
            vertices, seen, appearance = self._vertices(state, number), self._landmarks[number], appearances[number]
            off = self._term.off_px(pose, state.scores, state.weights[number], seen)
            fitted = FittedPhotograph(
                photograph.name, pose, vertices, seen, _of_68(off), scores,
                deviation, float(focal[number]), None if appearance is None else appearance.share,
            )  # fmt: skip
            figures = photo_figures(self._model, fitted)
            review = judge_photo_fit(photograph.name, figures)
            camera = PhotoCamera(
                pose.camera(photograph.name), self._settings.projection, photograph.focal_px is not None
            )
            made.append(
                PhotoFit(
                    identity, scores, deviation, state.weights[number], camera, vertices,
                    self._correction(state), seen, appearance, figures, review,
                )
            )  # fmt: skip
        return made


def landmark_table(model: FaceModel, which: str) -> LandmarkTable:
    """The detector's points that a fit goes by: "dense", or "68", also on a template that is unlike the house's."""
    places = places_on(model, builtin_places()) if which == "dense" else None
    return table_68(model) if places is None else table_dense(places)


def _of_68(off: Floats) -> Floats:
    """(N, 2) of a table's points -> (68, 2) of Multi-PIE's."""
    return off if len(off) == 68 else off[MEDIAPIPE_TO_68]


def _at(pose: PhotoPose, distance_mm: float) -> PhotoPose:
    """The pose with the camera at a distance, the face as large and where it was."""
    step = np.zeros(POSE)
    step[-1] = np.log(distance_mm / pose.place_mm[2])
    return pose.moved(step)
