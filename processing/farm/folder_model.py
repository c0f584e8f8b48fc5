"""`mien model build --from`: a model of registered meshes in folders, without records.

DIR holds a folder a subject, as `mien process` leaves them and releases have them: DIR/<subject>/models_reg/ with
<k>_<name>.obj, with <k>_neutral.jpg where there are textures, and perhaps DIR/subjects.csv with code (or index), age
and gender. Rigs are kept beside the model until it is made, so a call that was interrupted goes on.
"""

import csv
import hashlib
import io
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from common.bounded.files import read_file_or_pipe
from common.files.atomic_write import atomic_write
from common.files.hashes import file_sha256
from common.progress import Progress, no_progress, part
from common.take_codes import TakeLabel
from processing.errors import DataError
from processing.farm.execution.in_process import RunCache, RunFailed, execute_runs, results_of
from processing.farm.execution.stage_run import Output
from processing.farm.model_names import ModelRefused, age_group, beside, check_model_name, members_json
from processing.farm.scheduling.stage_graph import (
    ExternalInput,
    Parts,
    StageOutput,
    StageRun,
    checked_params,
    plan_over,
)
from processing.farm.template_files import shared_files, template_file
from processing.files.mesh_files import read_mesh
from processing.files.stage_files import write_vertices
from processing.geometry.topology import topology_id
from processing.stages.base import MEMBERS, TEMPLATE, Need, Scope, Stage
from processing.stages.discovery import Stages
from processing.stages.outputs import MESH, TEXTURE
from processing.template.template_file import read_template

MESHES = "models_reg"
SUBJECTS_FILE = "subjects.csv"
MOST_BYTES = 64 << 20  # of the list of subjects
SHOWN = 10  # problems that are named; of more, how many


@dataclass(frozen=True)
class FolderSubject:
    """A subject's registered meshes."""

    code: str  # its folder's name
    meshes: Mapping[str, Path]  # label, as in '2_smile' -> OBJ, in the protocol's order
    texture: Path | None  # of the neutral
    age: int | None = None
    gender: str | None = None

    @property
    def neutral(self) -> str | None:
        return next((label for label in self.meshes if TakeLabel.parse(label).is_neutral), None)


@dataclass(frozen=True)
class FolderModel:
    """What a model is made with."""

    name: str
    stage: str  # of a study, that makes it
    template: str | None = None  # a file; None: Mien's own
    params: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    device: str = "cpu"


@dataclass(frozen=True)
class FolderModelResult:
    """A model that was made."""

    members: int
    rigs: int  # made now; the others were there
    outputs: Mapping[str, Output]  # of the stage, in the work folder


def read_subjects(folder: Path) -> list[FolderSubject]:
    """The subjects with registered meshes, by code. Raises ModelRefused where there is none or the list is no list."""
    if not folder.is_dir():
        raise ModelRefused(f"there is no folder {folder}")
    said = _said_of_subjects(folder)
    found = []
    for place in sorted(p for p in folder.iterdir() if (p / MESHES).is_dir()):
        labels = {TakeLabel.find(obj.stem): obj for obj in (place / MESHES).glob("*.obj")}
        meshes = {str(label): labels[label] for label in sorted(label for label in labels if label is not None)}
        if not meshes:
            continue
        age, gender = said.get(place.name, (None, None))
        picture = next((labels[n].with_suffix(".jpg") for n in labels if n is not None and n.is_neutral), None)
        there = picture if picture is not None and picture.is_file() else None
        found.append(FolderSubject(place.name, meshes, there, age, gender))
    if not found:
        raise ModelRefused(
            f"{folder} has no <subject>/{MESHES}/<k>_<name>.obj: name a release, or a folder of subjects"
        )
    return sorted(found, key=lambda subject: _in_order(subject.code))


