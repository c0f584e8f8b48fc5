"""`mien face detail`: one photograph to a detailed face in a folder, by a model and learned weights."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from common.array_types import Floats, Image
from common.progress import Progress, no_progress, part
from processing.errors import DataError
from processing.face_models.blendshapes.rig import Rig
from processing.face_models.detailed_face import DetailedFace, FaceParts, write_detailed_face
from processing.face_models.exports.rig_targets import model_rig
from processing.face_models.face_model import FaceModel
from processing.face_models.model_file import read_model
from processing.files.displacement_map import DisplacementMap
from processing.landmarks.detector import LandmarkDetector
from processing.landmarks.face_finding import MOST_FACES
from processing.learning.detail.detail_predictor import DetailPredictor
from processing.learning.detail.photo_texture import PhotoTexture, photo_texture
from processing.learning.weights_file import LearnedCard, read_weights
from processing.single_view.editing.edit_files import with_light
from processing.single_view.photo_fit import fit_photographs
from processing.single_view.photograph import PhotoFit, PhotoFitSettings
from processing.single_view.photograph_files import read_photograph

TEXTURE_PX = 1024


@dataclass(frozen=True)
class DetailInputs:
    """What `mien face detail` is given."""

    photograph: Path
    model: Path
    weights: Path
    size_px: int = 1024  # of the displacement maps
    focal_px: float | None = None
    face: str | None = None  # which of several
    device: str = "cpu"
    fit: PhotoFitSettings = field(default_factory=PhotoFitSettings)


@dataclass(frozen=True, eq=False)
class MadeDetail:
    """A detailed face and the fit that it stands on."""

    face: DetailedFace
    fit: PhotoFit

    def as_report(self) -> dict[str, Any]:
        review = {"verdict": self.fit.review.verdict, "reasons": list(self.fit.review.reasons)}
        return {
            "folder": str(self.face.folder), "expressions": list(self.face.labels),
            "units": len(self.face.rig.names), "completed": self.face.facts["completed"],
            "figures": dict(self.fit.figures), "review": review,
        }  # fmt: skip

    def as_text(self) -> str:
        facts, review = self.face.facts, self.fit.review
        lines = [
            f"{self.face.folder}: a rig of {len(self.face.rig.names)} units, {len(self.face.labels)} expressions with "
            f"displacement maps of {facts['displacement_px']} px (the network knows {facts['network_px']} px)",
            f"{100 * facts['completed_face']:.0f} % of the face's texture was not seen and is completed "
            f"(completed.png); the fit: {review.verdict}",
        ]
        return "\n".join([*lines, *(f"  {reason}" for reason in review.reasons)])


def detail_files(given: DetailInputs, out: Path, *, progress: Progress = no_progress) -> MadeDetail:
    """Fit, texture, displacement maps of the key expressions, rig: written as `detailed_face` has it.

    Raises DataError for a photograph without a face, weights of another model's topology, an `out` that is a file.
    """
    if out.exists() and not out.is_dir():
        raise DataError(f"{out} is no folder; give another --out: a detailed face is a folder of files")
    progress(0.0, "reading")
    weights = read_weights(given.weights, "detail")
    model = read_model(given.model)
    predictor = DetailPredictor.open(weights, model.topology.mesh, given.device)
    photograph = read_photograph(given.photograph, focal_px=given.focal_px, face=given.face)
    with LandmarkDetector(faces=MOST_FACES) as detector:
        fit = fit_photographs(
            model, [photograph], settings=given.fit, detector=detector, progress=part(progress, 0.1, 0.4)
        )[0]
    if fit.appearance is None:
        fit = with_light(model, fit, photograph.image)
    facts = {"photograph": given.photograph.name, "weights": _lineage(weights.card)}
    face = detailed_face(model, predictor, fit, photograph.image, out, given.size_px, facts, part(progress, 0.4, 1.0))
    return MadeDetail(face, fit)


def detailed_face(
    model: FaceModel,
    predictor: DetailPredictor,
    fit: PhotoFit,
    image: Image,
    out: Path,
    size_px: int,
    facts: dict[str, Any],
    progress: Progress = no_progress,
) -> DetailedFace:
    """The detailed face of a fitted photograph (H, W, 3) BGR. Raises DataError where model and weights do not fit."""
    progress(0.0, "texture")
    seen = photo_texture(model, fit, image, TEXTURE_PX)
    rig = key_rig(model, predictor, fit)
    meshes = {label: rig.face(weights) for label, weights in zip(rig.examples, rig.weights, strict=True)}
    parts = FaceParts(
        rig,
        model.topology.mesh,
        meshes,
        _maps(predictor, rig, meshes, fit, seen, size_px, part(progress, 0.1, 1.0)),
        {rig.examples[0]: seen.texture},
        {
            "source": "predicted", **facts,
            "model": {"name": model.name, "version": model.version, "topology": model.topology.topology},
            "completed": round(seen.share, 4), "completed_face": round(seen.face_share, 4),
            "displacement_px": size_px, "network_px": predictor.own_px,
            "fit": {"verdict": fit.review.verdict, "reasons": list(fit.review.reasons)},
        },
        seen.completed,
    )  # fmt: skip
    return write_detailed_face(out, parts)


def key_rig(model: FaceModel, predictor: DetailPredictor, fit: PhotoFit) -> Rig:
    """The fitted person's rig, with the weights of the key expressions. Raises DataError for other units."""
    if set(predictor.units) != set(model.units):
        raise DataError(f"model {model.name} has other units than the weights' key expressions; train with this model")
    order = [predictor.units.index(unit) for unit in model.units]
    plain = model_rig(model, fit.identity)
    correction = fit.correction_mm.astype(np.float32)
    return replace(
        plain,
        neutral_mm=plain.neutral_mm + correction,
        shapes_mm=plain.shapes_mm + correction,
        examples=predictor.labels,
        weights=predictor.key_weights[:, order],
        figures={"model": {"name": model.name, "version": model.version}},
    )


def _maps(
    predictor: DetailPredictor,
    rig: Rig,
    meshes: dict[str, Floats],
    fit: PhotoFit,
    seen: PhotoTexture,
    size_px: int,
    progress: Progress,
) -> Iterator[tuple[str, DisplacementMap]]:
    rest, source = rig.neutral_mm.astype(np.float64), rig.face(fit.weights)
    for number, label in enumerate(rig.examples):
        progress(number / len(rig.examples), label)
        yield label, predictor.map(seen.texture, rest, source, meshes[label], size_px, label=number)


def _lineage(card: LearnedCard) -> dict[str, Any]:
    """What the weights were learned from, for face.json."""
    return {
        "kind": card.kind, "release": dict(card.release), "model": dict(card.model), "subjects": len(card.subjects),
        "made": dict(card.made),
    }  # fmt: skip
