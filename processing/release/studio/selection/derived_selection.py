"""What is made of many takes and may leave: a subject's rig with the takes that it was made of, a study's models."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from sqlalchemy.orm import Session

from db.release_records.released_models import LeavingModel, leaving_models
from db.release_records.releases import ReleasedRun, runs_of
from db.stage_runs.subject_runs import SubjectRun, standing_runs
from processing.release.formats.released_files import LAYOUT, MODEL, RIG, ReleasedFile, model_folder
from processing.release.studio.selection.release_inputs import StoredFiles


@dataclass(frozen=True)
class SelectedRig:
    """A subject's rig that leaves."""

    #: Output of its stage -> SHA-256.
    files: Mapping[str, str]
    #: SHA-256 of the template whose topology it has.
    template: str
    #: Labels of the takes that it was made of.
    takes: tuple[str, ...]
    #: The stage run that made it.
    run: ReleasedRun


@dataclass(frozen=True)
class SelectedModel:
    """A version of a face model that leaves."""

    #: Its row.
    model_id: int
    name: str
    version: int
    #: Ids of its subjects.
    members: frozenset[int]
    #: The stage run that made it.
    run: ReleasedRun

    @property
    def folder(self) -> str:
        """'faces-2'."""
        return model_folder(self.name, self.version)

    @property
    def files(self) -> list[tuple[ReleasedFile, str]]:
        """What a release has of it, and its SHA-256."""
        return derived_files(LAYOUT.study_files, self.run.outputs)


@dataclass(frozen=True)
class SkippedModel:
    """A model that stays, and why: its newest version."""

    name: str
    version: int
    why: str


def derived_files(files: Sequence[ReleasedFile], outputs: Mapping[str, str]) -> list[tuple[ReleasedFile, str]]:
    """Those files that a stage made, and their SHA-256."""
    return [(file, outputs[file.output]) for file in files if file.stage and file.output in outputs]


def find_rigs(tx: Session, filed: StoredFiles, sessions: Mapping[str, str]) -> dict[str, SelectedRig | str]:
    """Code of a subject -> its rig, or why it has none that may leave. sessions: code -> the session of its takes."""
    runs = standing_runs(tx, RIG.stage, list(sessions))
    released = runs_of(tx, {run.job_id for run in runs.values()})
    found: dict[str, SelectedRig | str] = {}
    for code, session in sessions.items():
        run = runs.get(code)
        why = _rig_problem(filed, run, session)
        if why or run is None:
            found[code] = why
            continue
        files = {output: made.sha256 for output, made in run.run.files.items()}
        found[code] = SelectedRig(files, run.run.template or "", run.takes, released[run.job_id])
    return found


def _rig_problem(filed: StoredFiles, run: SubjectRun | None, session: str) -> str:
    """Why a subject has no rig that may leave; empty where it has one."""
    if run is None:
        return "no rig yet; see: mien farm graph"
    if run.session != session:
        return f"its rig is of session {run.session}, its takes are of {session}"
    if run.run.template is None:
        return "its rig does not say which template it used"
    if run.run.verdict == "reject":
        return "its rig was rejected"
    if RIG.output not in run.run.files:
        return f"its stage {RIG.stage} made no {RIG.output}"
    gone = [made.sha256[:12] for made in run.run.files.values() if made.sha256 not in filed]
    return f"the store lacks {', '.join(gone)}" if gone else ""


def select_models(tx: Session, filed: StoredFiles, day: date) -> tuple[tuple[SelectedModel, ...], list[SkippedModel]]:
    """Of each model the newest version that may leave on `day`; the others' newest, and why it stays."""
    by_name: dict[str, list[LeavingModel]] = {}
    for model in leaving_models(tx, day):
        by_name.setdefault(model.record.name, []).append(model)
    chosen: list[SelectedModel] = []
    skipped: list[SkippedModel] = []
    jobs = {m.record.job_id for models in by_name.values() for m in models}
    runs = runs_of(tx, {job for job in jobs if job is not None})
    for name, models in by_name.items():
        why = ""
        for model in reversed(models):
            record = model.record
            run = runs.get(record.job_id) if record.job_id is not None else None
            problem = model.why_not or _model_problem(filed, run)
            why = why or problem
            if run is not None and not problem:
                members = frozenset(member.subject_id for member in record.members)
                chosen.append(SelectedModel(record.id, name, record.version, members, run))
                break
        else:
            skipped.append(SkippedModel(name, models[-1].record.version, why))
    return tuple(chosen), skipped


def _model_problem(filed: StoredFiles, run: ReleasedRun | None) -> str:
    if run is None:
        return "its files are gone"
    if MODEL.output not in run.outputs:
        return f"its stage {MODEL.stage} made no {MODEL.output}"
    gone = [sha256[:12] for sha256 in run.outputs.values() if sha256 not in filed]
    return f"the store lacks {', '.join(gone)}" if gone else ""


def models_still_leave(tx: Session, day: date, models: Collection[SelectedModel]) -> list[str]:
    """Names of those that may not leave any more; a withdrawal waits until this transaction ends."""
    if not models:
        return []
    may = {model.record.id for model in leaving_models(tx, day, lock=True) if not model.why_not}
    return [model.folder for model in models if model.model_id not in may]