def build_from_folder(
    subjects: Sequence[FolderSubject], work: Path, model: FolderModel, stages: Stages, progress: Progress = no_progress
) -> FolderModelResult:
    """Make every rig that is missing, then the model; all in `work`, from which the caller takes what it wants.

    Raises ModelRefused naming every subject that has no neutral, another topology or a mesh that cannot be read, and
    for too few; ParamsError.
    """
    check_model_name(model.name)
    checked_params({name: stage for name, stage in stages.items() if stage.scope is not Scope.TAKE}, model.params)
    _require_neutrals(subjects)
    template = template_file(model.template, lambda text: progress(0.0, text))
    files = shared_files(template, stages, lambda text: progress(0.0, text), None if model.template is None else work)
    shared = {source: file_sha256(path) for source, path in files.items()}
    cache = RunCache(work)
    plans = {s.code: _subject_runs(s, shared, stages, model.params) for s in subjects}
    study = _study_run(subjects, plans, shared, stages, model)
    made = _make_rigs(subjects, plans, files, cache, stages, model, part(progress, 0.0, 0.7))
    work.mkdir(parents=True, exist_ok=True)
    members = work / "members.json"
    members.write_bytes(_members(subjects))
    sources = {("", source): path for source, path in files.items()} | {("", MEMBERS): members}
    sources |= {(s.code, _texture_need(stages, model.stage)): s.texture for s in subjects if s.texture is not None}
    told = part(progress, 0.7, 1.0)
    execute_runs([study], stages, cache, sources, device=model.device, started=_always(told))
    return FolderModelResult(len(subjects), made, results_of([study], cache)[""][model.stage])


def place_outputs(result: FolderModelResult, out: Path, stage: Stage) -> list[Path]:
    """The model as `out`, what else the stage made beside it (model_names.beside); whole or not at all."""
    placed = []
    for name in stage.makes:
        output, target = result.outputs[name], beside(out, stage, name)
        with atomic_write(target) as temporary:
            shutil.copyfile(output.path, temporary)
        placed.append(target)
    return placed


def _require_neutrals(subjects: Sequence[FolderSubject]) -> None:
    without = [s.code for s in subjects if s.neutral is None]
    if without:
        raise ModelRefused(f"{_some(without)} without a neutral (<k>_neutral.obj): every rig is made from one")


def _subject_runs(
    subject: FolderSubject, shared: Mapping[str, str], stages: Stages, params: Mapping[str, Mapping[str, Any]]
) -> dict[str, StageRun]:
    digests = {label: file_sha256(path) for label, path in subject.meshes.items()}

    def output(label: str, need: Need) -> ExternalInput | None:
        of_mesh = (need.stage, need.output) == MESH
        return ExternalInput(need.text, digests[label]) if of_mesh else None

    parts = Parts(list(subject.meshes), output, subject.neutral)
    return {run.stage: run for run in plan_over(Scope.SUBJECT, parts, shared, stages, params)}


def _study_run(
    subjects: Sequence[FolderSubject],
    plans: Mapping[str, Mapping[str, StageRun]],
    shared: Mapping[str, str],
    stages: Stages,
    model: FolderModel,
) -> StageRun:
    """Raises ModelRefused for too few subjects, and those with too few expressions."""
    textures = {s.code: file_sha256(s.texture) for s in subjects if s.texture is not None}
    wanted = {need.stage for _, need in stages[model.stage].parsed_needs() if need.each and not need.of_neutral}
    few = [code for code, runs in plans.items() if not wanted <= set(runs)]
    if few:
        raise ModelRefused(f"{_some(few)} with too few expressions: the neutral and one more at least")

    def output(code: str, need: Need) -> ExternalInput | StageOutput | None:
        if not need.of_neutral:
            return StageOutput(plans[code][need.stage].key, need.output)
        is_texture = (need.stage, need.output) == TEXTURE and code in textures
        return ExternalInput(need.text, textures[code]) if is_texture else None

    own = {**model.params, model.stage: {"name": model.name, **model.params.get(model.stage, {})}}
    own_shared = {**shared, MEMBERS: hashlib.sha256(_members(subjects)).hexdigest()}
    for run in plan_over(Scope.STUDY, Parts([s.code for s in subjects], output), own_shared, stages, own):
        if run.stage == model.stage:
            return run
    raise ModelRefused(f"a model needs at least {stages[model.stage].fewest} subjects, and there are {len(subjects)}")


