"""`mien model rig`: a scan, or a subject's registered meshes, to a rig by a model."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from common.array_types import Floats
from common.progress import Progress, no_progress, part
from common.take_codes import TakeLabel
from processing.errors import DataError, MeshError
from processing.face_models.blendshapes.build_rig import build_rig
from processing.face_models.blendshapes.rig import Rig, write_rig
from processing.face_models.exports.rig_targets import model_rig, rig_targets
from processing.face_models.face_model import FaceModel
from processing.face_models.fit_files import FitInputs, check_scans, read_scans
from processing.face_models.fitting.face_fit import FaceFit
from processing.face_models.fitting.fit_figures import judge_fit
from processing.face_models.fitting.normal_equations import FitPrior
from processing.face_models.fitting.surface_fit import fit_surfaces
from processing.face_models.fitting.vertex_fit import VertexFitSettings, fit_meshes
from processing.face_models.model_file import read_model
from processing.files.mesh_files import read_mesh
from processing.files.morph_targets.obj_folder import write_obj_folder
from processing.template.face_units import FaceUnits
from processing.template.template import from_mesh


@dataclass(frozen=True, eq=False)
class MadeRig:
    """A rig and what was written of it."""

    rig: Rig
    file: Path
    folder: Path | None  # of OBJs
    figures: Mapping[str, Any]  # of each example by its label

    def as_report(self) -> dict[str, Any]:
        return {
            "rig": str(self.file), "obj": None if self.folder is None else str(self.folder),
            "units": len(self.rig.names), "vertices": len(self.rig.neutral_mm), "examples": dict(self.figures),
        }  # fmt: skip

    def as_text(self) -> str:
        lines = [f"{self.file}: neutral and {len(self.rig.names)} shapes of {len(self.rig.neutral_mm)} vertices"]
        for label, one in self.figures.items():
            lines.append(f"  {label}: the face within {one['mean_mm']:.2f} mm on average, 95 % {one['p95_mm']:.2f} mm")
        return "\n".join(lines)


def rig_files(
    given: FitInputs, out: Path, *, refine: bool = True, objs: bool = True, progress: Progress = no_progress
) -> MadeRig:
    """A rig by the model, of scans of one person or a folder of their registered meshes: rig.npz, and obj/ with all 53.

    refine: blendshapes are made the subject's own by its registered expressions, where there is a neutral and another.
    Raises DataError with what is wrong and what to do.
    """
    subject = given.scans[0] if len(given.scans) == 1 and given.scans[0].is_dir() else None
    if subject is None:
        check_scans(given.scans, given.landmarks, out)
    progress(0.0, "reading the model")
    model = read_model(given.model)
    if subject is not None:
        meshes = _read_meshes(model, registered_meshes(subject), part(progress, 0.1, 0.3))
        progress(0.3, "fitting the model")
        fits = _subject_fits(model, meshes)
        rig = refined_rig(model, fits, meshes, part(progress, 0.4, 0.8)) if refine else fitted_rig(model, fits)
    else:
        scans, points = read_scans(given.scans, given.landmarks, part(progress, 0.1, 0.3))
        found = fit_surfaces(model, scans, points, settings=given.settings, progress=part(progress, 0.3, 0.8))
        fits = dict(zip((path.stem for path in given.scans), found, strict=True))
        _require_trust(fits)
        rig = fitted_rig(model, fits)
    progress(0.8, "writing")
    out.mkdir(parents=True, exist_ok=True)
    folder = out / "obj" if objs else None
    if folder is not None:
        write_obj_folder(folder, rig_targets(rig, model.topology.mesh, "face"))
    write_rig(out / "rig.npz", rig)
    return MadeRig(rig, out / "rig.npz", folder, {label: fit.figures["face"] for label, fit in fits.items()})


def refined_rig(
    model: FaceModel, fits: Mapping[str, FaceFit], meshes: Mapping[str, Floats], progress: Progress = no_progress
) -> Rig:
    """The subject's own blendshapes from its registered meshes (V, 3), with those of the model as what they begin from.

    What the model gives the fitted identity where there is no neutral, or nothing else.
    """
    plain = fitted_rig(model, fits)
    if len(_neutrals(meshes)) != 1 or len(meshes) < 2:
        return plain
    topology = model.topology
    template = from_mesh(
        topology.name,
        topology.mesh.with_vertices(plain.neutral_mm.astype(np.float64)),
        topology.landmark_triangles,
        topology.landmark_barycentric,
        parts=topology.parts,
        version=topology.version,
    )
    units = FaceUnits(model.units, plain.shapes_mm - plain.neutral_mm, topology.topology)
    rig = build_rig(template, units, meshes, progress=progress)
    return replace(rig, figures={**rig.figures, **plain.figures})


def fitted_rig(model: FaceModel, fits: Mapping[str, FaceFit]) -> Rig:
    """The shapes that the model gives the identity of fits that share it. fits: by the examples' labels."""
    return replace(
        model_rig(model, next(iter(fits.values())).identity),
        examples=tuple(fits),
        weights=np.array([fit.weights for fit in fits.values()]),
        figures={"model": {"name": model.name, "version": model.version}},
    )


def registered_meshes(subject: Path) -> dict[TakeLabel, Path]:
    """The meshes <k>_<name>.obj of a subject's folder, or of models_reg in it, by their numbers. Raises DataError."""
    for folder in (subject / "models_reg", subject):
        labelled = {TakeLabel.find(path.stem): path for path in sorted(folder.glob("*.obj"))}
        found = {label: path for label, path in labelled.items() if label is not None}
        if found:
            return dict(sorted(found.items()))
    raise DataError(
        f"{subject} holds no registered meshes <k>_<name>.obj, nor does models_reg in it; `mien process` makes them"
    )


def _read_meshes(model: FaceModel, found: Mapping[TakeLabel, Path], progress: Progress) -> dict[str, Floats]:
    meshes: dict[str, Floats] = {}
    for number, (label, path) in enumerate(found.items()):
        progress(number / len(found), f"reading {label}")
        mesh = read_mesh(path)
        same = len(mesh.vertices_mm) == model.vertex_count
        if not (same and np.array_equal(mesh.triangles, model.topology.mesh.triangles)):
            raise MeshError(
                f"{path} has {len(mesh.vertices_mm)} vertices in another topology than model {model.name} "
                f"({model.vertex_count}, template {model.topology.name}); register the scans to that template"
            )
        meshes[str(label)] = mesh.vertices_mm
    return meshes


def _neutrals(meshes: Mapping[str, Floats]) -> list[str]:
    return [label for label in meshes if TakeLabel.parse(label).is_neutral]


def _subject_fits(model: FaceModel, meshes: Mapping[str, Floats]) -> dict[str, FaceFit]:
    """The identity of the neutral, in which no expression stands for it; of all meshes where there is no neutral."""
    neutral = _neutrals(meshes)
    labels = neutral or list(meshes)
    prior = FitPrior(expression=not neutral)
    fits = fit_meshes(model, [meshes[label] for label in labels], settings=VertexFitSettings(prior, robust=True))
    return dict(zip(labels, fits, strict=True))


def _require_trust(fits: Mapping[str, FaceFit]) -> None:
    for label, fit in fits.items():
        review = judge_fit(fit.figures)
        if review.verdict == "redo":
            raise DataError(
                f"no rig is made: the fit to {label} cannot be trusted ({review.reasons[0]}); `mien model fit` draws it"
            )
