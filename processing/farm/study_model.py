"""`mien model build` and `rebuild` over the records: a selection's subjects -> their rigs -> one version of a model.

What is made already is kept: rigs that stand are not made again, and a call that was interrupted goes on.
"""

import hashlib
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy.orm import Session

from common.files.atomic_write import atomic_write
from common.files.hashes import file_sha256
from common.take_codes import NEUTRAL
from db.consents.withdrawals import may_be_modelled
from db.engine import reading, transaction
from db.face_models.model_records import (
    ModelRecord,
    members_by_code,
    newest_model,
    next_version,
    record_model,
    require_members,
)
from db.models import Job, JobState, Subject
from db.stage_runs.artefacts import artefacts_of_job
from db.stage_runs.job_queue import NOBODY_WAITS, enqueue_all, get_job, retry, states_of
from db.store import Store
from db.studio import StudioRecords
from processing.farm.daemon import FarmDaemon
from processing.farm.farm_listener import FarmListener
from processing.farm.model_names import ModelRefused, age_group, beside, check_model_name, members_json
from processing.farm.scheduling.run_planning import SessionPlan, all_plans, enqueue_plan, spec_of
from processing.farm.scheduling.stage_graph import Parts, StageOutput, StageRun, plan_over
from processing.farm.settings import FarmSettings
from processing.farm.template_files import shared_files, studio_template
from processing.stages.base import MEMBERS, Need, Scope, Stage
from processing.stages.discovery import Stages, discover


@dataclass(frozen=True)
class ModelSelection:
    """Whom a model is made of."""

    takes: Mapping[str, Sequence[str]]  # subject -> labels of its takes, as in '2_smile'; none: all accepted ones
    sha256: str  # of the file that says so
    params: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # stage -> where it differs from its defaults

    @property
    def content(self) -> dict[str, Any]:
        """As it is kept with the version."""
        chosen = {code: list(self.takes[code]) for code in sorted(self.takes)}
        return {"subjects": chosen, "params": {stage: dict(given) for stage, given in self.params.items()}}


@dataclass(frozen=True)
class BuiltModel:
    """A version that was made."""

    record: ModelRecord
    runs: int  # stage runs that it took now
    files: Mapping[str, str]  # output -> SHA-256 in the store


def build_model(
    studio: StudioRecords,
    settings: FarmSettings,
    name: str,
    selection: ModelSelection,
    stage: str,
    listener: FarmListener | None = None,
    *,
    whole: bool = True,
) -> BuiltModel:
    """Make the next version of a model of these subjects, and record it.

    whole: refuse where a take of the selection is not accepted any more.

    stage: of a study, that makes the model; its parameters `name` and `number` are the model's name and version.
    Raises ModelRefused, NotFound for subjects that do not exist, ConsentError naming who does not consent; ParamsError.
    """
    check_model_name(name)
    stages = discover(*settings.stage_folders)
    if stage not in stages or stages[stage].scope is not Scope.STUDY:
        raise ModelRefused(f"there is no stage '{stage}' of a study")
    template = studio_template(studio.settings.home, settings.template)
    files = shared_files(template, stages)
    shared = {source: file_sha256(path) for source, path in files.items()}
    with transaction(studio.engine) as tx:
        ids = members_by_code(tx, sorted(selection.takes))
        number = next_version(tx, name)
        params = {**settings.params, **selection.params}
        plans = _member_plans(tx, shared, stages, params, selection, whole=whole)
        members = _members(tx, ids)
    place = Store(studio.settings.store)
    shared[MEMBERS] = place.put_bytes(members)
    own = {**params, stage: {**params.get(stage, {}), "name": name, "number": number}}
    run = _study_run(plans, shared, stages, own, stage)
    with transaction(studio.engine) as tx:
        require_members(tx, ids)
        for planned in plans.values():
            enqueue_plan(tx, planned)
        wanted = [run.key, *(r.key for planned in plans.values() for r in planned.runs if r.key in run.parents)]
        enqueue_all(tx, [spec_of(run, None, None, sorted(ids.values()))])
        retry(tx, wanted)  # what failed in an earlier call is tried again
    farm = FarmDaemon(
        studio.engine, studio.settings.store, settings, template, listener, only=(Scope.SUBJECT, Scope.STUDY)
    )
    summary = farm.run(until_idle=True)
    with reading(studio.engine) as tx:
        _require_done(tx, run, plans)
    with transaction(studio.engine) as tx:
        record = record_model(tx, name, number, run.key, selection.sha256, selection.content)
        made = {output: artefact.sha256 for output, artefact in artefacts_of_job(tx, run.key).items()}
    return BuiltModel(record, summary.done, made)