def _make_rigs(
    subjects: Sequence[FolderSubject],
    plans: Mapping[str, Mapping[str, StageRun]],
    files: Mapping[str, Path],
    cache: RunCache,
    stages: Stages,
    model: FolderModel,
    progress: Progress,
) -> int:
    """How many subjects' rigs were made. Raises ModelRefused naming every subject whose rig cannot be made."""
    template = read_template(files[TEMPLATE]).mesh
    wanted = topology_id(template)
    problems: list[str] = []
    made = 0
    for number, subject in enumerate(subjects):
        progress(number / len(subjects), f"rig of {subject.code} ({number + 1} of {len(subjects)})")
        runs = list(plans[subject.code].values())
        if all(cache.sound(run.key) for run in runs):
            continue
        meshes = cache.folder / f"meshes-{subject.code}"
        try:
            sources = _converted(subject, meshes, wanted, stages)
            sources |= {("", source): path for source, path in files.items()}
            told = part(progress, number / len(subjects), (number + 1) / len(subjects))
            execute_runs(runs, stages, cache, sources, device=model.device, started=_always(told))
            made += 1
        except RunFailed as failed:
            problems.append(f"{subject.code}: {failed.cause}")
        except DataError as error:
            problems.append(f"{subject.code}: {error}")
        finally:
            shutil.rmtree(meshes, ignore_errors=True)
    if problems:
        said = "\n".join(f"  {problem}" for problem in problems[:SHOWN])
        more = f"\n  and {len(problems) - SHOWN} more" if len(problems) > SHOWN else ""
        raise ModelRefused(f"{len(problems)} of {len(subjects)} subjects have no rig:\n{said}{more}")
    return made


def _converted(subject: FolderSubject, folder: Path, wanted: str, stages: Stages) -> dict[tuple[str, str], Path]:
    """The meshes as the registration writes them. Raises MeshError, and DataError for another topology."""
    folder.mkdir(parents=True, exist_ok=True)
    needs = {
        (need.each, need.text)
        for stage in stages.values() if stage.scope is Scope.SUBJECT
        for _, need in stage.parsed_needs() if (need.stage, need.output) == MESH
    }  # fmt: skip
    found: dict[tuple[str, str], Path] = {}
    for label, path in subject.meshes.items():
        mesh = read_mesh(path)
        if (topology := topology_id(mesh)) != wanted:
            raise DataError(
                f"{path.name} has the topology {topology} ({len(mesh.vertices_mm)} vertices), and the template has "
                f"{wanted}: name the template that the meshes are of by --template"
            )
        write_vertices(folder / f"{label}.npz", mesh.vertices_mm)
        for each, text in needs:
            if each or label == subject.neutral:
                found[label if each else "", text] = folder / f"{label}.npz"
    return found


def _always(told: Progress) -> Callable[[StageRun], Progress]:
    return lambda _run: told


def _texture_need(stages: Stages, stage: str) -> str:
    texts = [need.text for _, need in stages[stage].parsed_needs() if (need.stage, need.output) == TEXTURE]
    return texts[0] if texts else ""


def _members(subjects: Sequence[FolderSubject]) -> bytes:
    return members_json((s.code, age_group(s.age), s.gender) for s in subjects)


def _said_of_subjects(folder: Path) -> dict[str, tuple[int | None, str | None]]:
    """Folder's name -> age and gender. Raises ModelRefused naming the line."""
    path = folder / SUBJECTS_FILE
    if not path.is_file():
        return {}
    try:
        table = csv.DictReader(io.StringIO(read_file_or_pipe(path, MOST_BYTES).decode("utf-8-sig")))
        rows, columns = list(table), list(table.fieldnames or ())
    except (OSError, ValueError, csv.Error) as error:
        raise ModelRefused(f"{path} is no list of subjects: {error}") from None
    if not {"index", "code"} & set(columns):
        there = ", ".join(columns)[:80]
        raise ModelRefused(f"{path} has no column code or index, separated by commas; its first line is: {there}")
    found: dict[str, tuple[int | None, str | None]] = {}
    for number, row in enumerate(rows, start=2):
        age, gender = (row.get("age") or "").strip(), (row.get("gender") or "").strip()
        if age and not (age.isdecimal() and len(age) <= 3 and int(age) <= 120):
            raise ModelRefused(f"{path}, line {number}: age '{age[:20]}' is no number of years, 0 to 120")
        if gender and gender not in ("female", "male", "other"):
            raise ModelRefused(f"{path}, line {number}: gender '{gender[:20]}' is none of female, male, other")
        for key in (row.get("index"), row.get("code")):
            if key:
                found[key.strip()] = (int(age) if age else None, gender or None)
    return found


def _in_order(code: str) -> tuple[int, str]:
    return (int(code) if code.isdecimal() else 0), code


def _some(codes: Sequence[str]) -> str:
    more = f" and {len(codes) - SHOWN} more" if len(codes) > SHOWN else ""
    return f"{', '.join(codes[:SHOWN])}{more}"
