"""`mien face edit`: a photograph with another expression, as a file."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from common.array_types import Floats, Image
from common.progress import Progress, no_progress, part
from processing.errors import DataError
from processing.face_models.face_model import FaceModel
from processing.face_models.model_file import read_model
from processing.face_models.sample_files import named_weights, read_weights
from processing.files.image_files import write_image
from processing.landmarks.detector import LandmarkDetector
from processing.landmarks.face_finding import MOST_FACES
from processing.single_view.appearance.light_solution import NoLight
from processing.single_view.appearance.lighting_fit import estimate_appearance
from processing.single_view.editing.expression_edit import EditSettings, edit_expression
from processing.single_view.photo_fit import fit_photographs
from processing.single_view.photograph import PhotoFit, PhotoFitSettings
from processing.single_view.photograph_files import read_photograph

SUFFIXES = (".png", ".jpg", ".jpeg")


@dataclass(frozen=True)
class EditInputs:
    """What `mien face edit` is given."""

    photograph: Path
    model: Path
    weights: Path  # JSON: {unit: weight}, or what a fit wrote
    add: bool = False  # to what the face does already; else instead of it
    focal_px: float | None = None
    face: str | None = None  # which of several
    fit: PhotoFitSettings = field(default_factory=PhotoFitSettings)
    edit: EditSettings = field(default_factory=EditSettings)


@dataclass(frozen=True, eq=False)
class EditedPhoto:
    """An edit and the file that it was written to."""

    out: Path
    fit: PhotoFit
    before: dict[str, float]  # weights that are not 0
    after: dict[str, float]
    shaded: bool  # anew

    def as_report(self) -> dict[str, Any]:
        review = {"verdict": self.fit.review.verdict, "reasons": list(self.fit.review.reasons)}
        return {
            "picture": str(self.out), "before": self.before, "after": self.after, "shaded": self.shaded,
            "figures": dict(self.fit.figures), "review": review,
        }  # fmt: skip

    def as_text(self) -> str:
        figures, review = self.fit.figures, self.fit.review
        changed = [
            f"{unit} {self.before.get(unit, 0.0):.2f} -> {self.after.get(unit, 0.0):.2f}"
            for unit in sorted({*self.before, *self.after}, key=lambda u: -abs(self._change(u)))
            if abs(self._change(unit)) >= 0.05
        ]
        more = f" and {len(changed) - _SHOWN} more" if len(changed) > _SHOWN else ""
        lines = [
            f"{self.out}: {', '.join(changed[:_SHOWN]) or 'the expression as it was'}{more}",
            f"the face was fitted with its landmarks within {figures['landmark_percent']:.1f} % of the eyes' distance: "
            f"{review.verdict}",
        ]
        if not self.shaded:
            lines.append("nothing was found of the light: the skin keeps the shading that it had")
        return "\n".join([*lines, *(f"  {reason}" for reason in review.reasons)])

    def _change(self, unit: str) -> float:
        return self.after.get(unit, 0.0) - self.before.get(unit, 0.0)


_SHOWN = 6


def edit_photo_file(given: EditInputs, out: Path, *, progress: Progress = no_progress) -> EditedPhoto:
    """Fit the model, give the face other weights and write the photograph, as large as it was.

    Raises DataError for a photograph without a face, weights that the model does not have or that are not in 0..1, and
    an `out` that is no picture or the photograph itself.
    """
    if out.suffix.lower() not in SUFFIXES:
        raise DataError(f"{out} is no picture's name: give --out one that ends in {', '.join(SUFFIXES)}")
    if out.resolve() == given.photograph.resolve():
        raise DataError(f"{out} is the photograph itself; give another --out")
    progress(0.0, "reading")
    wanted = read_weights(given.weights)
    photograph = read_photograph(given.photograph, focal_px=given.focal_px, face=given.face)
    model = read_model(given.model)
    weights = named_weights(model, wanted, str(given.weights))
    with LandmarkDetector(faces=MOST_FACES) as detector:
        fit = fit_photographs(
            model, [photograph], settings=given.fit, detector=detector, progress=part(progress, 0.2, 0.6)
        )[0]
    if given.add:
        weights = (fit.weights + weights).clip(0, 1)
    progress(0.6, "light")
    if fit.appearance is None and given.edit.shade:
        fit = with_light(model, fit, photograph.image)
    progress(0.7, "editing")
    edited = edit_expression(model, fit, photograph.image, weights, settings=given.edit)
    out.parent.mkdir(parents=True, exist_ok=True)
    write_image(out, edited)
    shaded = given.edit.shade and fit.appearance is not None
    return EditedPhoto(out, fit, _named(model.units, fit.weights), _named(model.units, weights), shaded)


def with_light(model: FaceModel, fit: PhotoFit, image: Image) -> PhotoFit:
    """The fit with the light of its photograph (H, W, 3); as it is where too little of the face is seen."""
    rng = np.random.default_rng(0)
    try:
        found = estimate_appearance(model, fit.vertices_mm, fit.camera.camera, image, rng=rng)
    except NoLight:
        return fit
    return replace(fit, appearance=found)


def _named(units: tuple[str, ...], weights: Floats) -> dict[str, float]:
    return {unit: round(float(w), 4) for unit, w in zip(units, np.asarray(weights), strict=True) if w > 5e-3}
