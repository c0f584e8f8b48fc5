"""A model fitted to photographs, as files: mesh, camera, parameters, and a picture to look at, for each photograph."""

import json
import os
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from common.array_types import Floats
from common.files.atomic_write import atomic_write
from common.progress import Progress, no_progress, part
from processing.errors import DataError
from processing.face_models.face_model import FaceModel
from processing.files.image_files import write_image
from processing.landmarks.detector import LandmarkDetector
from processing.landmarks.face_finding import MOST_FACES
from processing.single_view.fitting.choosing import chosen_face
from processing.single_view.photo_camera import write_camera
from processing.single_view.photograph import PhotoFit, PhotoFitSettings, Photograph
from processing.single_view.photograph_files import read_photograph

_PICTURES = (".overlay.png", ".albedo.png")
_MOST_NAME_BYTES = 200  # of 255 that file systems take, with endings and a random part while a file is written


@dataclass(frozen=True)
class PhotoFitInputs:
    """What `mien face fit` is given."""

    model: Path
    photographs: tuple[Path, ...]
    each: bool = False  # every photograph is another person
    focal_px: float | None = None
    face: str | None = None  # which of several
    settings: PhotoFitSettings = field(default_factory=PhotoFitSettings)


@dataclass(frozen=True, eq=False)
class FittedPhoto:
    """A fit and the files that it was written to."""

    name: str
    fit: PhotoFit
    mesh: Path
    camera: Path
    parameters: Path
    picture: Path

    def as_report(self) -> dict[str, Any]:
        return {
            "photograph": self.name,
            "verdict": self.fit.review.verdict,
            "reasons": list(self.fit.review.reasons),
            "figures": dict(self.fit.figures),
            "mesh": str(self.mesh), "camera": str(self.camera), "parameters": str(self.parameters),
            "picture": str(self.picture),
        }  # fmt: skip

    def as_text(self) -> str:
        figures = self.fit.figures
        known = "known" if self.fit.camera.focal_known else f"within {100 * figures['focal_share']:.0f} %"
        lines = [
            f"{self.mesh}: landmarks within {figures['landmark_percent']:.1f} % of the eyes' distance; focal length "
            f"{figures['focal_px']:.0f} px ({known}); {100 * figures['identity_known']:.0f} % of the identity known",
            f"{self.fit.review.verdict}: {self.picture}",
        ]
        return "\n".join([*lines, *(f"  {reason}" for reason in self.fit.review.reasons)])


@dataclass(frozen=True)
class NotFitted:
    """A photograph that failed while others went on."""

    name: str
    reason: str


def fit_photo_files(
    given: PhotoFitInputs, out: Path, *, progress: Progress = no_progress
) -> list[FittedPhoto | NotFitted]:
    """Fit photographs; write OUT/<photograph>.obj, .camera.json, .fit.json, .overlay.png and, of a model with colours,
    .albedo.png.

    Of one person: all share the identity, and nothing is written if one fails. `each`: one after the other; one that
    fails is told and the rest go on. Raises DataError.
    """
    check_names(given.photographs, out)
    progress(0.0, "reading")
    with ThreadPoolExecutor(4) as beside, ExitStack() as opened:
        photographs_read = None if given.each else beside.submit(_read_all, given)
        detector_opened = beside.submit(LandmarkDetector, faces=MOST_FACES)
        opened.callback(_close, detector_opened)
        detected = None if photographs_read is None else beside.submit(_detected, photographs_read, detector_opened)
        # What takes long to load, and can wait, is loaded while the photograph is decoded and the face is found.
        from processing.face_models.model_file import map_model
        from processing.geometry import open3d_core
        from processing.single_view.photo_fit import fit_photographs

        model, check = map_model(given.model)
        checked = beside.submit(check)
        made: list[FittedPhoto | NotFitted] = []
        if photographs_read is not None and detected is not None:
            open3d_core.load()
            first = photographs_read.result()
            fits = fit_photographs(
                model, first, settings=given.settings, landmarks=detected.result, progress=part(progress, 0.2, 0.9)
            )
            checked.result()
            made += [write_fit(model, photograph, fit, out) for photograph, fit in zip(first, fits, strict=True)]
        else:
            checked.result()
            with detector_opened.result() as detector:
                for number, path in enumerate(given.photographs):
                    now = part(progress, 0.2 + 0.8 * number / len(given.photographs), 1.0)
                    now(0.0, path.stem)
                    made.append(_fit_one(model, given, path, out, detector))
    return made


def _close(detector: Future[LandmarkDetector]) -> None:
    with suppress(Exception):  # of one that did not open: told where it was waited for
        detector.result().close()