def rebuild_model(
    studio: StudioRecords,
    settings: FarmSettings,
    name: str,
    stage: str,
    listener: FarmListener | None = None,
) -> BuiltModel:
    """Make the next version of a model of those of its members who consent still, as they stand now.

    Raises ModelRefused where the newest version stands and would come out alike; and as build_model.
    """
    with reading(studio.engine) as tx:
        before = newest_model(tx, name)
        codes = still_consenting(tx, before)
    takes = {code: before.selection["subjects"].get(code, []) for code in codes}
    selection = ModelSelection(takes, before.selection_sha256, before.selection.get("params", {}))
    if before.stands and len(codes) == len(before.members) and not _changed(studio, settings, before, selection, stage):
        raise ModelRefused(f"{name} {before.version} stands: nobody has left it, and no rig in it was made again")
    return build_model(studio, settings, name, selection, stage, listener, whole=False)


def still_consenting(tx: Session, record: ModelRecord) -> list[str]:
    """Codes of the members who may be in the next version."""
    may = may_be_modelled(tx)
    return [member.code for member in record.members if member.subject_id in may]


def _changed(
    studio: StudioRecords, settings: FarmSettings, before: ModelRecord, selection: ModelSelection, stage: str
) -> bool:
    """Whether the same subjects would give another model under the same name and version."""
    stages = discover(*settings.stage_folders)
    files = shared_files(studio_template(studio.settings.home, settings.template), stages)
    shared = {source: file_sha256(path) for source, path in files.items()}
    params = {**settings.params, **selection.params}
    with reading(studio.engine) as tx:
        plans = _member_plans(tx, shared, stages, params, selection, made=False, whole=False)
        ids = {member.code: member.subject_id for member in before.members}
        members = _members(tx, ids)
    shared[MEMBERS] = hashlib.sha256(members).hexdigest()
    own = {**params, stage: {**params.get(stage, {}), "name": before.name, "number": before.version}}
    return _study_run(plans, shared, stages, own, stage).key != before.key


def _member_plans(
    tx: Session,
    shared: Mapping[str, str],
    stages: Stages,
    params: Mapping[str, Any],
    selection: ModelSelection,
    *,
    made: bool = True,
    whole: bool = True,
) -> dict[str, SessionPlan]:
    """Code -> the plan of the subject's newest closed session that has runs of the subject, in order of code.

    made: refuse subjects whose takes are not processed.  whole: those that have not all takes of the selection.
    Raises ModelRefused naming all who have no such session.
    """
    found: dict[str, SessionPlan] = {}
    lacking: dict[str, str] = {}
    chosen = selection.takes
    of: dict[str, list[SessionPlan]] = {code: [] for code in sorted(chosen)}
    for planned in all_plans(tx, shared, stages, params, subjects=chosen, labels=chosen, unclosed=False):
        of[planned.subject].append(planned)  # in order of the sessions
    for code, plans in of.items():
        with_rig = [planned for planned in plans if any(run.scope is Scope.SUBJECT for run in planned.runs)]
        gone = [t for t in chosen[code] if with_rig and t not in {take.label for take in with_rig[-1].takes}]
        if not with_rig:
            lacking[code] = _why_none(plans, stages)
        elif whole and gone:
            lacking[code] = f"{', '.join(gone)} of the selection not accepted any more: mien release select"
        elif made and (waits := _not_processed(tx, with_rig[-1])):
            lacking[code] = waits
        else:
            found[code] = with_rig[-1]
    if lacking:
        said = "\n".join(f"  {code}: {why}" for code, why in lacking.items())
        raise ModelRefused(
            f"{len(lacking)} of {len(chosen)} subjects have no rig that a model can be made of:\n{said}\n"
            "mend that, or build of a selection that leaves them out: mien release select, mien model build --selection"
        )
    return found


