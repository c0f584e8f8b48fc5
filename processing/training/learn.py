"""One call of `mien learn`: a study checked, split and trained on; see `trainer` for what a run's folder holds."""

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from common.configuration.loader import values_from_table
from common.files.hashes import file_sha256
from common.progress import Progress, no_progress, part
from processing.face_models.face_model import FaceModel
from processing.face_models.model_file import read_model
from processing.learning.weights_file import KINDS, LearnedCard
from processing.training.face_checks import DISPLACEMENT, MESH, NEUTRAL_TEXTURE, TEXTURE, check_faces, require_sound
from processing.training.run_files import open_run
from processing.training.study_faces import StudyError, StudyFaces, split_subjects
from processing.training.torch_state import require_device
from processing.training.train_settings import TrainingError, TrainSettings
from processing.training.trainer import Task, train_in

EPOCHS = 10  # where neither the caller nor a task's settings say
_CHECKED, _PREPARED = 0.03, 0.2  # of the bar
_PARTS: Mapping[str, frozenset[str]] = {
    "regressor": frozenset({MESH}),
    "detail": frozenset({MESH, TEXTURE, DISPLACEMENT}),
    "avatar": frozenset({MESH, NEUTRAL_TEXTURE}),
}


@dataclass(frozen=True)
class LearnRequest:
    """What is asked for. Lengths that are None are as the task's settings have them."""

    kind: str
    release: Path
    out: Path
    model: Path | None = None
    size: str = "full"
    set_: Mapping[str, Any] = field(default_factory=dict)  # of the task's settings, by name
    held_back: float = 0.1  # share of the subjects
    leave_out: tuple[str, ...] = ()
    skip_incomplete: bool = False
    synthetic: bool | None = None  # whether no subject is a person, where the study does not say
    epochs: int | None = None
    steps: int | None = None
    patience: int | None = None
    training: TrainSettings = field(default_factory=TrainSettings)  # its epochs, steps and patience are not read


@dataclass(frozen=True)
class Learned:
    """What came of it."""

    card: LearnedCard
    skipped: tuple[str, ...]  # subjects that were left out because their files are not whole


#: Raises where these subjects may not be trained on; called before anything is made.
Gate = Callable[[StudyFaces, Sequence[str], Mapping[str, Any]], None]


def learn(request: LearnRequest, *, allowed: Gate | None = None, progress: Progress = no_progress) -> Learned:
    """Train, or go on with the run in `out`.

    allowed: asked about the release, the subjects to be trained on and the face model, before anything is made. Raises
    DataError with what is wrong, which and what to do; KeyboardInterrupt when asked to stop.
    """
    module = task_module(request.kind)
    require_device(request.training.device)
    settings = task_settings(module, request)
    training = _training(request, settings)
    faces = StudyFaces.open(request.release)
    subjects, skipped = _subjects(request, faces, _parts(module, request.kind), part(progress, 0.0, _CHECKED))
    train, held_back = split_subjects(subjects, request.held_back, training.seed)
    model, lineage = _model(request, module, faces)
    if allowed is not None:
        allowed(faces, train, lineage)
    release = dict(faces.lineage)
    if release["synthetic"] is None:
        release["synthetic"] = request.synthetic
    card = LearnedCard(request.kind, {}, lineage, release, train, held_back, said_of(settings))
    with open_run(request.out, training, card) as files:
        torch.manual_seed(training.seed)  # of the networks' first parameters
        task: Task = module.make_task(
            faces.only((*train, *held_back)),
            model,
            settings,
            files.folder / "data",
            held_back=held_back,
            seed=training.seed,
            device=training.device,
            progress=part(progress, _CHECKED, _PREPARED),
        )
        if training.max_steps is not None and request.epochs is None:  # a length in steps: as many epochs as it takes
            training = replace(training, epochs=-(-training.max_steps // task.batches_per_epoch))
        return Learned(train_in(files, task, training, card, progress=part(progress, _PREPARED, 1.0)), skipped)


def task_module(kind: str) -> Any:
    """The package of a task, imported now."""
    if kind not in KINDS:
        raise TrainingError(f"there is nothing to learn called '{kind}'; there are {', '.join(KINDS)}")
    return importlib.import_module(f"processing.training.{kind}.task")


def task_settings(module: Any, request: LearnRequest) -> Any:
    """The task's settings of this size, with what the caller set. Raises TrainingError for one that is none."""
    kind = getattr(module, f"{request.kind.capitalize()}Settings")
    settings = kind.of(request.size)
    given = values_from_table(type(settings), dict(request.set_), "--set", TrainingError) if request.set_ else {}
    return replace(settings, **given) if given else settings


def said_of(settings: Any) -> dict[str, Any]:
    """Settings for a card: of a path its last name alone."""
    own = getattr(settings, "as_json", None)
    said = dict(own()) if own is not None else asdict(settings)
    return {key: Path(value).name if isinstance(value, str) and "/" in value else value for key, value in said.items()}


def _training(request: LearnRequest, settings: Any) -> TrainSettings:
    def first(given: int | None, name: str, otherwise: int | None) -> int | None:
        return given if given is not None else getattr(settings, name, None) or otherwise

    steps = first(request.steps, "steps", None)
    epochs = first(request.epochs, "epochs", EPOCHS)
    patience = first(request.patience, "patience", None)
    assert epochs is not None
    return replace(request.training, epochs=epochs, max_steps=steps, patience=patience)


def _parts(module: Any, kind: str) -> frozenset[str]:
    return frozenset(getattr(module, "PARTS", _PARTS[kind]))


def _subjects(
    request: LearnRequest, faces: StudyFaces, parts: frozenset[str], progress: Progress
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Those to learn from or to hold back, and those skipped. Raises StudyError."""
    unknown = sorted(set(request.leave_out) - set(faces.subjects))
    if unknown:
        raise StudyError(f"{request.release} has no subject {', '.join(unknown)} to leave out")
    subjects = tuple(subject for subject in faces.subjects if subject not in request.leave_out)
    problems = check_faces(faces, subjects, parts, progress=progress)
    if not request.skip_incomplete:
        require_sound(problems, len(subjects))
    bad = {problem.subject for problem in problems}
    kept = tuple(subject for subject in subjects if subject not in bad)
    if not kept:
        require_sound(problems, len(subjects))
        raise StudyError(f"nobody is left of {request.release} to learn from")
    return kept, tuple(subject for subject in subjects if subject in bad)


def _model(request: LearnRequest, module: Any, faces: StudyFaces) -> tuple[FaceModel | None, dict[str, Any]]:
    """The face model, and what a card says of it. Raises ModelError, TrainingError."""
    if request.model is None:
        if getattr(module, "NEEDS_MODEL", request.kind != "avatar"):
            raise TrainingError(
                f"a {request.kind} is learned with the study's face model: name it by --model (mien model build makes "
                "one)"
            )
        return None, {}
    model = read_model(request.model)
    topology = model.topology.topology
    if topology != faces.topology:
        raise TrainingError(
            f"{request.model} is a model of topology {topology}, and {request.release} has {faces.topology}: build the "
            "model of this study (mien model build --from)"
        )
    return model, {
        "name": model.name, "version": model.version, "topology": topology, "sha256": file_sha256(request.model),
    }  # fmt: skip