def _detected(photographs: Future[list[Photograph]], detector: Future[LandmarkDetector]) -> list[Floats]:
    """(478, 2) px of each photograph's chosen face. Raises NoFace, PhotoFitError, and what the two did not manage."""
    return [chosen_face(one, detector.result()).landmarks_px for one in photographs.result()]


def _read_all(given: PhotoFitInputs) -> list[Photograph]:
    return [read_photograph(path, focal_px=given.focal_px, face=given.face) for path in given.photographs]


def _fit_one(
    model: FaceModel, given: PhotoFitInputs, path: Path, out: Path, detector: LandmarkDetector
) -> FittedPhoto | NotFitted:
    from processing.single_view.photo_fit import fit_photographs

    try:
        photograph = read_photograph(path, focal_px=given.focal_px, face=given.face)
        fit = fit_photographs(model, [photograph], settings=given.settings, detector=detector)[0]
        return write_fit(model, photograph, fit, out)
    except DataError as error:
        return NotFitted(path.stem, str(error))


def check_names(photographs: Sequence[Path], out: Path) -> None:
    """Raises DataError for photographs of one name, of a name that is too long, or that would be overwritten."""
    if out.exists() and not out.is_dir():
        raise DataError(f"{out} is no folder; give another --out: there each photograph gets several files")
    names = [path.stem for path in photographs]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(f"two photographs are called {twice[0]}; rename one: results go by their names")
    long = next((name for name in names if len(os.fsencode(name)) > _MOST_NAME_BYTES), None)
    if long is not None:
        raise DataError(f"the name {long[:40]}... is too long for what is written beside it; rename the photograph")
    written = {(out / f"{name}{suffix}").resolve() for name in names for suffix in _PICTURES}
    over = next((path for path in photographs if path.resolve() in written), None)
    if over is not None:
        raise DataError(f"{over} would be written over; give another --out")


def fit_parameters(model: FaceModel, fit: PhotoFit) -> dict[str, Any]:
    """A fit as JSON has it, but for its mesh."""
    camera = fit.camera.camera
    content: dict[str, Any] = {
        "kind": "mien photograph fit",
        "model": {"name": model.name, "version": model.version, "topology": model.topology.topology},
        "length_unit": "mm",
        "identity": fit.identity.tolist(),
        "scores": fit.scores.tolist(),
        "score_deviation": fit.score_deviation.tolist(),
        "weights": dict(zip(model.units, fit.weights.tolist(), strict=True)),
        "camera": fit.camera.as_json()
        | {"size_px": [camera.width, camera.height], "focal_known": fit.camera.focal_known},
        "landmarks_px": fit.landmarks_px.round(3).tolist(),
        "figures": dict(fit.figures),
        "review": {"verdict": fit.review.verdict, "reasons": list(fit.review.reasons)},
    }
    if fit.appearance is not None:
        content["appearance"] = {
            # Shading of a unit normal in the camera's axes (x right, y down, z away): a factor on linear colour.
            "lighting": fit.appearance.lighting.coefficients.tolist(),
            "albedo": fit.appearance.albedo.tolist(),
            "deviation": fit.appearance.deviation,
            "skin_share": fit.appearance.share,
        }
    return content


def _write_colours(model: FaceModel, fit: PhotoFit, path: Path) -> None:
    if model.albedo is not None and fit.appearance is not None:
        write_image(path, np.ascontiguousarray(model.albedo.picture(fit.appearance.albedo)[..., ::-1]))


def write_fit(model: FaceModel, photograph: Photograph, fit: PhotoFit, out: Path) -> FittedPhoto:
    """Mesh, camera and picture first, the parameters last."""
    from processing.files.obj import write_obj
    from processing.single_view.fit_picture import fit_picture

    stem = f"{out / photograph.name}"
    made = FittedPhoto(
        photograph.name, fit, Path(f"{stem}.obj"), Path(f"{stem}.camera.json"), Path(f"{stem}.fit.json"),
        Path(f"{stem}.overlay.png"),
    )  # fmt: skip
    out.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(2) as beside:
        written = [beside.submit(_write_colours, model, fit, Path(f"{stem}.albedo.png"))]
        picture = fit_picture(model, photograph, fit)
        written.append(beside.submit(write_image, made.picture, picture))
        write_obj(made.mesh, model.topology.mesh.with_vertices(fit.vertices_mm))
        write_camera(made.camera, fit.camera)
        for one in written:
            one.result()
    with atomic_write(made.parameters) as temporary:
        temporary.write_text(json.dumps(fit_parameters(model, fit), indent=1) + "\n", encoding="utf-8")
    return made
