"""A learned fit of photographs, as the files that `mien face fit` writes; refined by the optimised fit where asked."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from common.array_types import Floats
from common.progress import Progress, no_progress, part
from processing.errors import DataError, NoFace
from processing.face_models.face_model import FaceModel
from processing.landmarks.detector import LandmarkDetector
from processing.landmarks.face_finding import MOST_FACES
from processing.learning.regressor.face_regressor import FaceRegressor, RegressedFace
from processing.learning.regressor.learned_fit import as_photo_fit, pose_of
from processing.learning.weights_file import read_weights
from processing.single_view.fitting.choosing import chosen_face
from processing.single_view.fitting.photo_start import PhotoStart
from processing.single_view.photo_fit import fit_photographs
from processing.single_view.photo_fit_files import FittedPhoto, NotFitted, PhotoFitInputs, check_names, write_fit
from processing.single_view.photograph import PhotoFit, Photograph
from processing.single_view.photograph_files import read_photograph


def fit_learned_files(
    given: PhotoFitInputs,
    weights: Path,
    out: Path,
    *,
    refine: bool = False,
    device: str = "cpu",
    progress: Progress = no_progress,
) -> list[FittedPhoto | NotFitted]:
    """As `fit_photo_files`, by the weights of `mien learn regressor`.

    refine: the optimised fit goes on from there; where its detector sees no face the learned one stays. Raises
    DataError.
    """
    from processing.face_models.model_file import map_model

    check_names(given.photographs, out)
    progress(0.0, "reading")
    model, check = map_model(given.model)
    check()
    regressor = FaceRegressor.open(read_weights(weights, "regressor"), model, device)
    detector = LandmarkDetector(faces=MOST_FACES) if refine else None
    groups = [[path] for path in given.photographs] if given.each else [list(given.photographs)]
    made: list[FittedPhoto | NotFitted] = []
    try:
        for number, group in enumerate(groups):
            now = part(progress, 0.1 + 0.9 * number / len(groups), 1.0)
            now(0.0, group[0].stem)
            try:
                read = [read_photograph(path, focal_px=given.focal_px, face=given.face) for path in group]
                fits = learned_fits(regressor, model, read, given, detector)
                made += [write_fit(model, one, fit, out) for one, fit in zip(read, fits, strict=True)]
            except DataError as error:
                if not given.each:
                    raise
                made.append(NotFitted(group[0].stem, str(error)))
    finally:
        regressor.close()
        if detector is not None:
            detector.close()
    return made


def learned_fits(
    regressor: FaceRegressor,
    model: FaceModel,
    photographs: Sequence[Photograph],
    given: PhotoFitInputs,
    detector: LandmarkDetector | None,
) -> list[PhotoFit]:
    """Photographs of one person, who share the mean of what each says of the identity. Raises DataError."""
    faces = []
    for photograph in photographs:
        try:
            faces.append(regressor.predict(photograph.image, _box(photograph)))
        except DataError as error:
            raise type(error)(f"{photograph.name}: {error}") from None
    scores: Floats = np.mean([face.scores for face in faces], axis=0)
    learned = [
        as_photo_fit(face, model, photograph, scores=scores)
        for face, photograph in zip(faces, photographs, strict=True)
    ]
    if detector is None:
        return learned
    starts = [start_of(face, photograph, scores) for face, photograph in zip(faces, photographs, strict=True)]
    try:
        return fit_photographs(model, photographs, settings=given.settings, detector=detector, starts=starts)
    except NoFace as error:
        reason = f"not refined: {error}"
        return [replace(fit, figures={**fit.figures, "not_refined": reason}) for fit in learned]


def _box(photograph: Photograph) -> Floats | None:
    """(4,) of the face that is meant where somebody said which (--face); None: the largest."""
    if photograph.face is None:
        return None
    with LandmarkDetector(faces=MOST_FACES) as detector:
        points = chosen_face(photograph, detector).landmarks_px
    low, high = points.min(axis=0), points.max(axis=0)
    return np.asarray(np.r_[low, high - low])


def start_of(face: RegressedFace, photograph: Photograph, scores: Floats) -> PhotoStart:
    """Where the optimised fit begins, and what it does not lightly leave."""
    return PhotoStart(scores, face.weights, pose_of(face, photograph))
