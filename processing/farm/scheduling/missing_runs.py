"""Which of the planned runs have no result yet, and why."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from common.take_codes import TakeLabel
from db.face_models.model_records import model_records
from db.models import Job, JobState
from db.stage_runs.job_queue import db_now
from db.stage_runs.ready_takes import awaited_expressions
from processing.farm.scheduling.run_planning import SessionPlan
from processing.farm.scheduling.stage_graph import StageRun
from processing.stages.base import Scope
from processing.stages.discovery import Stages


@dataclass(frozen=True)
class MissingRun:
    """A run whose result is not there, and why; of a session that cannot be planned, the session and why alone."""

    session: str  # its code
    take: str  # its label; the subject's code where the run is of the subject; a model, as in 'faces 2'
    stage: str
    key: str
    why: str  # and what to do


def missing_runs(tx: Session, plans: Sequence[SessionPlan], stages: Stages) -> list[MissingRun]:
    """Goal minus what is present, each with its reason."""
    now = db_now(tx)
    found: list[MissingRun] = []
    for planned in plans:
        if planned.problem:
            found.append(MissingRun(planned.session, "", "", "", planned.problem))
        why = _Reasons(tx, planned.runs, now)
        found += [
            MissingRun(planned.session, run.take or planned.subject, run.stage, run.key, why.of(run))
            for run in planned.runs
            if not why.done(run.key)
        ]
        found += _not_asked_for(tx, planned, stages)
    return found


def models_to_rebuild(tx: Session) -> list[MissingRun]:
    """The newest versions of models that somebody has left: a person makes the next."""
    found = []
    for model in model_records(tx):
        if model.superseded_by is None and model.left:
            who = ", ".join(member.code for member in model.left)
            why = f"{who} left it: mien model rebuild {model.name}"
            found.append(MissingRun("", f"{model.name} {model.version}", "", model.key, why))
    return found


def _not_asked_for(tx: Session, planned: SessionPlan, stages: Stages) -> list[MissingRun]:
    """Stages of the subject that have no run yet, for takes of it are to come or too few were accepted."""
    there = {run.stage for run in planned.runs}
    lacking = [s for s in stages.values() if s.scope is Scope.SUBJECT and s.name not in there]
    if planned.problem or not lacking:
        return []
    names, of = awaited_expressions(tx, planned.session)
    found = []
    for stage in lacking:
        if planned.whole:
            why = f"needs {stage.fewest} accepted takes, the session is closed with {len(planned.takes)}"
        elif names:
            why = f"waits for {len(names)} of {of} expressions: {', '.join(names)}"
        else:
            why = "waits until the session is closed and every take has a calibration"
        found.append(MissingRun(planned.session, planned.subject, stage.name, "", why))
    return found


class _Reasons:
    """Why the runs of a session are not done."""

    def __init__(self, tx: Session, runs: Sequence[StageRun], now: datetime) -> None:
        self._runs = {run.key: run for run in runs}
        self._now = now
        self._jobs: dict[str, tuple[JobState, str, datetime | None]] = {}
        query = select(Job.key, Job.state, Job.error, Job.not_before)
        for start in range(0, len(runs), 500):
            chunk = [run.key for run in runs[start : start + 500]]
            for key, state, error, not_before in tx.execute(query.where(Job.key.in_(chunk))):
                self._jobs[key] = state, _last_line(error or ""), not_before

    def done(self, key: str) -> bool:
        return key in self._jobs and self._jobs[key][0] == JobState.DONE

    def of(self, run: StageRun) -> str:
        if run.key not in self._jobs:
            return "not asked for yet: mien farm run"
        state, error, not_before = self._jobs[run.key]
        if state in (JobState.FAILED, JobState.PARKED):
            return f"{state.value}: {error}"
        if state == JobState.LEASED:
            return "running"
        if stuck := self._stuck(run):
            return f"behind {', '.join(stuck)}: mend that, then mien farm retry"
        waits = [key for key in sorted(run.parents) if not self.done(key)]
        if waits and run.scope is Scope.SUBJECT and (takes := self._takes(waits)):
            of = self._takes(run.parents)
            return f"waits for {len(takes)} of {len(of)} expressions: {', '.join(takes)}"
        if waits:
            return f"waits for {', '.join(map(self._name, waits))}"
        if not_before is not None and not_before > self._now:
            return f"tried again at {not_before.astimezone(UTC):%H:%M:%S} UTC; before: {error}"
        return "ready to run"

    def _takes(self, keys: Iterable[str]) -> list[str]:
        """The expressions of the takes that these runs are of, in the protocol's order."""
        labels = {TakeLabel.find(self._runs[key].take) for key in keys if key in self._runs}
        return [label.name for label in sorted(label for label in labels if label is not None)]

    def _stuck(self, run: StageRun) -> list[str]:
        """The failed and parked runs that this one needs, near or far."""
        found: dict[str, str] = {}
        seen: set[str] = set()
        left = list(run.parents)
        while left:
            key = left.pop()
            if key in seen or self.done(key):
                continue
            seen.add(key)
            state = self._jobs[key][0] if key in self._jobs else None
            if state in (JobState.FAILED, JobState.PARKED):
                found[key] = f"{self._name(key)} ({state.value})"
            elif key in self._runs:
                left += self._runs[key].parents
        return sorted(found.values())

    def _name(self, key: str) -> str:
        run = self._runs.get(key)
        return key[:12] if run is None else f"{run.label} {run.stage}"


def _last_line(text: str) -> str:
    return text.strip().splitlines()[-1] if text.strip() else "no reason recorded"
