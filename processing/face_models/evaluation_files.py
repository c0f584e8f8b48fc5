"""`mien model evaluate`: models and registered meshes from files, curves into files."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from common.array_types import Floats
from common.files.atomic_write import write_whole
from common.progress import Progress, no_progress, part
from common.take_codes import TakeLabel
from processing.errors import DataError
from processing.face_models.crossings import ALLOWED_MM, CrossingCounts, count_crossings
from processing.face_models.evaluation import (
    ErrorCurve,
    HeldOutMesh,
    evaluate,
    evaluated_vertices,
    face_components,
)
from processing.face_models.evaluation_curves import curves_svg
from processing.face_models.face_model import FaceModel
from processing.face_models.model_file import read_model
from processing.files.mesh_files import read_mesh

MESHES = "models_reg"
FIGURES, PICTURE = "evaluation.json", "evaluation.svg"
MOST_COMPONENT_MESHES = 2500


@dataclass(frozen=True)
class EvaluationChoice:
    """What is evaluated beside what."""

    members: Path | None = None  # registered meshes of the model's own members, for principal components
    beside: tuple[Path, ...] = ()  # other models
    takes: tuple[str, ...] = ()  # labels or names of expressions; all of them otherwise
    crossings: int = 0  # random faces in which parts in each other are counted


@dataclass(frozen=True)
class RegisteredMesh:
    """A file of a registered mesh."""

    subject: str
    label: str
    path: Path


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What `evaluate_files` found."""

    curves: list[ErrorCurve]
    subjects: int
    meshes: int
    crossings: tuple[CrossingCounts, CrossingCounts] | None = None  # as the model has them, and drawn apart

    def as_json(self) -> dict[str, object]:
        told: dict[str, object] = {"subjects": self.subjects, "meshes": self.meshes}
        told["curves"] = [curve.figures() for curve in self.curves]
        if self.crossings is not None:
            told["crossings"] = {
                k: asdict(c) for k, c in zip(("as_summed", "drawn_apart"), self.crossings, strict=True)
            }
        return told

    def rows(self) -> list[tuple[object, ...]]:
        """A line a curve, for a table."""
        return [
            (
                *(c.name, c.parameters, c.measure),
                *(f"{c.mean_mm:.3f}", f"{c.quantile_mm(0.5):.2f}", f"{c.quantile_mm(0.95):.2f}"),
                *(f"{100 * c.share_within(mm):.1f} %" for mm in (0.5, 1.0, 2.0)),
            )
            for c in self.curves
        ]

    def crossing_lines(self) -> list[str]:
        """How many random faces have parts in each other."""
        if self.crossings is None:
            return []
        lines = []
        for counts, how in zip(self.crossings, ("as summed", "drawn apart"), strict=True):
            kinds = ", ".join(f"{kind.replace('_', ' ')} {count}" for kind, count in counts.by_kind.items())
            lines.append(
                f"{counts.crossing} of {counts.faces} random faces {how} have parts over {ALLOWED_MM:g} mm in each "
                f"other ({kinds}; deepest {max(counts.deepest_mm.values()):.2f} mm)"
            )
        return lines


def registered_meshes(folder: Path, takes: tuple[str, ...] = ()) -> list[RegisteredMesh]:
    """The meshes <subject>/models_reg/<k>_<name>.obj of a folder of subjects, of a release, or of one subject's folder.

    takes: labels ('2_smile') or names ('smile') to take alone. Raises DataError where there are none.
    """
    if not folder.is_dir():
        raise DataError(
            f"{folder} is not a folder; give a release, or a folder of subjects with {MESHES}/<k>_<name>.obj"
        )
    homes = [folder] if (folder / MESHES).is_dir() else sorted(p.parent for p in folder.glob(f"*/{MESHES}"))
    found = []
    for home in homes:
        for path in sorted((home / MESHES).glob("*.obj"), key=lambda p: _order(p.stem)):
            label = TakeLabel.find(path.stem)
            if label is not None and (not takes or path.stem in takes or label.name in takes):
                found.append(RegisteredMesh(home.name, path.stem, path))
    if not found:
        which = f" of {', '.join(takes)}" if takes else ""
        raise DataError(f"{folder} has no registered meshes{which}: no <subject>/{MESHES}/<k>_<name>.obj")
    return found


def evaluate_files(
    model_file: Path, folder: Path, out: Path, choice: EvaluationChoice, *, progress: Progress = no_progress
) -> Evaluation:
    """Fit a model to the registered meshes of held-out people; write evaluation.json and evaluation.svg into `out`.

    Raises DataError for meshes of another topology, and what reading the files raises.
    """
    progress(0.0, "reading the model")
    model = read_model(model_file)
    beside = [read_model(path) for path in choice.beside]
    held_out = registered_meshes(folder, choice.takes)
    components, start = None, 0.05
    if choice.members is not None:
        own = registered_meshes(choice.members, choice.takes)
        if {m.path.resolve() for m in own} & {m.path.resolve() for m in held_out}:
            raise DataError(f"{choice.members} and {folder} share meshes: who is held out is no member")
        every = -(-len(own) // MOST_COMPONENT_MESHES)
        start = 0.4
        meshes = _read_all(model, own[::every], part(progress, 0.05, start))
        some = evaluated_vertices(model).nonzero()[0]
        count = model.identity_count + len(model.units)
        components = face_components(meshes, some, model.topology.mesh.vertices_mm, count)
    loads = [lambda m=mesh: HeldOutMesh(m.subject, m.label, _read(model, m.path)) for mesh in held_out]
    end = 0.8 if choice.crossings else 1.0
    curves = evaluate(model, loads, components=components, beside=beside, progress=part(progress, start, end))
    crossings = None
    if choice.crossings:
        rng = np.random.default_rng(0)
        crossings = count_crossings(model, choice.crossings, rng, progress=part(progress, end, 1.0))
    subjects = len({m.subject for m in held_out})
    found = Evaluation(curves, subjects, len(held_out), crossings)
    out.mkdir(parents=True, exist_ok=True)
    write_whole(out / FIGURES, json.dumps(found.as_json(), indent=1) + "\n")
    title = f"{len(held_out)} meshes of {subjects} people who are not in the model"
    write_whole(out / PICTURE, curves_svg(curves, title))
    return found


def _read_all(model: FaceModel, meshes: list[RegisteredMesh], progress: Progress) -> Iterator[Floats]:
    for number, mesh in enumerate(meshes):
        progress(number / len(meshes), f"member's mesh {number + 1} of {len(meshes)}")
        yield _read(model, mesh.path)


def _read(model: FaceModel, path: Path) -> Floats:
    """(V, 3) a mesh's vertices. Raises DataError where they are not of the model's topology."""
    mesh = read_mesh(path)
    if len(mesh.vertices_mm) != model.vertex_count:
        raise DataError(
            f"{path} has {len(mesh.vertices_mm)} vertices, model {model.name} {model.vertex_count}: register it to "
            f"template {model.topology.name}, or evaluate the model of its own topology with this one beside it"
        )
    return mesh.vertices_mm


def _order(stem: str) -> tuple[int, str]:
    label = TakeLabel.find(stem)
    return (label.position if label else 0, stem)
