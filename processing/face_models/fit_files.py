"""`mien model fit`: scans and a model from files to fitted meshes, parameters and pictures in files."""

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from common.array_types import Floats
from common.files.atomic_write import atomic_write
from common.progress import Progress, no_progress, part
from processing.errors import DataError
from processing.face_models.face_model import FaceModel
from processing.face_models.fitting.face_fit import FaceFit
from processing.face_models.fitting.fit_figures import judge_fit
from processing.face_models.fitting.fit_picture import fit_picture
from processing.face_models.fitting.normal_equations import FitPrior
from processing.face_models.fitting.scan_placing import thinned_if_dense
from processing.face_models.fitting.surface_fit import SurfaceFitSettings, fit_surfaces
from processing.face_models.model_file import read_model
from processing.files.image_files import write_image
from processing.files.mesh_files import check_mesh_name, read_scan
from processing.files.obj import write_obj
from processing.geometry.mesh import Mesh
from processing.landmarks.landmark_files import read_landmarks
from processing.scan_quality.verdict import QualityReview

SAME_SIDES = 1e6  # weight by which left and right are made one


@dataclass(frozen=True)
class FitInputs:
    """What is fitted, and what is known of it."""

    model: Path
    scans: tuple[Path, ...]  # of one person
    landmarks: tuple[Path, ...] = ()  # one a scan, or none: they are found on the scans
    unknown_unit: bool = False  # the scans' unit is not the millimetre; what it is is found
    symmetric: bool = False  # left and right do the same
    neutral: bool = False  # no scan shows an expression

    @property
    def settings(self) -> SurfaceFitSettings:
        symmetry = SAME_SIDES if self.symmetric else 0.0
        return SurfaceFitSettings(FitPrior(symmetry=symmetry, scale=self.unknown_unit, expression=not self.neutral))


@dataclass(frozen=True, eq=False)
class FittedScan:
    """One scan's fit, and what was written of it."""

    scan: str  # its name
    fit: FaceFit
    review: QualityReview
    mesh: Path
    parameters: Path
    picture: Path

    def as_report(self) -> dict[str, Any]:
        files = {"mesh": str(self.mesh), "parameters": str(self.parameters), "picture": str(self.picture)}
        review = {"verdict": self.review.verdict, "reasons": list(self.review.reasons)}
        return {"scan": self.scan, "files": files, "figures": dict(self.fit.figures), "review": review}

    def as_text(self) -> str:
        face = self.fit.figures["face"]
        lines = [
            f"{self.mesh}: the face lies {face['mean_mm']:.2f} mm from the scan on average, 95 % within "
            f"{face['p95_mm']:.2f} mm; {100 * face['covered']:.0f} % of it has a scan",
            f"{self.review.verdict}: {self.picture}",
        ]
        return "\n".join([*lines, *(f"  {reason}" for reason in self.review.reasons)])


def fit_files(given: FitInputs, out: Path, *, progress: Progress = no_progress) -> list[FittedScan]:
    """Fit all scans with one identity and write <scan>.obj, <scan>.fit.json and <scan>.fit.png; nothing if one fails.

    Raises DataError with what is wrong and what to do.
    """
    check_scans(given.scans, given.landmarks, out)
    progress(0.0, "reading the model")
    with ThreadPoolExecutor(1) as beside:  # half a gigabyte
        reading = beside.submit(read_model, given.model)
        scans, points = read_scans(given.scans, given.landmarks, part(progress, 0.1, 0.3))
        model = reading.result()
    fits = fit_surfaces(model, scans, points, settings=given.settings, progress=part(progress, 0.3, 0.8))
    made = []
    for number, (path, scan, fit) in enumerate(zip(given.scans, scans, fits, strict=True)):
        progress(0.8 + 0.2 * number / len(scans), f"writing {path.stem}")
        made.append(_write(model, path, scan, fit, out))
    return made


def check_scans(scans: Sequence[Path], landmarks: Sequence[Path], out: Path) -> None:
    """Raises DataError for scans of one name, or that would be overwritten, and for landmarks that are not theirs."""
    names = [path.stem for path in scans]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(f"two scans are called {twice[0]}; rename one: results go by their names")
    if landmarks and len(landmarks) != len(scans):
        raise DataError(f"{len(scans)} scans and {len(landmarks)} files of landmarks: give one a scan, in their order")
    for path in scans:
        check_mesh_name(path)
        if path.resolve() == (out / f"{path.stem}.obj").resolve():
            raise DataError(f"{out / path.name} is the scan itself; give another --out")


def read_scans(
    scans: Sequence[Path], landmarks: Sequence[Path], progress: Progress
) -> tuple[list[Mesh], list[Floats | None]]:
    """The scans, dense ones thinned, and each one's landmarks (68, 3), None where they are to be found."""
    meshes = []
    for number, path in enumerate(scans):
        progress(number / len(scans), f"reading {path.stem}")
        meshes.append(read_scan(path, thinned_if_dense))
    points: list[Floats | None] = [read_landmarks(path).points_mm for path in landmarks]
    return meshes, points or [None] * len(scans)


def fit_parameters(model: FaceModel, fit: FaceFit) -> dict[str, Any]:
    """A fit as JSON has it, but for its mesh."""
    return {
        "kind": "mien face fit",
        "model": {"name": model.name, "version": model.version, "topology": model.topology.topology},
        "length_unit": "mm" if fit.scale == 1 else "of the scan",
        "identity": fit.identity.tolist(),
        "scores": fit.scores.tolist(),
        "score_deviation": fit.score_deviation.tolist(),
        "weights": dict(zip(model.units, fit.weights.tolist(), strict=True)),
        "pose": {"R": fit.R.tolist(), "t": fit.t.tolist(), "scale": fit.scale},
        "figures": dict(fit.figures),
    }


def _write(model: FaceModel, path: Path, scan: Mesh, fit: FaceFit, out: Path) -> FittedScan:
    """Mesh and picture first, the parameters last."""
    review = judge_fit(fit.figures)
    stem = out / path.stem
    made = FittedScan(path.stem, fit, review, Path(f"{stem}.obj"), Path(f"{stem}.fit.json"), Path(f"{stem}.fit.png"))
    back = fit.motion.inverse()
    here = replace(scan, vertices_mm=back(scan.vertices_mm))
    out.mkdir(parents=True, exist_ok=True)
    write_obj(made.mesh, model.topology.mesh.with_vertices(fit.vertices_mm))
    write_image(made.picture, fit_picture(model, here, back(fit.vertices_mm), review, fit.weights))
    content = fit_parameters(model, fit) | {"review": {"verdict": review.verdict, "reasons": list(review.reasons)}}
    with atomic_write(made.parameters) as temporary:
        temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return made