def _why_none(plans: Sequence[SessionPlan], stages: Stages) -> str:
    if not plans:
        return "no accepted take of a closed session"
    if problem := plans[-1].problem:
        return problem
    fewest = max((stage.fewest for stage in stages.values() if stage.scope is Scope.SUBJECT), default=0)
    if plans[-1].whole:
        return f"{len(plans[-1].takes)} accepted takes; {fewest} are needed, the neutral among them"
    return "takes without a calibration"


def _not_processed(tx: Session, planned: SessionPlan) -> str:
    """Which expressions its rig waits for; empty when it can be made, or is."""
    wanted = {key for run in planned.runs if run.scope is Scope.SUBJECT for key in run.parents}
    runs = [run for run in planned.runs if run.key in wanted and run.scope is Scope.TAKE]
    states = states_of(tx, [run.key for run in runs])
    waits = list(dict.fromkeys(run.take for run in runs if states.get(run.key) is not JobState.DONE))
    takes = {run.take for run in runs}
    if not waits:
        return ""
    return f"waits for {len(waits)} of {len(takes)} expressions: {', '.join(waits)}; see: mien farm graph"


def _members(tx: Session, ids: Mapping[str, int]) -> bytes:
    """Who is in it, in order of code."""
    subjects = {code: tx.get_one(Subject, ids[code]) for code in sorted(ids)}
    return members_json(
        (code, age_group(s.age), None if s.gender is None else s.gender.value) for code, s in subjects.items()
    )


def _study_run(
    plans: Mapping[str, SessionPlan],
    shared: Mapping[str, str],
    stages: Stages,
    params: Mapping[str, Mapping[str, Any]],
    stage: str,
) -> StageRun:
    """The run that makes the model. Raises ModelRefused for too few subjects."""
    of_subject = {
        code: {run.stage: run for run in planned.runs if run.scope is Scope.SUBJECT} for code, planned in plans.items()
    }
    neutral: dict[str, dict[str, StageRun]] = {}
    for code, planned in plans.items():
        label = next(take.label for take in planned.takes if take.expression == NEUTRAL)
        neutral[code] = {run.stage: run for run in planned.runs if run.take == label}

    def output(code: str, need: Need) -> StageOutput:
        runs = neutral[code] if need.of_neutral else of_subject[code]
        return StageOutput(runs[need.stage].key, need.output)

    study = {name: given for name, given in params.items() if name in stages}
    for run in plan_over(Scope.STUDY, Parts(sorted(plans), output), shared, stages, study):
        if run.stage == stage:
            return run
    raise ModelRefused(f"a model needs at least {stages[stage].fewest} subjects, and {len(plans)} are chosen")


def _require_done(tx: Session, run: StageRun, plans: Mapping[str, SessionPlan]) -> None:
    """Raises ModelRefused naming what went wrong where the model was not made."""
    if states_of(tx, [run.key]).get(run.key) is JobState.DONE:
        return
    whose = {r.key: code for code, planned in plans.items() for r in planned.runs if r.scope is Scope.SUBJECT}
    said = []
    for key, of in {**whose, run.key: run.stage}.items():
        job: Job = get_job(tx, key)
        if job.state in (JobState.FAILED, JobState.PARKED):
            reason = (job.error or "no reason recorded").strip().splitlines()[-1]
            again = "" if reason in NOBODY_WAITS else "; after mending it the same command goes on"
            said.append(f"  {of}, stage {job.stage}: {reason}{again}")
    raise ModelRefused(
        "the model was not made:\n" + ("\n".join(said) or "  its runs are not done: see mien farm status")
    )


def copy_out(studio: StudioRecords, files: Mapping[str, str], out: Path, stage: Stage) -> list[Path]:
    """Copies of a version's files, whole or not at all: the model as `out`, the others beside it (beside)."""
    placed = []
    for output in stage.makes:
        target = beside(out, stage, output)
        with atomic_write(target) as temporary, temporary.open("wb") as file, studio.store.open(files[output]) as made:
            shutil.copyfileobj(made, file)
        placed.append(target)
    return placed
